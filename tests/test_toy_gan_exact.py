"""Exact quantities against scipy: densities of G, divergences, D*, and two Gaussians' answers."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from course_lib.data import densities
from course_lib.toy_gan import CELLS, Game, Settings, exact, losses
from course_lib.toy_gan.grid import FINE, grid, hills

LINE = grid(Settings(data="normal"))
NORMAL_Z = grid(Settings(data="normal", z="normal"))
WIDE = torch.linspace(-9, 11, 20_001, dtype=torch.float64)  # cells of 0.001
P, Q = stats.norm(0, 1), stats.norm(2, 1)


def masses(distribution):
    """By the middle of each cell, as differences of a distribution function vanish in the tails."""
    p = torch.from_numpy(distribution.pdf(WIDE[:-1].numpy() + 5e-4))
    return p / p.sum()


def quad(f, low=-9.0, high=11.0):
    return integrate.quad(f, low, high, limit=400, epsabs=1e-11, points=(0.0, 1.0, 2.0))[0]


# ---------------------------------------------------------------- two Gaussians


def test_known_answers_of_two_gaussians():
    p, q = masses(P), masses(Q)
    # Cells of 0.001 err by about their width squared, 1e-6 times the divergence.
    assert float(exact.jsd(p, q)) == pytest.approx(0.336831, abs=1e-6)
    assert float(exact.best_value("minimax", p, q, 1e-3)) == pytest.approx(-0.712633, abs=1e-6)
    assert float(exact.kl(p, q)) == pytest.approx(2, abs=1e-5)  # μ²/2, both ways
    assert float(exact.kl(q, p)) == pytest.approx(2, abs=1e-5)
    assert float(exact.wasserstein(p, q, 1e-3)) == pytest.approx(2, abs=1e-6)  # a shift by 2
    assert float(exact.total_variation(p, q)) == pytest.approx(2 * stats.norm.cdf(1) - 1, abs=1e-6)


def test_everything_against_quadrature():
    p, q = masses(stats.norm(0, 1)), masses(stats.laplace(1, 0.7))
    a, b = stats.norm(0, 1), stats.laplace(1, 0.7)

    def jsd(x):
        m = (a.pdf(x) + b.pdf(x)) / 2
        return (a.pdf(x) * (a.logpdf(x) - np.log(m)) + b.pdf(x) * (b.logpdf(x) - np.log(m))) / 2

    def kl(f, g):
        return quad(lambda x: f.pdf(x) * (f.logpdf(x) - g.logpdf(x)))

    def square(x):
        return -a.pdf(x) * b.pdf(x) / (a.pdf(x) + b.pdf(x)) / 2

    # 1e-5: cells of 0.001, and what lies beyond −9 and 11 (10⁻⁶ of the Laplace)
    assert float(exact.jsd(p, q)) == pytest.approx(quad(jsd), abs=1e-5)
    assert float(exact.kl(p, q)) == pytest.approx(kl(a, b), abs=1e-5)
    # the Laplace's tail: x² in it
    assert float(exact.kl(q, p)) == pytest.approx(kl(b, a), abs=1e-4)
    best = float(exact.best_value("least_squares", p, q, 1e-3))
    assert best == pytest.approx(quad(square), abs=1e-5)
    w1 = quad(lambda x: abs(a.cdf(x) - b.cdf(x)))
    assert float(exact.wasserstein(p, q, 1e-3)) == pytest.approx(w1, abs=1e-5)
    assert w1 == pytest.approx(stats.wasserstein_distance(WIDE[:-1], WIDE[:-1], p, q), abs=1e-5)


def test_no_d_does_better_than_the_best():
    p, q = masses(P), masses(stats.norm(1, 2))
    x = WIDE[:-1]
    star = exact.best_d(p, q)
    assert torch.allclose(
        star,
        torch.from_numpy(P.pdf(x + 5e-4) / (P.pdf(x + 5e-4) + stats.norm(1, 2).pdf(x + 5e-4))),
        atol=1e-6,
    )
    outputs = {
        "minimax": torch.logit(star.clamp(1e-15, 1 - 1e-15)),
        "nonsaturating": torch.logit(star.clamp(1e-15, 1 - 1e-15)),
        "least_squares": star - 0.5,
        "wasserstein": exact.best_critic(p, q, 1e-3),
    }
    for loss, a in outputs.items():

        def value(a, loss=loss):
            real, fake = losses.d_pays(loss, a)
            return float(-(p * real + q * fake).sum())

        best = float(exact.best_value(loss, p, q, 1e-3))
        assert value(a) == pytest.approx(best, abs=1e-9)
        for wave in (torch.sin(x), torch.cos(3 * x), torch.tanh(x)):
            if loss == "wasserstein":  # a slope of at most 1 is all that it may have
                assert value(wave / 3) < best
            else:
                assert value(a + 0.1 * wave) < best - 1e-5
                assert value(a - 0.1 * wave) < best - 1e-5


def test_the_best_critic_has_slope_one_and_is_centred():
    p, q = masses(stats.norm(0, 1)), masses(stats.norm(0, 2))
    f = exact.best_critic(p, q, 1e-3)
    slope = f.diff() / 1e-3
    # upwards to 0, then down
    assert torch.allclose(slope[4000:8900], torch.ones(4900).double(), atol=1e-9)
    assert torch.allclose(slope[9100:14000], -torch.ones(4900).double(), atol=1e-9)
    assert float(((p + q) * f).sum()) == pytest.approx(0, abs=1e-9)
    assert float(exact.best_critic(p, p.clone(), 1e-3).abs().max()) == 0  # nothing to tell: flat


def test_where_only_one_has_mass():
    p, q = torch.tensor([0.5, 0.5, 0, 0]).double(), torch.tensor([0, 0.5, 0.5, 0]).double()
    assert float(exact.kl(p, q)) == math.inf
    assert float(exact.kl(q, p)) == math.inf
    star = exact.best_d(p, q)
    assert star[:3].tolist() == [1, 0.5, 0]
    assert math.isnan(star[3])
    assert float(exact.jsd(p, q)) == pytest.approx(math.log(2) / 2)
    apart = torch.tensor([0, 0, 1, 0]).double(), torch.tensor([1, 0, 0, 0]).double()
    assert float(exact.jsd(*apart)) == pytest.approx(math.log(2), abs=1e-15)
    assert float(exact.wasserstein(*apart, 0.25)) == 0.5
    assert float(exact.best_value("least_squares", *apart, 1)) == 0
    for loss, floor in losses.FLOOR.items():  # what V falls to when G is done
        assert float(exact.best_value(loss, p, p, 1.0)) == pytest.approx(floor, abs=1e-15)


# ---------------------------------------------------------------- the gradient that a loss sends G


def gradient_to_mu(loss, mu):
    """d/dμ of G's loss for q = N(μ, 1), D = D* held still, by quadrature over `losses.push`."""

    x = np.linspace(mu - 12, mu + 12, 20_001)
    a = torch.from_numpy(P.logpdf(x) - stats.norm(mu, 1).logpdf(x))  # D*'s logit
    slope = torch.full_like(a, -mu)  # its derivative: (−x) − (μ − x)
    return integrate.simpson(-losses.push(loss, a, slope).numpy() * stats.norm.pdf(x, mu), x=x)


