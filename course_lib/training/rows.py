"""The rows of data that a training run draws: what they may be, how likely each is, and their order."""

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from course_lib.data import Digits


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
    """The weights of n rows (n,), in float64 on the CPU; ValueError for what cannot be weights."""
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
