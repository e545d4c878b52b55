"""Argument checks: if a check fails, a ValueError says what is wrong and what to do.

Values are checked where a caller passes them to the package; internal code does not check them
again. A message is built only when it is needed.
"""

from collections.abc import Iterable, Sequence
from numbers import Integral

import torch
from torch import Tensor


def is_count(value: object, least: int = 1) -> bool:
    """Return whether `value` is an integer (but not a bool) and not less than `least`."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def all_finite(x: Tensor) -> bool:
    """Return whether x is finite everywhere, without the temporary copy that `x.isfinite()` makes.

    One pass over x is enough, because its minimum and maximum are both NaN if any element is NaN.
    """
    return x.numel() == 0 or bool(torch.stack(torch.aminmax(x.detach())).isfinite().all())


def tensors(*values: object) -> None:
    """Raise ValueError if any of the values is not a torch tensor."""
    for value in values:
        if not isinstance(value, torch.Tensor):
            raise ValueError(
                f"Expected a torch tensor, but got {type(value).__name__}. "
                "Convert it with torch.as_tensor."
            )


def shape(shape: Sequence[int]) -> None:
    """Raise ValueError unless `shape` is (H, W) or (C, H, W) and consists of positive integers."""
    if not isinstance(shape, Iterable):
        raise ValueError(f"The shape of an image must be (H, W) or (C, H, W), not {shape!r}.")
    sides = tuple(shape)
    if len(sides) not in (2, 3):
        raise ValueError(f"The shape of an image must be (H, W) or (C, H, W), not {sides}.")
    if not all(is_count(side) for side in sides):
        raise ValueError(
            "The dimensions of an image must be positive integers, as in shape=(28, 28), "
            f"but got {sides}."
        )


def widths(hidden: Sequence[int]) -> None:
    """Raise ValueError unless `hidden` is a (possibly empty) sequence of positive integers."""
    if not isinstance(hidden, Iterable):
        raise ValueError(
            f"The widths of the layers must be a sequence, such as ({hidden},), but got {hidden}."
        )
    if not all(is_count(width) for width in hidden):
        raise ValueError(
            "The number of units or channels in each layer must be a positive integer, "
            f"but got {list(hidden)}."
        )


def images(x: Tensor, pixels: int, weights: Tensor | None = None) -> None:
    """Raise ValueError unless x is a non-empty float tensor of shape (N, pixels)
    with values in [0, 1].

    weights: one of the model's weight tensors; x must be on the same device and, except under
    autocast, have the same dtype. On the CPU, the range of the pixels is checked in every batch; on
    a GPU, it is checked only in a model's first batch, and not at all if `weights` is not given.
    """
    tensors(x)
    if x.ndim != 2 or x.shape[1] != pixels:
        raise ValueError(
            f"The images must have shape (N, {pixels}), one row of pixels per image, but got "
            f"{tuple(x.shape)}. Use digits.pixels() or "
            f"images.flatten(1){' / 255' if x.dtype == torch.uint8 else ''}."
        )
    if len(x) == 0:
        raise ValueError("The batch contains no images. Pass at least one.")
    if not x.is_floating_point():
        raise ValueError(
            f"Pixels must be floats in [0, 1], not {x.dtype}. Use digits.pixels() or binarize()."
        )
    if weights is not None:
        like("images", x, weights)
    if _may_look(x, weights):
        low, high = (float(v) for v in x.detach().aminmax())
        if not (low >= 0 and high <= 1):  # written this way, the test also catches NaN
            raise ValueError(
                f"Pixels must be in [0, 1], but these range from {low:.8g} to {high:.8g}."
            )


def _may_look(x: Tensor, weights: Tensor | None) -> bool:
    """Return whether to check the range of the pixels.

    Compiled code skips the check to avoid a graph break.
    """
    kind = x.device.type
    if torch.compiler.is_compiling() or kind not in ("cpu", "cuda", "mps"):
        return False
    if kind == "cpu":
        return True
    # the check waits for the GPU, so it runs only once per model, and never during graph capture
    recording = kind == "cuda" and torch.cuda.is_current_stream_capturing()
    if weights is None or recording or getattr(weights, "has_seen_images", False):
        return False
    weights.has_seen_images = True  # type: ignore[attr-defined]
    return True


def like(what: str, values: Tensor, weights: Tensor) -> None:
    """Raise ValueError unless the values have the same dtype and device as the weights.

    Under autocast, the dtypes may differ if both are floating-point types other than float64.
    """
    if values.device != weights.device:
        raise ValueError(
            f"The {what} are on {values.device}, but the model is on {weights.device}. "
            f"Use {what}.to({str(weights.device)!r})."
        )
    if values.dtype == weights.dtype:
        return
    # autocast converts between the shorter floating-point types, but leaves float64 unchanged
    short = torch.float64 not in (values.dtype, weights.dtype) and values.is_floating_point()
    if not (short and torch.is_autocast_enabled(values.device.type)):
        raise ValueError(
            f"The {what} are {values.dtype}, but the model's weights are {weights.dtype}. "
            f"Use {what}.to({weights.dtype})."
        )


def codes(z: Tensor, numbers: int, weights: Tensor) -> None:
    """Raise ValueError unless z has shape (..., numbers) and matches `weights` in device and dtype.

    Under autocast, the dtypes may differ as in `like`.
    """
    tensors(z)
    if z.ndim == 0 or z.shape[-1] != numbers:
        raise ValueError(f"The codes z must have shape (..., {numbers}), not {tuple(z.shape)}.")
    like("codes", z, weights)


def number_of_images(n: int) -> None:
    """Raise ValueError unless n is a non-negative integer."""
    if not is_count(n, 0):
        raise ValueError(f"The number of images must be a non-negative integer, not {n!r}.")


def labels(y: Tensor, classes: int) -> None:
    """Raise ValueError unless y has shape (N,) and contains only integers from 0 to classes − 1."""
    tensors(y)
    label_type(y, classes)
    if y.ndim != 1:
        raise ValueError(
            f"Labels must have shape (N,), one integer per row, but got {tuple(y.shape)}."
        )
    label_range(y, classes)


def label_type(y: Tensor, classes: int) -> None:
    """Raise ValueError unless y is an integer tensor of shape (N,) or one integer for all rows."""
    if y.is_floating_point() or y.is_complex() or y.ndim > 1:
        hint = ". Convert one-hot rows with .argmax(1)" if y.shape[1:] == (classes,) else ""
        raise ValueError(
            "Labels must be integers of shape (N,), or one integer for all rows, "
            f"but got {y.dtype} of shape {tuple(y.shape)}{hint}."
        )


def label_range(y: Tensor, classes: int) -> None:
    """Raise ValueError unless all labels y are between 0 and classes − 1."""
    if y.numel() and not 0 <= int(y.min()) <= int(y.max()) < classes:
        raise ValueError(
            f"Labels must be from 0 to {classes - 1}, but these range from {y.min()} to {y.max()}."
        )