def test_saturating_and_nonsaturating_gradients():
    assert gradient_to_mu("minimax", 2.0) == pytest.approx(0.4496, abs=5e-5)
    assert gradient_to_mu("nonsaturating", 2.0) == pytest.approx(1.550, abs=5e-4)


@pytest.mark.parametrize("mu", [0.3, 1.0, 2.0, 4.0])
def test_what_the_losses_go_down(mu):
    """Saturating: d(2·JSD)/dμ. Non-saturating: d(KL(q‖p) − 2·JSD)/dμ.
    By differences of exact divergences.
    """

    def jsd(m):
        return float(exact.jsd(masses(P), masses(stats.norm(m, 1))))

    def kl(m):
        return float(exact.kl(masses(stats.norm(m, 1)), masses(P)))

    h = 1e-3  # central differences err by h² ≈ 1e-6
    twice_jsd = (jsd(mu + h) - jsd(mu - h)) / h
    assert gradient_to_mu("minimax", mu) == pytest.approx(twice_jsd, abs=1e-5)
    expected = (kl(mu + h) - kl(mu - h)) / (2 * h) - twice_jsd
    assert gradient_to_mu("nonsaturating", mu) == pytest.approx(expected, abs=2e-5)


# ---------------------------------------------------------------- the generator's density


def pushed(g, line=LINE):
    return line.push_forward(g(line.z_edges))


def check(q, cdf, tolerance):
    """q's masses against a distribution function, cell by cell, and the mass outside."""
    edges = LINE.edges.numpy()
    expected = np.concatenate([[cdf(edges[0])], np.diff(cdf(edges)), [1 - cdf(edges[-1])]])
    np.testing.assert_allclose(q, expected, atol=tolerance)
    assert float(q.sum()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("scale", "shift"), [(1, 0), (0.37, 1.234), (-2.5, 0.5), (1e-3, -0.02), (30, 3)]
)
def test_affine_g_of_a_uniform_z(scale, shift):
    cdf = stats.uniform(shift - abs(scale), 2 * abs(scale)).cdf
    check(pushed(lambda z: scale * z + shift), cdf, 1e-13)  # straight pieces: exact to rounding


