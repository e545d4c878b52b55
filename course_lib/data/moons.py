"""Pictures of the moon with a known phase: images that one number explains, for the auto-encoders."""

import math

import torch
from torch import Tensor


def moon_phases(n: int, size: int = 28, between: tuple[float, float] = (0.0, 0.5)) -> tuple[Tensor, Tensor]:
    """n moons: images (n, size, size), float32 in [0, 1], and their phases (n,), float64, in cycles.

    Phase 0 is the new moon, ¼ the first quarter, ½ full, ¾ the last quarter. They are evenly spaced between
    the two given, ends included. From new to full is a line, which a code of one number can follow; the whole
    cycle (0, 1) is a circle, which it cannot.
    """
    phase = between[0] + (between[1] - between[0]) * torch.linspace(0, 1, n, dtype=torch.float64)  # (n,)
    return draw_moon(phase, size), phase


def draw_moon(phase: Tensor, size: int = 28) -> Tensor:
    """The moons at the phases (n,), as the Earth's northern half sees them: (n, size, size), float32.

    A row is lit from the disc's edge to the terminator, which is half an ellipse; of the whole disc
    (1 − cos 2π·phase)/2 is lit. Source: Meeus 1998, Astronomical Algorithms, chapter 48.
    """
    fine, radius, width = 8, 0.85, 2 / size  # 8 lines a pixel; along a line the cover of a pixel is exact
    y = (torch.arange(size * fine, dtype=torch.float64) + 0.5) * width / fine - 1  # (R,) from −1 to 1
    edge = (radius**2 - y**2).clamp(min=0).sqrt()  # (R,) half the disc's width
    phase = phase.to("cpu", torch.float64)[:, None] % 1  # (n, 1)
    terminator = edge * torch.cos(2 * math.pi * phase)  # (n, R)
    left = torch.where(phase <= 0.5, terminator, -edge)[..., None]  # (n, R, 1)
    right = torch.where(phase <= 0.5, edge, -terminator)[..., None]
    pixel = torch.arange(size, dtype=torch.float64) * width - 1  # (size,) the left side of each
    covered = (torch.minimum(right, pixel + width) - torch.maximum(left, pixel)).clamp(min=0) / width
    return covered.unflatten(1, (size, fine)).mean(2).float()  # (n, size, size)
