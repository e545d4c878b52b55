"""The rows of data that a training run draws: what they may be, how likely each is, and their order."""

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from course_lib.data import Digits


class Rows:
    """The data of a run, and which of its rows make the batch of each step.

    An epoch takes every row once, in an order made from (seed, epoch). A single row left over joins the batch
    before it. With weights (N,), an epoch draws N rows with replacement.
    Raises ValueError for data, weights and batch sizes that do not fit.
    """

    def __init__(self, data: Any, batch_size: int, seed: int, weights: Tensor | None) -> None:
        self.tensors = as_rows(data)
        n = len(self.tensors[0])
        if not 1 <= batch_size <= n or int(batch_size) != batch_size:
            raise ValueError(f"batch_size must be 1 to {n:,}, the rows of data, not {batch_size}.")
        self.weights = None if weights is None else as_weights(weights, n)
        self.batch_size = int(batch_size)
        self.epoch_steps = n // self.batch_size + (n % self.batch_size > 1)
        self.device = self.tensors[0].device
        self._seed = seed
        self._epoch = -1
        self._order = torch.empty(0)

    def index(self, step: int) -> Tensor:
        """The numbers (B,) of the rows that step `step`, counted from 0, is about."""
        epoch, i = divmod(step, self.epoch_steps)
        if epoch != self._epoch:
            rows = order(len(self.tensors[0]), self._seed, epoch, self.weights)
            self._order = rows.to(self.device)
            self._epoch = epoch
        is_last = i + 1 == self.epoch_steps
        stop = None if is_last else (i + 1) * self.batch_size
        return self._order[i * self.batch_size : stop]


def gather(tensors: tuple[Tensor, ...], index: Tensor) -> tuple[Tensor, ...]:
    """The rows `index` (B,) of each tensor (N, ...): (B, ...) each."""
    return tuple(rows.index_select(0, index) for rows in tensors)


def as_rows(data: Any) -> tuple[Tensor, ...]:
    """Data as a tuple of tensors with the same number of rows; ValueError for anything else."""
    rows = tuple(data) if isinstance(data, tuple | list) else (data,)
    if not all(isinstance(part, Tensor) for part in rows):
        kinds = ", ".join(dict.fromkeys(type(part).__name__ for part in rows))
        raise ValueError(
            f"data are a tensor of N rows or a tuple of such, not {kinds}: {_how_to_make_tensors(data)}."
        )
    counts = sorted({len(part) if part.ndim else 0 for part in rows})
    if len(counts) != 1 or counts == [0]:
        raise ValueError(f"All data need the same number of rows, above 0, not {counts or 'nothing'}.")
    return rows


def _how_to_make_tensors(data: Any) -> str:
    if isinstance(data, Digits):
        return "pass their .images.flatten(1), or these and their .labels as a tuple"
    if isinstance(data, DataLoader):
        return f"Run makes the batches itself; of the loader's .dataset, {_how_to_make_tensors(data.dataset)}"
    if isinstance(data, TensorDataset):
        return "pass its .tensors"
    if isinstance(data, Dataset):
        return "Digits.from_dataset makes Digits, whose .images.flatten(1) are such a tensor"
    if isinstance(data, tuple | list):
        return "torch.as_tensor makes a tensor of an array, torch.stack one tensor of many single rows"
    return "torch.as_tensor makes a tensor of an array or of a list of numbers"


def as_weights(weights: Any, n: int) -> Tensor:
    """The weights of n rows (n,), in float64 on the CPU; ValueError for numbers that cannot be weights."""
    if not isinstance(weights, Tensor):
        kind = type(weights).__name__
        raise ValueError(f"weights are a tensor of {n:,} numbers, not {kind}: torch.as_tensor makes one.")
    if weights.shape != (n,):
        raise ValueError(f"weights need one number a row, shape ({n},), not {tuple(weights.shape)}.")
    if weights.is_complex():
        raise ValueError("weights are real numbers, not complex ones: pass their .abs()?")
    weights = weights.detach().cpu().double()
    wrong = ~(weights.isfinite() & (weights >= 0))
    if wrong.any():
        row = int(wrong.int().argmax())
        raise ValueError(f"weights are finite and not negative, but that of row {row} is {weights[row]:g}.")
    if not 0 < weights.sum() < float("inf"):
        raise ValueError(f"weights must have a sum above 0 and below infinity, not {weights.sum():g}.")
    return weights


def order(n: int, seed: int, epoch: int, weights: Tensor | None) -> Tensor:
    """The numbers (n,) of the rows of an epoch, the same whenever and wherever it is asked for.

    Without weights each row comes once; with them every draw takes a row with its weight's probability.
    """
    generator = torch.Generator().manual_seed(1_000_003 * (seed + 1) + epoch)
    if weights is None:
        return torch.randperm(n, generator=generator, device="cpu")
    return torch.multinomial(weights, n, replacement=True, generator=generator)
