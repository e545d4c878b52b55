"""What a run may draw from, and how often each row comes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from course_lib.data import Digits
from course_lib.training.rows import as_rows, as_weights, order

PIXELS = torch.zeros(6, 4, 4, dtype=torch.uint8)
LABELS = torch.arange(6)


class Pairs(Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, i):
        return PIXELS[i], int(LABELS[i])


OF_A_DATASET = "Convert the data set with Digits.from_dataset, and pass digits.images.flatten(1)."
OF_ARRAYS = "Convert arrays with torch.as_tensor, and combine single rows with torch.stack."
HINTS = [
    (PIXELS.numpy(), "not ndarray. Convert an array or a list of numbers with torch.as_tensor."),
    ([PIXELS.numpy(), LABELS.numpy()], f"not ndarray. {OF_ARRAYS}"),
    ([row.numpy() for row in PIXELS], f"not ndarray. {OF_ARRAYS}"),
    ((PIXELS, LABELS.tolist()), f"not Tensor, list. {OF_ARRAYS}"),
    (PIXELS.tolist(), f"not list. {OF_ARRAYS}"),
    (list(Pairs()), f"not tuple. {OF_ARRAYS}"),
    (Pairs(), f"not Pairs. {OF_A_DATASET}"),
    (TensorDataset(PIXELS, LABELS), "not TensorDataset. Pass dataset.tensors."),
    (
        DataLoader(Pairs()),
        f"not DataLoader. Run makes the batches, so use the loader's dataset. {OF_A_DATASET}",
    ),
    (
        Digits(PIXELS, LABELS, "mine"),
        (
            "not Digits. Pass digits.images.flatten(1), or the tuple (digits.images.flatten(1), "
            "digits.labels)."
        ),
    ),
]


@pytest.mark.parametrize(("data", "hint"), HINTS, ids=range(len(HINTS)))
def test_what_is_no_tensor_is_named_with_the_way_to_make_one(data, hint):
    with pytest.raises(ValueError) as refused:
        as_rows(data)
    assert (
        str(refused.value)
        == f"data must be a tensor with N rows or a tuple of such tensors, {hint}"
    )


def test_the_hints_hold():
    assert len(as_rows(TensorDataset(PIXELS, LABELS).tensors)) == 2
    digits = Digits(PIXELS, LABELS, "mine")
    assert as_rows((digits.images.flatten(1), digits.labels))[0].shape == (6, 16)
    stacked = torch.stack([torch.as_tensor(row.numpy()) for row in PIXELS])
    assert as_rows(stacked)[0].shape == (6, 4, 4)


def test_a_single_number_has_no_rows():
    with pytest.raises(ValueError, match="the same number of rows, at least one, but got \\[0\\]"):
        as_rows(torch.tensor(3.0))


WRONG_WEIGHTS = [
    (
        [1.0, 2.0, 3.0],
        "weights must be a tensor, not list. Convert the weights with torch.as_tensor",
    ),
    (np.ones(3), "weights must be a tensor, not ndarray. Convert the weights with torch.as_tensor"),
    (torch.ones(2), r"weights must have shape \(3,\), one per row, but got \(2,\)"),
    (torch.ones(3, 1), r"weights must have shape \(3,\), one per row, but got \(3, 1\)"),
    (torch.ones(3, dtype=torch.complex64), "weights must be real, not complex. Did you mean"),
    (torch.tensor([1, 2, -0.5]), "finite and non-negative, but row 2 contains -0.5"),
    (torch.tensor([1, math.nan, -1]), "finite and non-negative, but row 1 contains nan"),
    (torch.tensor([math.inf, 1, 1]), "finite and non-negative, but row 0 contains inf"),
    (torch.zeros(3), "The sum of the weights must be positive and finite, but it is 0"),
    (torch.full((3,), 1e308, dtype=torch.float64), "positive and finite, but it is inf"),
]


@pytest.mark.parametrize(("weights", "says"), WRONG_WEIGHTS, ids=range(len(WRONG_WEIGHTS)))
def test_wrong_weights_are_one_sentence_each(weights, says):
    with pytest.raises(ValueError, match=says):
        as_weights(weights, 3)


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.int64, torch.uint8, torch.bool]
)
def test_weights_of_any_real_kind_become_float64(dtype):
    weights = as_weights(
        torch.tensor([0, 1, 1]).to(dtype).requires_grad_(dtype == torch.float32), 3
    )
    assert weights.dtype == torch.float64
    assert weights.tolist() == [0, 1, 1]
    assert not weights.requires_grad


def test_without_weights_the_order_is_what_it_always_was():
    """Checkpoints and measured figures of earlier versions rest on it."""
    for seed, epoch in ((0, 0), (3, 17)):
        generator = torch.Generator().manual_seed(1_000_003 * (seed + 1) + epoch)
        assert torch.equal(order(50, seed, epoch, None), torch.randperm(50, generator=generator))


def test_with_weights_the_order_follows_from_seed_and_epoch():
    weights = torch.rand(50).double()
    first = order(50, 3, 17, weights)
    torch.rand(9)
    assert torch.equal(order(50, 3, 17, weights), first)
    assert not torch.equal(order(50, 3, 18, weights), first)
    assert not torch.equal(order(50, 4, 17, weights), first)


def test_rows_come_as_often_as_their_weights_say():
    """Ten classes of very unequal size, of which nine should come equally often and one never.

    Shares are binomial: over 20 seeds of 4,000 draws, 5 standard errors of a share of 1/9 are
    5·√((1/9)(8/9)/80,000) = 0.0056. By chance one of nine leaves that band once in 200,000 tests.
    """
    counts = torch.tensor([1500, 900, 600, 200, 200, 200, 200, 100, 50, 50])
    classes = torch.arange(10).repeat_interleave(counts)
    n = len(classes)
    weights = (1 / classes.bincount().double())[classes]
    weights[classes == 3] = 0
    drawn = torch.cat([classes[order(n, seed, 0, weights)] for seed in range(20)])
    shares = drawn.bincount(minlength=10).double() / len(drawn)
    assert n == 4000
    assert shares[3] == 0
    others = shares[torch.arange(10) != 3]
    assert (others - 1 / 9).abs().max() < 0.0056
    assert len(order(n, 0, 0, weights).unique()) < n  # with replacement
