"""ElboBars' numbers: in Python, and the same in JavaScript."""

import math

import numpy as np
import pytest
from browser import run_module
from scipy.integrate import quad
from scipy.stats import norm
from traitlets import TraitError

from course_lib.widgets import ElboBars

H = {"line": lambda z: z, "bend": lambda z: math.tanh(2 * z), "fold": lambda z: z * z}

pytest_plugins = ["browser"]


def state(w):
    return {name: getattr(w, name) for name in ("decoder", "x", "w", "s", "m", "sigma")}


def numbers(chromium, widgets):
    """What the page works out for each widget's state."""
    found = run_module(
        chromium,
        ElboBars()._esm,
        "(m, states) => states.map(s => { "
        "const { logPx, bound, gap, reconstruction, kl } = m.numbers(s); "
        "return { logPx, bound, gap, reconstruction, kl }; })",
        [state(w) for w in widgets],
    )
    return found


@pytest.fixture(scope="module")
def widgets():
    rng = np.random.default_rng(0)
    corners = [
        {"m": 3.0, "sigma": 1.5, "w": 3.0, "x": -4.0},
        {"m": 0.0, "sigma": 0.05, "w": 0.0, "x": 0.0},
        {"m": -3.0, "sigma": 0.05, "w": -3.0, "x": 4.0, "s": 0.3},
    ]
    inner = [
        {
            "m": rng.uniform(-2, 2),
            "sigma": rng.uniform(0.1, 1.3),
            "w": rng.uniform(-2, 2),
            "x": rng.uniform(-3, 3),
        }
        for _ in range(6)
    ]
    return [ElboBars(decoder=d, **kw) for d in H for kw in [*corners, *inner]]


def test_javascript_and_python_agree(chromium, widgets):
    for w, page in zip(widgets, numbers(chromium, widgets), strict=True):
        b = w.bound()
        ours = {
            "logPx": b.log_px,
            "bound": b.elbo,
            "gap": b.gap,
            "reconstruction": b.reconstruction,
            "kl": b.kl,
        }
        for name, value in ours.items():
            # The same grid and rule on both sides: only rounding is left, of sums as large as 1e4.
            assert page[name] == pytest.approx(float(value), rel=1e-9, abs=1e-9), (name, state(w))


@pytest.mark.parametrize("decoder", list(H))
def test_the_grid_gives_the_integrals(decoder):
    """Against scipy's adaptive quadrature over z = m + sigma u, |u| < 12,
    and the prior's own range.
    """
    w = ElboBars(decoder=decoder, x=1.3, w=-0.8, m=-0.7, sigma=0.3)
    h = H[decoder]

    def log_joint(z):
        return norm.logpdf(z) + norm.logpdf(w.x, w.w * h(z), w.s)

    px = quad(
        lambda z: math.exp(log_joint(z)), -12, 12, points=[-2, -1, 0, 1, 2], epsabs=1e-13, limit=200
    )[0]
    q = norm(w.m, w.sigma)
    lo, hi = w.m - 12 * w.sigma, w.m + 12 * w.sigma
    bound = quad(
        lambda z: q.pdf(z) * (log_joint(z) - q.logpdf(z)),
        lo,
        hi,
        points=[w.m],
        epsabs=1e-12,
        limit=200,
    )[0]
    b = w.bound()
    # The trapezoid rule on smooth functions that vanish at the ends is exact to rounding; quad
    # promises 1e-12.
    assert float(b.log_px) == pytest.approx(math.log(px), abs=1e-9)
    assert float(b.elbo) == pytest.approx(bound, abs=1e-9)
    assert float(b.kl) == pytest.approx(0.5 * (0.3**2 + 0.7**2 - 1) - math.log(0.3), abs=1e-9)