@pytest.mark.parametrize(("scale", "shift"), [(1, 0), (-0.7, 1.3), (3, -4)])
def test_affine_g_of_a_normal_z(scale, shift):
    # z's cells, 0.01 wide, hold their mass evenly: an error of their width squared
    check(pushed(lambda z: scale * z + shift, NORMAL_Z), stats.norm(shift, abs(scale)).cdf, 3e-6)


def test_the_spread_of_a_cell_of_z_counts():
    """Within a cell of z, G runs straight: the last cell's mass lies evenly from 0 to FINE."""
    x = torch.zeros(FINE + 1).double()
    x[-1] = FINE
    mean, std = LINE.moments(x)
    assert float(mean) == pytest.approx(1 / 2)
    assert float(std) == pytest.approx(math.sqrt(FINE / 3 - 1 / 4))  # E[x²] = FINE² / 3 · 1 / FINE


def test_folding_g():
    """x = 2z² − 1: two branches, and a density that is infinite at −1, where G' = 0."""
    check(pushed(lambda z: 2 * z**2 - 1), lambda x: np.sqrt(np.clip((x + 1) / 2, 0, 1)), 1e-5)


def test_waves():
    """x = sin 5z, five folds; the share below x is counted on two million z's."""
    z = np.linspace(-1, 1, 2_000_001)
    edges = LINE.edges.numpy()
    counted = np.histogram(np.sin(5 * z), edges)[0] / len(z)
    # the fold's peak, ∝ √distance, is cut straight over one cell of z: 2/1024 of a period of 1.26
    np.testing.assert_allclose(pushed(lambda z: torch.sin(5 * z))[1:-1], counted, atol=2e-5)


def test_saturating_g():
    """x = 1.99·tanh(20z) piles up at its ends; its distribution function is known:
    z = artanh(x/1.99)/20.
    """

    def cdf(x):
        inside = np.clip(x / 1.99, -1 + 1e-15, 1 - 1e-15)
        return np.where(np.abs(x) < 1.99, (1 + np.arctanh(inside) / 20) / 2, x > 0)

    check(
        pushed(lambda z: 1.99 * torch.tanh(20 * z)), cdf, 2e-4
    )  # straight over 0.002 of z, where G bends most


def test_constant_g_and_mass_outside():
    q = pushed(lambda z: torch.full_like(z, 1.0))
    assert float(q[1 + int((1.0 - LINE.low) / LINE.dx)]) == pytest.approx(1, abs=1e-12)
    assert int((q > 0).sum()) == 1
    q = pushed(lambda z: 1e4 * z)  # nearly all of it outside, half on either side
    assert float(q[0]) == pytest.approx((1 + LINE.low / 1e4) / 2, abs=1e-12)
    assert float(q.sum()) == pytest.approx(1, abs=1e-12)
    q = pushed(lambda z: torch.sign(z) * 1e200)
    assert q[[0, -1]].tolist() == pytest.approx([0.5, 0.5], abs=1e-3)


def test_wasserstein_s_best_value_counts_how_far_outside_the_mass_lies():
    """All of q lies to the right of p, so W1 is the distance between their means."""
    x = 100 + LINE.z_edges
    q = LINE.push_forward(x)
    best = exact.best_value("wasserstein", LINE.p, q, LINE.dx, LINE.beyond(x, q))
    assert float(best) == pytest.approx(100)


def test_nothing_is_exactly_nothing():
    """Between two islands there is no trace of rounding: KL(p ‖ q) must come out as ∞."""
    q = pushed(lambda z: 3 * torch.sign(z) + 0.9 * z)[1:-1]
    x = LINE.x
    bridge = (x.abs() < 2.9) & (x.abs() > 0.1)  # but for the one cell of z that holds the jump
    assert float(q[bridge].sum()) == pytest.approx(2 / FINE, rel=0.2)  # spread evenly over the jump
    q = pushed(lambda z: 0.9 * z)[1:-1]
    assert float(q[x.abs() > 0.95].abs().max()) == 0
    # hundreds of wide pieces, switched on and off
    q = pushed(lambda z: 3 * torch.sin(300 * z))[1:-1]
    assert float(q[x.abs() > 3.05].abs().max()) == 0


def test_a_network_s_density_against_samples_of_it():
    game = Game(Settings(seed=3, width_g=8))
    game.g.weights.mul_(3)
    z = torch.linspace(-1, 1, 2_000_001, dtype=torch.float64)[1::2]
    with torch.no_grad():
        counted = np.histogram(game.g(z).numpy(), game.grid.edges.numpy())[0] / len(z)
    # 10⁶ counted points
    np.testing.assert_allclose(game.measure()["q"] * game.grid.dx, counted, atol=1e-4)


# ---------------------------------------------------------------- the line


