"""What is refused, each with one sentence that says what was wrong and what to do.

The package asks here where something comes in from outside; inside, nothing is checked twice. A sentence is
made only when it is needed.
"""

from collections.abc import Iterable, Sequence
from numbers import Integral

import torch
from torch import Tensor


def is_count(value: object, least: int = 1) -> bool:
    """Whether value is a whole number of at least `least`; True and False do not count."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def all_finite(x: Tensor) -> bool:
    """Whether no number of x is NaN or infinite. `x.isfinite()` would need a copy of x.

    One pass: if one number is NaN, the least and the greatest are.
    """
    return x.numel() == 0 or bool(torch.stack(torch.aminmax(x.detach())).isfinite().all())


def tensors(*values: object) -> None:
    """Raise ValueError, in one sentence, for the first that is not a torch tensor."""
    for value in values:
        if not isinstance(value, torch.Tensor):
            raise ValueError(f"Pass torch tensors, not {type(value).__name__}: torch.as_tensor makes one.")


def shape(shape: Sequence[int]) -> None:
    """Raise ValueError unless shape is that of an image: (H, W) or (C, H, W), whole numbers above 0."""
    if not isinstance(shape, Iterable):
        raise ValueError(f"The shape of an image is (H, W) or (C, H, W), not {shape!r}.")
    sides = tuple(shape)
    if len(sides) not in (2, 3):
        raise ValueError(f"The shape of an image is (H, W) or (C, H, W), not {sides}.")
    if not all(is_count(side) for side in sides):
        raise ValueError(
            f"The sides of an image are whole numbers above 0, as in shape=(28, 28), not {sides}."
        )


def widths(hidden: Sequence[int]) -> None:
    """Raise ValueError unless these are widths of hidden layers, any number of whole numbers above 0."""
    if not isinstance(hidden, Iterable):
        raise ValueError(f"The hidden layers are a row, one number each: write ({hidden},), not {hidden}.")
    if not all(is_count(width) for width in hidden):
        raise ValueError(f"Each layer has a whole number of units or channels, above 0, not {list(hidden)}.")


def images(x: Tensor, pixels: int, weights: Tensor | None = None) -> None:
    """Raise ValueError unless x is (N, pixels), N > 0, floating point and in [0, 1].

    weights: some of the model's, whose dtype and device x must have. The pixels' range is looked at on the
    CPU always, on a GPU in the first batch that a model gets.
    """
    tensors(x)
    if x.ndim != 2 or x.shape[1] != pixels:
        raise ValueError(
            f"This model takes images as rows of {pixels} pixels, (N, {pixels}), not {tuple(x.shape)}: "
            f"use digits.pixels() or images.flatten(1){' / 255' if x.dtype == torch.uint8 else ''}."
        )
    if len(x) == 0:
        raise ValueError("There is no image in this batch: pass at least one.")
    if not x.is_floating_point():
        raise ValueError(f"Pixels are numbers in [0, 1], not {x.dtype}: use digits.pixels() or binarize().")
    if weights is not None:
        like("images", x, weights)
    if _may_look(x, weights):
        low, high = (float(v) for v in x.detach().aminmax())
        if not (low >= 0 and high <= 1):  # so written, NaN is caught as well
            raise ValueError(f"Pixels lie in [0, 1]; these reach from {low:.8g} to {high:.8g}.")


def _may_look(x: Tensor, weights: Tensor | None) -> bool:
    """Whether the pixels' range is to be looked at: compiled code would break in two there."""
    kind = x.device.type
    if torch.compiler.is_compiling() or kind not in ("cpu", "cuda", "mps"):
        return False
    if kind == "cpu":
        return True
    # a GPU's answer has to be waited for, so there it is asked for once a model, and not in a CUDA graph
    recording = kind == "cuda" and torch.cuda.is_current_stream_capturing()
    if weights is None or recording or getattr(weights, "has_seen_images", False):
        return False
    weights.has_seen_images = True  # type: ignore[attr-defined]
    return True


def like(what: str, values: Tensor, weights: Tensor) -> None:
    """Raise ValueError unless the values have the weights' device and, but under autocast, their dtype."""
    if values.device != weights.device:
        raise ValueError(
            f"The {what} are on {values.device} and the model is on {weights.device}: "
            f"use {what}.to({str(weights.device)!r})."
        )
    if values.dtype == weights.dtype:
        return
    # autocast converts between the shorter kinds; float64 it leaves as it is
    short = torch.float64 not in (values.dtype, weights.dtype) and values.is_floating_point()
    if not (short and torch.is_autocast_enabled(values.device.type)):
        raise ValueError(
            f"The {what} are {values.dtype} and the model's weights {weights.dtype}: "
            f"use {what}.to({weights.dtype})."
        )


def codes(z: Tensor, numbers: int, weights: Tensor) -> None:
    """Raise ValueError unless z is (..., numbers), with the weights' dtype and device."""
    tensors(z)
    if z.ndim == 0 or z.shape[-1] != numbers:
        raise ValueError(f"A code z has {numbers} numbers here, (..., {numbers}), not {tuple(z.shape)}.")
    like("codes", z, weights)


def number_of_images(n: int) -> None:
    """Raise ValueError unless n is a whole number, 0 or more."""
    if not is_count(n, 0):
        raise ValueError(f"The number of images is a whole number, 0 or more, not {n!r}.")


def labels(y: Tensor, classes: int) -> None:
    """Raise ValueError unless y are labels (N,): integers in 0 … classes − 1."""
    tensors(y)
    label_type(y, classes)
    if y.ndim != 1:
        raise ValueError(f"Labels are one integer a row, (N,), not {tuple(y.shape)}.")
    label_range(y, classes)


def label_type(y: Tensor, classes: int) -> None:
    """Raise ValueError unless y holds integers, (N,) or one for all."""
    if y.is_floating_point() or y.is_complex() or y.ndim > 1:
        hint = ": of one-hot rows take .argmax(1)" if y.shape[1:] == (classes,) else ""
        raise ValueError(f"Labels are integers, (N,) or one for all, not {y.dtype} {tuple(y.shape)}{hint}.")


def label_range(y: Tensor, classes: int) -> None:
    """Raise ValueError unless the labels y lie in 0 … classes − 1."""
    if y.numel() and not 0 <= int(y.min()) <= int(y.max()) < classes:
        raise ValueError(f"Labels lie in 0 … {classes - 1}; these reach from {y.min()} to {y.max()}.")
