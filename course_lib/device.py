"""Where the tensors live, and whether this is a short run."""

import os
import platform

import torch

FAST: bool = os.environ.get("COURSE_FAST", "") not in ("", "0")  # small budgets, for testing the notebooks


def pick_device(name: str | torch.device | None = None) -> torch.device:
    """The device to compute on: `name`, else $COURSE_DEVICE, else the first available of CUDA, MPS, CPU.

    MPS (Apple's GPU) has no float64: mixtures, densities and exact bounds, which need it, stay on the CPU.
    Raises ValueError for a name that torch does not know and for a device that this machine lacks.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = torch.backends.mps.is_available()
    best = "cuda" if gpus else "mps" if mps else "cpu"
    asked = name if name not in (None, "") else os.environ.get("COURSE_DEVICE") or best
    try:
        device = torch.device(asked)
    except (RuntimeError, TypeError):  # TypeError: for what is no name at all, such as 2.5
        raise ValueError(f"{asked!r} is not a torch device: use cpu, cuda, cuda:1 or mps.") from None
    if (device.type == "cuda" and (device.index or 0) >= gpus) or (device.type == "mps" and not mps):
        raise ValueError(f"{str(asked)!r} was asked for, but torch finds no such device here: use cpu.")
    return device


def knows_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 itself. Others emulate it, a CPU at an eighth of its speed."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    if platform.machine().lower() in ("x86_64", "amd64"):  # oneDNN says yes to all of AVX-512, and imitates
        return torch.cpu._is_avx512_bf16_supported()
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
