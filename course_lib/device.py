"""Device selection, and the flag `FAST` for short runs."""

import os
import platform

import torch

# Small budgets, for testing the notebooks.
FAST: bool = os.environ.get("COURSE_FAST", "") not in ("", "0")


def pick_device(name: str | torch.device | None = None) -> torch.device:
    """Return the device to use: `name`, or else $COURSE_DEVICE,
    or else the first of CUDA, MPS and CPU that is available.

    MPS (Apple GPUs) does not support float64, so mixtures, densities and exact bounds
    stay on the CPU.
    Raises ValueError if torch does not recognize the name, or if this machine has no such device.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = torch.backends.mps.is_available()
    best = "cuda" if gpus else "mps" if mps else "cpu"
    asked = name if name not in (None, "") else os.environ.get("COURSE_DEVICE") or best
    try:
        device = torch.device(asked)
    except (RuntimeError, TypeError):  # TypeError: not even a string (2.5, for example)
        raise ValueError(
            f"{asked!r} is not a torch device. Use cpu, cuda, cuda:1 or mps."
        ) from None
    lacks_cuda = device.type == "cuda" and (device.index or 0) >= gpus
    lacks_mps = device.type == "mps" and not mps
    if lacks_cuda or lacks_mps:
        raise ValueError(
            f"{str(asked)!r} was requested, but torch finds no such device on this machine. "
            "Use cpu."
        )
    return device


def knows_bfloat16(device: torch.device) -> bool:
    """Return whether the device natively supports matrix multiplication in bfloat16.

    On a CPU, emulated bfloat16 products run at one eighth of the speed of float32 products.
    """
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    if platform.machine().lower() in ("x86_64", "amd64"):
        # oneDNN, asked below, reports support on every AVX-512 CPU
        return torch.cpu._is_avx512_bf16_supported()
    if not torch.backends.mkldnn.is_available():
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
