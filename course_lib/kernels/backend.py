"""The choice between a Triton kernel and its reference, an equivalent plain PyTorch function.

Kernels run on a GPU. If TRITON_INTERPRET=1 is set before Triton is imported, kernels run in
Triton's interpreter instead, which executes their programs one after another in Python. If Triton
is not installed, as on Windows and macOS, the references are used.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

try:
    import triton
    import triton.language as tl
except ImportError:
    from types import SimpleNamespace

    # Enough to define kernels, but not to launch them.
    triton, tl = None, SimpleNamespace(constexpr=int)

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"  # the setting when the kernels were defined
ran: dict[str, str] = {}  # for each function, a description of what computed its last result
_is_off = False


def jit(function: Callable[..., Any]) -> Any:
    """Apply `triton.jit`, or return the function unchanged if Triton is not installed."""
    return triton.jit(function) if triton else function


@contextmanager
def switched_off() -> Iterator[None]:
    """Disable all kernels inside the `with` block, on every device."""
    global _is_off
    before, _is_off = _is_off, True
    try:
        yield
    finally:
        _is_off = before


def which(device: torch.device | str) -> str:
    """Describe the implementation that is used on this device.

    The result begins with "Triton", or it is "PyTorch: " followed by the reason why no kernel is
    used.
    """
    device = torch.device(device)
    if _is_off:
        return "PyTorch: the kernels are switched off"
    if triton is None:
        return "PyTorch: Triton is not installed"
    if INTERPRETED:
        return "Triton's interpreter"
    if device.type == "cuda":
        return f"Triton on {torch.cuda.get_device_name(device)}"
    return f"PyTorch: Triton does not support tensors on {device.type}"


def kernel_runs(name: str, tensor: Tensor, unless: str = "") -> bool:
    """Return whether to run the kernel, and record the choice in `ran[name]`.

    unless: a reason to use the reference instead, or "" if there is none.
    """
    ran[name] = f"PyTorch: {unless}" if unless else which(tensor.device)
    return ran[name].startswith("Triton")


def compute_dtype(tensor: Tensor) -> torch.dtype:
    """Return the dtype for computing sums: float64 for a float64 tensor, float32 for any other."""
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


def rows(tensor: Tensor) -> Tensor:
    """Return the tensor itself if each row is contiguous in memory, or else a contiguous copy."""
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


def check(condition: bool, sentence: str) -> None:
    """Raise ValueError(sentence) unless the condition is true."""
    if not condition:
        raise ValueError(sentence)
