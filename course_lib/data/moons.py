"""Images of the moon for the auto-encoders; a single number, the phase, determines each image."""

import math

import torch
from torch import Tensor


def moon_phases(
    n: int, size: int = 28, between: tuple[float, float] = (0.0, 0.5)
) -> tuple[Tensor, Tensor]:
    """Return n images of the moon together with their phases, measured in cycles.

    The images are float32 of shape (n, size, size), and the phases are float64 of shape (n,). The
    pixels are in [0, 1]. Phase 0 is the new moon, ¼ the first quarter, ½ the full moon and ¾ the
    last quarter. The phases are evenly spaced over the interval `between`, including both ends. The
    images of the half cycle from new moon to full moon form a curve with two ends, which a
    one-dimensional code can represent. Those of the full cycle (0, 1) form a closed curve, which
    such a code cannot represent.
    """
    first, last = between
    phase = first + (last - first) * torch.linspace(0, 1, n, dtype=torch.float64)  # (n,)
    return draw_moon(phase, size), phase


def draw_moon(phase: Tensor, size: int = 28) -> Tensor:
    """Draw the moon at each of the given phases, as seen from the northern hemisphere.

    phase: shape (n,). Returns float32 images of shape (n, size, size). Each row is lit from the
    edge of the disc to the terminator, which is half an ellipse. The lit fraction of the disc is
    (1 − cos 2π·phase)/2. Source: Meeus 1998, Astronomical Algorithms, chapter 48.
    """
    fine = 8  # lines per pixel; the coverage along each line is exact
    radius, width = 0.85, 2 / size
    y = (torch.arange(size * fine).double() + 0.5) * width / fine - 1  # (R,) from −1 to 1
    edge = (radius**2 - y**2).clamp(min=0).sqrt()  # (R,) half the width of the disc
    phase = phase.to("cpu", torch.float64)[:, None] % 1  # (n, 1)
    terminator = edge * torch.cos(2 * math.pi * phase)  # (n, R)
    left = torch.where(phase <= 0.5, terminator, -edge)[..., None]  # (n, R, 1)
    right = torch.where(phase <= 0.5, edge, -terminator)[..., None]
    pixel = torch.arange(size).double() * width - 1  # (size,) the left edge of each pixel
    overlap = torch.minimum(right, pixel + width) - torch.maximum(left, pixel)  # (n, R, size)
    covered = overlap.clamp(min=0) / width
    return covered.unflatten(1, (size, fine)).mean(2).float()  # (n, size, size)
