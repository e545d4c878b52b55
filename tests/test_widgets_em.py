"""EMStepper: its engine makes EM's steps,
its shell takes points and refuses what cannot be drawn.
"""

import json

import numpy as np
import pytest
import torch
from browser import run_module
from scipy.stats import multivariate_normal
from traitlets import TraitError

from course_lib import plots
from course_lib.plots import COMPONENTS
from course_lib.probability.em import e_step, m_step
from course_lib.widgets import EMStepper
from course_lib.widgets.em_stepper import first_parameters, worth

pytest_plugins = ["browser"]

# From a start: half-steps, then a mean is dragged, then half-steps again.
# Each frame, and what Python gets.
PLAY = """(m, [setting, k, start, before, mean, after]) => {
    const engine = new m.Engine(setting);
    const frames = [engine.begin(k, start)];
    const last = () => frames[frames.length - 1];
    for (const letter of before) frames.push(engine.next(last(), letter));
    frames.push(engine.moved(last(), 0, mean));
    for (const letter of after) frames.push(engine.next(last(), letter));
    const states = frames.map((f) => m.told(f, engine.flat, 0, 0));
    const again = states.map((s) => Array.from(m.retold(s, engine)));
    return { frames: frames.map((f) => Array.from(f)), states, again };
}"""


@pytest.fixture(scope="module")
def points():
    rng = np.random.default_rng(5)
    return np.concatenate([rng.normal(size=(60, 2)) + 2, rng.normal(size=(90, 2)) * [0.5, 1.5] - 1])


def played(javascript, widget, before, mean, after):
    setting = {"points": widget.points, "starts": widget.starts, "reg_covar": widget.reg_covar}
    argument = [setting, widget.n_components, widget.start, before, mean, after]
    return javascript(EMStepper.source, PLAY, argument)


@pytest.mark.parametrize(
    "to", [(0.5, 0.25), (1e3, -1e3)], ids=["near", "so far that it loses all points"]
)
@pytest.mark.parametrize("dim", [1, 2])
def test_the_page_makes_the_steps_of_em(javascript, points, dim, to):
    """Twenty half-steps, a dragged mean and ten more, against the course's own functions."""
    x = torch.from_numpy(points[:, :dim].copy())
    widget = EMStepper(x, n_components=3, seed=4)
    mean = list(to[:dim])
    found = played(javascript, widget, "EM" * 10, mean, "EM" * 5)
    parameters = first_parameters(x, widget.starts[0], 3)
    resp = x.new_full((len(x), 3), 1 / 3)
    for state in found["states"]:
        if state["kind"] == "E":
            resp = e_step(x, *parameters)[0]
        elif state["kind"] == "M":
            parameters = m_step(x, resp, reg_covar=widget.reg_covar)
        elif state["kind"] == "dragged":
            parameters.means[0] = x.new_tensor(mean)
        log_px, gap = worth(x, parameters, resp)
        # Both sum some hundred terms of size 10 in float64, each in its own order: rounding is
        # 1e-13, and EM may enlarge it from step to step.
        assert state["log_px"] == pytest.approx(log_px, abs=1e-9)
        assert state["gap"] == pytest.approx(gap, abs=1e-9)
        assert state["bound"] == pytest.approx(log_px - gap, abs=1e-9)
        ours = zip(("weights", "means", "covariances"), parameters, strict=True)
        for name, values in [*ours, ("responsibilities", resp)]:
            np.testing.assert_allclose(state[name], values, rtol=0, atol=1e-9)
    # a page loaded again shows the same
    np.testing.assert_array_equal(found["again"], found["frames"])


def test_log_px_is_scipy_s_and_the_gap_is_the_mean_kl(javascript, points):
    found = played(javascript, EMStepper(points, n_components=3), "EM", [9, -9], "")
    for state in found["states"]:
        parts = zip(state["weights"], state["means"], state["covariances"], strict=True)
        joint = np.stack(
            [np.log(w) + multivariate_normal(m, c).logpdf(points) for w, m, c in parts], 1
        )
        log_px = np.log(np.exp(joint).sum(1, keepdims=True))
        q = np.array(state["responsibilities"])
        kl = np.where(q > 0, q * (np.log(np.maximum(q, 1e-300)) - joint + log_px), 0).sum(1)
        assert state["log_px"] == pytest.approx(log_px.mean(), abs=1e-12)
        assert state["gap"] == pytest.approx(kl.mean(), abs=1e-12)
    assert found["states"][-1]["gap"] > 1  # a dragged mean opens it


