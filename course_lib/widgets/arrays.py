"""Convert widget arguments to arrays, without importing PyTorch just to recognize tensors."""

from typing import Any

import numpy as np


def as_array(values: Any, dtype: type = np.float64) -> np.ndarray:
    """Convert a tensor, an array, a table or a list of numbers to a NumPy array.

    Raises ValueError or TypeError for anything else.
    """
    if hasattr(values, "detach"):  # a tensor on any device, of any floating-point type
        values = values.detach().cpu()
        values = values.double() if values.is_floating_point() else values
        return values.numpy().astype(dtype)
    if np.ma.is_masked(values):
        raise ValueError(
            "Masked arrays are not supported, because the mask would be lost. Remove the masked "
            "rows with np.ma.compress_rows."
        )
    array = np.asarray(values)
    if array.dtype == object and array.ndim == 0:
        raise TypeError(f"Expected an array or a tensor, but got {type(values).__name__}.")
    if array.dtype.kind == "c":
        raise ValueError("Complex numbers cannot be drawn. Pass real numbers.")
    return array.astype(dtype)