def climb(chromium, step, w, start=None):
    """The states that one button walks through, with their numbers."""
    return run_module(
        chromium,
        w._esm,
        f"""(m, s) => {{
            const out = [];
            for (let now = s; now && out.length < 500; now = m.{step}(now)) {{
                const {{ logPx, bound, gap }} = m.numbers(now);
                out.push({{ ...now, logPx, bound, gap }});
            }}
            return out; }}""",
        start or state(w),
    )


def test_fit_q_closes_the_gap_of_the_line(chromium):
    w = ElboBars(x=2.0, w=1.0, m=-1.0, sigma=1.2)
    walk = climb(chromium, "climbQ", w)
    variance = 1 / (1 + w.w**2 / w.s**2)  # the posterior of a linear-Gaussian model
    # The walk ends where a step gains less than 1e-9 nats; m and sigma are then right to its root.
    assert walk[-1]["m"] == pytest.approx(variance * w.w * w.x / w.s**2, abs=1e-3)
    assert walk[-1]["sigma"] == pytest.approx(math.sqrt(variance), abs=1e-3)
    assert walk[-1]["gap"] < 1e-6
    assert np.diff([p["bound"] for p in walk]).min() > 0
    assert np.ptp([p["logPx"] for p in walk]) == 0
    assert len(walk) < 250  # about four seconds on the screen


@pytest.mark.parametrize(("decoder", "least"), [("bend", 0.0), ("fold", 0.6)])
def test_fit_q_lowers_other_gaps_as_far_as_a_normal_can(chromium, decoder, least):
    w = ElboBars(decoder=decoder, x=2.0, w=1.0, m=0.8, sigma=0.8)
    walk = climb(chromium, "climbQ", w)
    assert np.diff([p["bound"] for p in walk]).min() > 0
    assert least < walk[-1]["gap"] < walk[0]["gap"] - 0.1
    b = ElboBars(**{k: walk[-1][k] for k in ("decoder", "x", "w", "s", "m", "sigma")})
    for dm, ds in [(0.02, 1), (-0.02, 1), (0, 1.02), (0, 0.98)]:  # no neighbour is better
        assert float(b.bound(b.m + dm, b.sigma * ds).elbo) < walk[-1]["bound"] + 1e-7


def test_the_trap_raises_the_bound_and_lowers_the_likelihood(chromium):
    w = ElboBars(x=2.0, w=math.sqrt(4 - 0.49), m=0.1, sigma=1.0)
    walk = climb(chromium, "climbP", w)
    assert np.diff([p["bound"] for p in walk]).min() > 0
    best = 2.0 * 0.1 / (0.1**2 + 1)  # the top of the parabola: x E[z] / E[z²]
    assert walk[-1]["w"] == pytest.approx(best, abs=1e-9)
    fall = norm.logpdf(2, 0, math.sqrt(best**2 + 0.49)) - norm.logpdf(2, 0, 2)
    assert fall < -2
    assert walk[-1]["logPx"] - walk[0]["logPx"] == pytest.approx(fall, abs=1e-9)


def test_q_then_p_must_raise_the_likelihood(chromium):
    now = state(ElboBars(x=2.0, w=0.6, m=0.0, sigma=1.0))
    logs = []
    for _ in range(6):
        after_q = climb(chromium, "climbQ", ElboBars(), now)[-1]
        after_p = climb(chromium, "climbP", ElboBars(), after_q)[-1]
        logs += [after_q["logPx"], after_p["logPx"]]
        now = {k: after_p[k] for k in now}
    # q's gap is closed to 1e-6 before each "fit P", so log P(x) cannot fall by more.
    assert np.diff(logs).min() > -1e-6
    assert logs[-1] > logs[0] + 0.8


def test_values_out_of_range_are_refused():
    with pytest.raises(
        ValueError, match=r"ElboBars has no trait 'mu'. Its traits are decoder, x, w, s, m, sigma"
    ):
        ElboBars(mu=1.0)
    with pytest.raises(TraitError, match="sigma"):
        ElboBars(sigma=0.0)
    with pytest.raises(TraitError, match="decoder"):
        ElboBars(decoder="spiral")
