"""What widgets are given, as arrays. A tensor brings its own methods, so PyTorch is not loaded for that."""

from typing import Any

import numpy as np


def as_array(values: Any, dtype: type = np.float64) -> np.ndarray:
    """Tensors, arrays, tables or lists of numbers as an array; ValueError or TypeError for anything else."""
    if hasattr(values, "detach"):  # a tensor, of any device and floating-point type
        values = values.detach().cpu()
        values = values.double() if values.is_floating_point() else values
        return values.numpy().astype(dtype)
    if np.ma.is_masked(values):
        raise ValueError(
            "A masked array's mask would be lost: drop its rows first, with np.ma.compress_rows."
        )
    array = np.asarray(values)
    if array.dtype == object and array.ndim == 0:
        raise TypeError(f"Pass an array or a tensor, not {type(values).__name__}.")
    if array.dtype.kind == "c":
        raise ValueError("Complex numbers cannot be drawn: pass real ones.")
    return array.astype(dtype)