@pytest.mark.parametrize(
    "name", ["normal", "two modes", "three modes", "uniform", "log-normal", "skyline"]
)
def test_p_is_the_density(name):
    line = grid(Settings(data=name))
    density = getattr(densities, name.replace(" ", "_").replace("-", "_"))
    assert float(line.p.sum()) == pytest.approx(1, abs=1e-12)
    assert float(line.cdf[0]) == 0
    low, high = density.support
    for i in range(0, CELLS, 7):
        a, b = max(float(line.edges[i]), low), min(float(line.edges[i + 1]), high)
        pdf = lambda x: density.log_prob(torch.from_numpy(x)).exp().numpy()  # noqa: E731
        exactly = integrate.fixed_quad(pdf, a, b, n=20)[0] if a < b else 0
        # 64 middles a cell; one cut by the uniform's edge errs by 1/128 of itself.
        # Beyond the line: 0.03 %
        assert float(line.p[i + 1]) == pytest.approx(
            exactly, abs=4e-4 * exactly + 1e-4 * (name == "uniform")
        )


def test_a_drawn_density_is_what_was_drawn():
    heights = np.zeros(CELLS)
    heights[10:20], heights[200] = 2, 5
    line = grid(Settings(data="drawn", heights=tuple(heights)))
    np.testing.assert_allclose(line.p[1:-1], heights / heights.sum(), atol=1e-15)
    assert line.modes == 2
    coarse = grid(Settings(data="drawn", heights=(1.0, 0.0, 3.0, 0.0)))  # quarters of −8 … 8
    assert float(coarse.p[1 : 1 + CELLS // 4].sum()) == pytest.approx(0.25, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "modes"),
    [("normal", 1), ("two modes", 2), ("three modes", 3), ("uniform", 1), ("log-normal", 1)],
)
def test_modes(name, modes):
    line = grid(Settings(data=name))
    assert line.modes == modes
    on = line.hill < modes
    assert (line.hill[on].diff() >= 0).all()
    assert float(line.p[on].sum()) > 0.9
    for m in range(modes):
        assert float(line.p[line.hill == m].min()) >= 0.1 * float(line.p[line.hill == m].max())
    if name == "two modes":  # the valley lies where p is smallest between −2 and 1.5
        x = np.linspace(-2, 1.5, 10_001)
        valley = x[densities.two_modes.log_prob(torch.from_numpy(x)).argmin()]
        ends = line.x[line.hill[1:-1] == 0].max(), line.x[line.hill[1:-1] == 1].min()
        assert float(ends[0]) <= valley + line.dx
        assert float(ends[1]) >= valley - line.dx


def test_hills_of_plateaus_and_edges():
    p = np.array([3, 3, 0, 0, 1, 1.05, 1, 0.2, 2])
    assert hills(p)[0].tolist() == [0, 0, 3, 3, 1, 1, 1, 2, 2]  # 3: none
    assert hills(p)[1] == 3
    assert hills(np.ones(5))[0].tolist() == [0] * 5
    assert hills(np.array([0, 1, 0.95, 0.99, 0]))[1] == 1  # a dent of 4 % makes no two modes


def test_tails_of_a_normal_q_are_no_zero():
    """D* and KL(p ‖ q) where there is hardly any mass: a linear G of a normal z,
    which is exactly normal.
    """
    game = Game(Settings(data="two modes", z="normal", depth_g=0))
    game.g.weights.copy_(torch.tensor([1.03, 0.84]))
    m, line = game.measure(), game.grid
    p = line.p[1:-1].numpy()
    q = np.diff(stats.norm.cdf(line.edges.numpy(), 0.84, 1.03))
    right = line.x.numpy() > 0.84
    q[right] = -np.diff(stats.norm.sf(line.edges.numpy(), 0.84, 1.03))[right]
    where = np.abs(line.x.numpy() - 0.84) < 7.5 * 1.03
    np.testing.assert_allclose(m["d_star"].numpy()[where], (p / (p + q))[where], atol=0.01)
    exact = float(np.sum(np.where(p > 0, p * np.log(np.maximum(p, 1e-300) / q), 0)))
    assert m["kl_pq"] == pytest.approx(exact, abs=1e-3)


def test_normal_cells_of_z_hold_their_mass():
    z = NORMAL_Z.z_edges.numpy()
    np.testing.assert_allclose(NORMAL_Z.z_mass[1:-1], np.diff(stats.norm.cdf(z))[1:-1], atol=1e-15)
    assert float(NORMAL_Z.z_mass.sum()) == pytest.approx(1, abs=1e-14)
    shares = stats.norm.cdf(NORMAL_Z.z_points.numpy())
    np.testing.assert_allclose(shares, (np.arange(32) + 0.5) / 32, atol=1e-14)
