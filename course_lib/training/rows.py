"""The rows of data that a training run draws: their validation, their weights, and their order."""

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from course_lib.data import Digits


class Rows:
    """The data of a run, and the choice of rows for each step's batch.

    An epoch uses every row once, in an order determined by (seed, epoch). A single leftover row is
    added to the last batch. With weights of shape (N,), an epoch instead draws N rows with
    replacement. Raises ValueError for invalid data, weights or batch sizes.
    """

    def __init__(self, data: Any, batch_size: int, seed: int, weights: Tensor | None) -> None:
        self.tensors = as_rows(data)
        n = len(self.tensors[0])
        if not 1 <= batch_size <= n or int(batch_size) != batch_size:
            raise ValueError(
                f"batch_size must be an integer from 1 to {n:,}, the number of rows, "
                f"but got {batch_size}."
            )
        self.weights = None if weights is None else as_weights(weights, n)
        self.batch_size = int(batch_size)
        self.epoch_steps = n // self.batch_size + (n % self.batch_size > 1)
        self.device = self.tensors[0].device
        self._seed = seed
        self._epoch = -1
        self._order = torch.empty(0)

    def index(self, step: int) -> Tensor:
        """Return the row indices of a step, of shape (B,); steps are counted from 0."""
        epoch, i = divmod(step, self.epoch_steps)
        if epoch != self._epoch:
            rows = order(len(self.tensors[0]), self._seed, epoch, self.weights)
            self._order = rows.to(self.device)
            self._epoch = epoch
        is_last = i + 1 == self.epoch_steps
        stop = None if is_last else (i + 1) * self.batch_size
        return self._order[i * self.batch_size : stop]


def gather(tensors: tuple[Tensor, ...], index: Tensor) -> tuple[Tensor, ...]:
    """Select the rows `index` (B,) from each tensor: (N, ...) → (B, ...)."""
    return tuple(rows.index_select(0, index) for rows in tensors)


def as_rows(data: Any) -> tuple[Tensor, ...]:
    """Return the data as a tuple of tensors with the same number of rows.

    Raises ValueError for any other data.
    """
    rows = tuple(data) if isinstance(data, tuple | list) else (data,)
    if not all(isinstance(part, Tensor) for part in rows):
        kinds = ", ".join(dict.fromkeys(type(part).__name__ for part in rows))
        raise ValueError(
            f"data must be a tensor with N rows or a tuple of such tensors, not {kinds}. "
            f"{_how_to_make_tensors(data)}."
        )
    counts = sorted({len(part) if part.ndim else 0 for part in rows})
    if len(counts) != 1 or counts == [0]:
        raise ValueError(
            "All tensors must have the same number of rows, at least one, "
            f"but got {counts or 'none'}."
        )
    return rows


def _how_to_make_tensors(data: Any) -> str:
    if isinstance(data, Digits):
        return (
            "Pass digits.images.flatten(1), or the tuple (digits.images.flatten(1), digits.labels)"
        )
    if isinstance(data, DataLoader):
        return (
            "Run makes the batches, so use the loader's dataset. "
            f"{_how_to_make_tensors(data.dataset)}"
        )
    if isinstance(data, TensorDataset):
        return "Pass dataset.tensors"
    if isinstance(data, Dataset):
        return "Convert the data set with Digits.from_dataset, and pass digits.images.flatten(1)"
    if isinstance(data, tuple | list):
        return "Convert arrays with torch.as_tensor, and combine single rows with torch.stack"
    return "Convert an array or a list of numbers with torch.as_tensor"


def as_weights(weights: Any, n: int) -> Tensor:
    """Return the weights of n rows, of shape (n,), as float64 on the CPU.

    Raises ValueError for invalid weights.
    """
    if not isinstance(weights, Tensor):
        kind = type(weights).__name__
        raise ValueError(
            f"weights must be a tensor, not {kind}. Convert the weights with torch.as_tensor."
        )
    if weights.shape != (n,):
        raise ValueError(
            f"weights must have shape ({n},), one per row, but got {tuple(weights.shape)}."
        )
    if weights.is_complex():
        raise ValueError("weights must be real, not complex. Did you mean weights.abs()?")
    weights = weights.detach().cpu().double()
    wrong = ~(weights.isfinite() & (weights >= 0))
    if wrong.any():
        row = int(wrong.int().argmax())
        raise ValueError(
            f"weights must be finite and non-negative, but row {row} contains {weights[row]:g}."
        )
    if not 0 < weights.sum() < float("inf"):
        raise ValueError(
            f"The sum of the weights must be positive and finite, but it is {weights.sum():g}."
        )
    return weights


def order(n: int, seed: int, epoch: int, weights: Tensor | None) -> Tensor:
    """Return the row indices of an epoch, of shape (n,).

    The indices are the same in every call and on every machine. Without weights, each row appears
    exactly once. With weights, n rows are drawn with replacement, in proportion to their weights.
    """
    generator = torch.Generator().manual_seed(1_000_003 * (seed + 1) + epoch)
    if weights is None:
        return torch.randperm(n, generator=generator, device="cpu")
    return torch.multinomial(weights, n, replacement=True, generator=generator)
