"""Each density integrates to one, equals scipy's where scipy has it, and its samples follow it."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import integrate, signal, stats

from course_lib.data import densities
from course_lib.data.densities import Density

ALL = [value for value in vars(densities).values() if isinstance(value, Density)]
LINE = [density for density in ALL if density.dim == 1]
PLANE = [density for density in ALL if density.dim == 2]
REFERENCE = {
    "normal": [(1, stats.norm())],
    "two modes": [(0.4, stats.norm(-2, 0.5)), (0.6, stats.norm(1.5, 1))],
    "three modes": [
        (0.3, stats.norm(-3.5, 0.6)),
        (0.25, stats.norm(-0.5, 0.3)),
        (0.45, stats.norm(2.5, 1)),
    ],
    "uniform": [(1, stats.uniform(-2, 4))],
    "log-normal": [(1, stats.lognorm(0.6))],
}


def name(density: Density) -> str:
    return density.name


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_list_is_whole():
    assert {d.name for d in LINE} == {*REFERENCE, "skyline"}
    assert {d.name for d in PLANE} == {
        "ring",
        "flower",
        "pinwheel",
        "spiral",
        "eight modes",
        "checkerboard",
    }


@pytest.mark.parametrize("density", [d for d in LINE if d.name in REFERENCE], ids=name)
def test_equal_to_scipy(density):
    x = np.linspace(-7, 7, 1001) + 1e-3  # off the uniform's edges, where conventions differ
    expected = sum(w * part.pdf(x) for w, part in REFERENCE[density.name])
    # float64
    np.testing.assert_allclose(density.log_prob(x).exp(), expected, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("density", LINE, ids=name)
def test_integrates_to_one_on_the_line(density):
    low, high = max(density.support[0], -15), min(density.support[1], 60)
    breaks = np.linspace(
        low, high, round((high - low) / 0.1) + 1
    )  # every point of the skyline is one of them
    total = sum(
        integrate.fixed_quad(lambda x: density.log_prob(x).exp().numpy(), a, b, n=12)[0]
        for a, b in pairwise(breaks)
    )
    # Twelve points are exact for the skyline's cubics, to rounding for the rest;
    # log-normal's tail is 1e-11.
    assert total == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("density", LINE, ids=name)
def test_samples_follow_the_density_on_the_line(density):
    x = np.linspace(max(density.support[0], -9), min(density.support[1], 40), 400_001)
    p = density.log_prob(x).exp().numpy()
    cdf = integrate.cumulative_trapezoid(p, x, initial=0)
    for seed in range(5):
        sample = density.sample(20_000, seeded(seed))
        assert sample.shape == (20_000,)
        assert sample.dtype == torch.float64
        assert density.log_prob(sample).isfinite().all()
        distance = stats.kstest(sample.numpy(), lambda v: np.interp(v, x, cdf)).statistic
        # √n·D > 2.3 happens once in 20,000 sound samples (2·exp(−2·2.3²)).
        assert distance * math.sqrt(20_000) < 2.3


def on_grid(density: Density, low: float, high: float, n: int) -> torch.Tensor:
    """Masses of n×n cells, by the density in the middle of each: (n, n), first index x."""
    t = low + (torch.arange(n, dtype=torch.float64) + 0.5) * (high - low) / n
    rows = [density.log_prob(torch.cartesian_prod(part, t)).exp() for part in t.split(50)]
    return torch.cat(rows).reshape(n, n) * ((high - low) / n) ** 2


@pytest.mark.parametrize("density", PLANE, ids=name)
def test_integrates_to_one_on_the_plane(density):
    # ±7 is beyond 7 standard deviations; cells of 0.01 are 1/15 of the narrowest. A smooth
    # density's midpoint sum is then good to 1e-8; the flower is not smooth at its centre, and the
    # board's edges are cell edges.
    assert on_grid(density, -7, 7, 1400).sum().item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("density", PLANE, ids=name)
def test_samples_follow_the_density_on_the_plane(density):
    n, bins, (low, high) = 50_000, 40, density.limits
    mass = on_grid(density, low, high, bins * 25).reshape(bins, 25, bins, 25).sum((1, 3)).numpy()
    # below, the chi-square law does not hold: all those bins and the outside are one
    common = n * mass > 10
    expected = np.append(n * mass[common], n * (1 - mass[common].sum()))
    for seed in range(3):
        sample = density.sample(n, seeded(seed))
        assert sample.shape == (n, 2)
        assert sample.dtype == torch.float64
        assert density.log_prob(sample).isfinite().all()
        counts = np.histogram2d(*sample.numpy().T, bins=bins, range=[(low, high)] * 2)[0][common]
        observed = np.append(counts, n - counts.sum())
        # the board leaves nothing outside
        square = ((observed - expected) ** 2 / expected.clip(1e-6)).sum()
        assert stats.chi2(len(expected) - 1).sf(square) > 1e-4  # 18 draws: once in 500 sound codes


@pytest.mark.parametrize("density", ALL, ids=name)
def test_the_generator_decides(density):
    before = torch.get_rng_state()
    assert torch.equal(density.sample(50, seeded(3)), density.sample(50, seeded(3)))
    assert not torch.equal(density.sample(50, seeded(3)), density.sample(50, seeded(4)))
    assert torch.equal(torch.get_rng_state(), before)  # the global generator is left alone
    torch.manual_seed(0)
    first = density.sample(50)
    torch.manual_seed(0)
    assert torch.equal(first, density.sample(50))


@pytest.mark.parametrize("density", ALL, ids=name)
def test_gradients(density):
    # A later chapter uses the flower as a prior and needs d log p/dx.
    # gradcheck compares with differences.
    x = density.sample(20, seeded(0)).requires_grad_()
    torch.autograd.gradcheck(density.log_prob, x, atol=1e-4)


@pytest.mark.parametrize("density", ALL, ids=name)
def test_shapes_and_kinds(density):
    x = density.sample(6, seeded(0))
    shaped = x.reshape(3, 2, *x.shape[1:])
    assert torch.equal(density.log_prob(shaped), density.log_prob(x).reshape(3, 2))
    assert density.log_prob(x.float()).dtype == torch.float64
    assert torch.equal(density.log_prob(x.numpy()), density.log_prob(x))
    inside = (density.limits[0] < x) & (x < density.limits[1])
    assert inside.all()


@pytest.mark.parametrize(
    ("density", "x"),
    [
        (densities.uniform, [-2.1, 2.1]),
        (densities.log_normal, [-1.0, 0.0]),
        (densities.skyline, [-6.0, 6.0, -7.0, 7.0]),
        (densities.checkerboard, [[-1.5, -0.5], [2.5, 0.5], [0.5, 2.5], [-2.5, 0.5]]),
    ],
    ids=["uniform", "log-normal", "skyline", "checkerboard"],
)
def test_nothing_falls_outside(density, x):
    assert (density.log_prob(torch.tensor(x)) == -math.inf).all()


def test_the_centre_has_a_density():
    centre = torch.zeros(1, 2)
    assert densities.flower.log_prob(centre) < -50
    assert not densities.ring.log_prob(centre).isnan().any()
    assert densities.pinwheel.log_prob(centre).isfinite().all()


@pytest.mark.parametrize("density", PLANE, ids=name)
def test_wrong_shape_is_named(density):
    with pytest.raises(
        ValueError, match=rf"'{density.name}' requires points of shape \(..., 2\), but got \(5, 3\)"
    ):
        density.log_prob(torch.zeros(5, 3))


def test_the_skyline_is_wild():
    x = torch.linspace(-6, 6, 4001, dtype=torch.float64)
    p = densities.skyline.log_prob(x).exp().numpy()
    peaks, _ = signal.find_peaks(p)
    assert len(peaks) >= 8
    assert p[peaks].max() > 4 * p[peaks].min()  # uneven