def test_the_gap_closes_with_e_and_the_likelihood_never_falls(javascript, points):
    found = played(javascript, EMStepper(points, n_components=4, seed=3), "EM" * 40, [0, 0], "")
    states = found["states"][:-1]
    # reg_covar = 1e-6 takes an M-step off its maximum by less than this.
    assert np.diff([state["log_px"] for state in states]).min() > -1e-9
    assert np.diff([state["bound"] for state in states]).min() > -1e-9
    assert max(state["gap"] for state in states if state["kind"] == "E") < 1e-12
    assert min(state["gap"] for state in states[2:12:2]) > 1e-6  # an early M opens it
    assert states[0]["gap"] > 0.1


def test_starts_are_the_seeds_and_differ(points):
    a, b, c = EMStepper(points, seed=1), EMStepper(points, seed=1), EMStepper(points, seed=2)
    assert a.starts == b.starts
    assert a.starts != c.starts
    assert len(a.starts) == 20


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((20, 3)), r"8 to 2,000 points in one or two columns, but got shape \(20, 3\)"),
        (np.arange(5.0), r"8 to 2,000 points in one or two columns, but got shape \(5, 1\)"),
        (np.zeros((20, 2)), "finite points with a positive variance"),
        (np.r_[np.arange(20.0), np.nan], "finite points"),
        ([[0.0, 1.0]] * 8 + [None], "inhomogeneous shape"),
        (
            np.ma.masked_less(np.arange(20.0), 3),
            "Masked arrays are not supported, because the mask would be lost",
        ),
        (np.arange(20.0) + 1j, "Complex numbers"),
    ],
)
def test_points_that_cannot_be_drawn_are_named(x, message):
    with pytest.raises(ValueError, match=message):
        EMStepper(x)


def test_a_number_out_of_range_is_named(points):
    with pytest.raises(TraitError, match=r"'n_components' .* greater than 8"):
        EMStepper(points, n_components=9)


@pytest.mark.parametrize("seed", range(2))
def test_a_lost_covariance_ends_the_strip(seed):
    x = np.random.default_rng(seed).normal(size=(20, 2))
    titles = [axes.get_title() for axes in EMStepper(x, 8, seed=seed, reg_covar=0).strip().axes]
    assert [title.split(":")[0] for title in titles] == ["start", "E", "M", "the last E"]


def test_tensors_tables_and_lists_are_taken(points):
    expected = EMStepper(points).points
    assert EMStepper(torch.tensor(points, requires_grad=True)).points == expected
    assert EMStepper(points.tolist()).points == expected
    assert EMStepper(torch.tensor(points, dtype=torch.bfloat16)).points != expected
    pandas = pytest.importorskip("pandas")
    assert EMStepper(pandas.DataFrame(points, columns=["a", "b"])).points == expected


def seen(colours, sight):
    """CIELAB (n, 3) of colours "#RRGGBB" for an eye whose linear RGB is sight (3, 3) times ours."""
    rgb = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in colours]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    relative = (linear @ np.transpose(sight)).clip(0, 1) @ xyz.T / xyz.sum(1)
    f = np.where(relative > 0.008856, np.cbrt(relative), 7.787 * relative + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


SIGHTS = {
    "normal": np.eye(3),
    # Machado et al. (2009), severity 1
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    # Viénot et al. (1999), another simulation of deuteranopia
    "deutan, Viénot": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
}


@pytest.mark.parametrize("sight", SIGHTS)
def test_any_two_components_differ_with_every_kind_of_sight(sight):
    lab = seen(COMPONENTS, SIGHTS[sight])
    apart = {(i + 1, k + 1): np.linalg.norm(lab[i] - lab[k]) for i in range(8) for k in range(i)}
    nearest = min(apart, key=apart.get)
    # 2.3 is just noticeable; Okabe and Ito's eight come as near as 10
    assert apart[nearest] > 20, nearest


def test_components_differ_in_shape_as_well(chromium):
    """Nine marks, one the circle of a point that no component holds, cover different pixels."""
    code = """m => m.SHAPES.map((_, kind) => {
        const canvas = Object.assign(document.createElement("canvas"), { width: 32, height: 32 });
        const g = canvas.getContext("2d");
        m.mark(g, kind, 16, 16, 9, "#000", "#000", 0);
        const { data } = g.getImageData(0, 0, 32, 32);
        return Array.from({ length: 32 * 32 }, (_, i) => Number(data[4 * i + 3] > 127));
    })"""
    source = EMStepper.source + "\nexport { SHAPES, mark };"
    covered = np.array(run_module(chromium, source, code, None), dtype=bool)  # (9, 1024)
    assert len(covered) == 9
    for i, one in enumerate(covered):
        for other in covered[:i]:
            assert (one ^ other).sum() > 0.15 * one.sum()


def test_the_page_has_the_colours_of_the_plots():
    assert json.dumps(plots.COMPONENTS) in EMStepper.source
