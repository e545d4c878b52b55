"""Which code computes: a Triton kernel, or the plain PyTorch function beside it, its reference.

Each kernel of this package has a reference that gives the same numbers. Kernels run on a GPU; with
TRITON_INTERPRET=1 in the environment before Triton is imported, also in Triton's interpreter, which plays
them in Python, one program after the other. Where Triton is missing (Windows, macOS) the references serve.
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

    triton, tl = None, SimpleNamespace(constexpr=int)  # enough to define a kernel that nobody can start

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"  # as it was when the kernels were defined
ran: dict[str, str] = {}  # what computed each function's last result, in words
_is_off = False


def jit(function: Callable[..., Any]) -> Any:
    """`triton.jit`, or the function as it is where Triton is missing."""
    return triton.jit(function) if triton else function


@contextmanager
def switched_off() -> Iterator[None]:
    """Inside of `with switched_off():` no kernel runs, wherever the tensors are."""
    global _is_off
    before, _is_off = _is_off, True
    try:
        yield
    finally:
        _is_off = before


def which(device: torch.device | str) -> str:
    """What computes on this device, in words: "Triton …", or "PyTorch: " and the reason."""
    device = torch.device(device)
    if _is_off:
        return "PyTorch: asked for"
    if triton is None:
        return "PyTorch: Triton is not installed"
    if INTERPRETED:
        return "Triton's interpreter"
    if device.type == "cuda":
        return f"Triton on {torch.cuda.get_device_name(device)}"
    return f"PyTorch: Triton has no code for a tensor on {device.type}"


def kernel_runs(name: str, tensor: Tensor, unless: str = "") -> bool:
    """Whether the kernel computes, noted in `ran[name]`. unless: a reason for the reference instead."""
    ran[name] = f"PyTorch: {unless}" if unless else which(tensor.device)
    return ran[name].startswith("Triton")


def compute_dtype(tensor: Tensor) -> torch.dtype:
    """In what a kernel and its reference add up: float64 for float64, else float32."""
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


def rows(tensor: Tensor) -> Tensor:
    """The tensor with neighbours in a row next to each other in memory; the rows may lie anywhere."""
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


def check(condition: bool, sentence: str) -> None:
    """Raise ValueError(sentence) unless the condition holds."""
    if not condition:
        raise ValueError(sentence)
