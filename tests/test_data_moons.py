"""The moons against a sphere lit by a far sun, which knows nothing of ellipses."""

import math

import pytest
import torch

from course_lib.data import draw_moon, moon_phases


def sphere(phase: float, size: int, fine: int = 32) -> torch.Tensor:
    """A lit sphere of radius 0.85, seen from the front, averaged over fine×fine points a pixel."""
    t = ((torch.arange(size * fine, dtype=torch.float64) + 0.5) / (size * fine) * 2 - 1) / 0.85
    y, x = torch.meshgrid(t, t, indexing="ij")
    z = (1 - x**2 - y**2).clamp(min=0).sqrt()
    # The sun stands behind at new moon, to the right at the first quarter,
    # behind the viewer at full moon.
    angle = 2 * math.pi * phase
    lit = (x**2 + y**2 < 1) & (x * math.sin(angle) - z * math.cos(angle) > 0)
    return lit.double().reshape(size, fine, size, fine).mean((1, 3))


@pytest.mark.parametrize("phase", [0.0, 0.03, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.93])
def test_equal_to_a_lit_sphere(phase):
    ours = draw_moon(torch.tensor([phase]), 28)[0].double()
    # A pixel at a steep edge differs by up to one of the reference's 32 columns
    # and one of our 8 lines.
    assert (ours - sphere(phase, 28)).abs().max() < 1 / 32 + 1 / 8
    assert (ours - sphere(phase, 28)).abs().mean() < 1e-3


@pytest.mark.parametrize("size", [16, 28, 64])
def test_lit_area_is_the_known_fraction(size):
    images, phase = moon_phases(41, size, between=(0.0, 1.0))
    disc = math.pi * (0.85 * size / 2) ** 2
    fraction = (1 - torch.cos(2 * math.pi * phase)) / 2
    # 8 lines a pixel integrate the half circle √(1−y²) to about (1/lines)^1.5: 1e-3 at 16 pixels.
    assert (images.double().sum((1, 2)) / disc - fraction).abs().max() < 1e-3


def test_shapes_values_and_order():
    images, phase = moon_phases(9, 20, between=(0.1, 0.5))
    assert images.shape == (9, 20, 20)
    assert images.dtype == torch.float32
    assert images.min() == 0
    assert images.max() == 1
    torch.testing.assert_close(phase, torch.linspace(0.1, 0.5, 9, dtype=torch.float64))
    waxing = draw_moon(torch.tensor([0.2]))
    assert waxing[..., 14:].sum() > 5 * waxing[..., :14].sum()  # lit on the right, as in the north
    torch.testing.assert_close(waxing.flip(-1), draw_moon(torch.tensor([0.8])))
    # Edges are soft: some pixels are neither black nor white.
    assert ((waxing > 0.05) & (waxing < 0.95)).sum() > 20
