"""EMStepper's numbers: in Python, and the same in JavaScript."""

import json

import numpy as np
import pytest
import torch
from browser import run_module
from scipy.stats import multivariate_normal, norm
from traitlets import TraitError

from course_lib.plots import COMPONENTS
from course_lib.widgets import EMStepper

pytest_plugins = ["browser"]


@pytest.fixture(scope="module")
def points():
    rng = np.random.default_rng(5)
    return np.concatenate([rng.normal(size=(60, 2)) + 2, rng.normal(size=(90, 2)) * [0.5, 1.5] - 1])


def log_likelihood(x, parameters):
    """By scipy, as an independent reference."""
    weights, means, covariances = (p.numpy() for p in parameters)
    parts = [
        w * multivariate_normal(m, c).pdf(x) for w, m, c in zip(weights, means, covariances, strict=True)
    ]
    return np.log(sum(parts)).mean()


def test_a_frame_says_what_scipy_says(points):
    w = EMStepper(points, n_components=2)
    for state in [w.state, w.do("E"), w.do("M"), w.do("EM")]:
        # Tolerance: rounding of a mean over 150 terms of size 5.
        assert state.log_px == pytest.approx(log_likelihood(points, state.parameters), abs=1e-12)


def test_one_dimension_says_what_scipy_says():
    x = np.random.default_rng(2).normal(size=50) * 3
    w = EMStepper(x, n_components=2)
    state = w.do("EM")
    weights, means, covariances = (p.numpy().ravel() for p in state.parameters)
    parts = [k * norm(m, c**0.5).pdf(x) for k, m, c in zip(weights, means, covariances, strict=True)]
    assert state.log_px == pytest.approx(np.log(sum(parts)).mean(), abs=1e-12)


def test_the_gap_closes_with_e_and_the_likelihood_never_falls(points):
    w = EMStepper(points, n_components=4, seed=3)
    w.do("EM" * 40)
    logs = [state.log_px for state in w.history]
    # reg_covar = 1e-6 takes an M-step off its maximum by less than this.
    assert np.diff(logs).min() > -1e-9
    assert np.diff([state.bound for state in w.history]).min() > -1e-9
    assert max(state.gap for state in w.history if state.kind == 1) < 1e-12
    assert min(state.gap for state in w.history[2:12:2]) > 1e-6  # an early M opens it
    assert w.history[0].gap > 0.1


def test_the_gap_is_the_mean_kl(points):
    state = EMStepper(points, n_components=3).do("EM")
    weights, means, covariances = (p.numpy() for p in state.parameters)
    joint = np.stack(
        [
            np.log(p) + multivariate_normal(m, c).logpdf(points)
            for p, m, c in zip(weights, means, covariances, strict=True)
        ],
        1,
    )
    post = np.exp(joint - np.log(np.exp(joint).sum(1, keepdims=True)))
    q = state.resp.numpy()
    kl = np.where(q > 0, q * np.log(np.maximum(q, 1e-300) / post), 0).sum(1).mean()
    assert state.gap == pytest.approx(kl, abs=1e-12)


def test_rewinding_cuts_the_timeline_and_gives_the_same_again(points):
    w = EMStepper(points)
    first = w.frames({"do": "EMEM", "at": 0})
    again = w.frames({"do": "MEM", "at": 1})
    assert len(w.history) == 5
    np.testing.assert_array_equal(first[1:], again)
    np.testing.assert_array_equal(w.frames({})[1:], first)  # no steps: the whole history


def test_a_dragged_mean_is_a_start_that_keeps_q(points):
    w = EMStepper(points, n_components=2)
    w.do("EM")
    q = w.state.resp
    w.frames({"do": "D", "at": 2, "component": 1, "mean": [9.0, -9.0]})
    assert len(w.history) == 1
    assert w.history[0].parameters.means[1].tolist() == [9, -9]
    assert torch.equal(w.history[0].resp, q)
    assert w.history[0].gap > 1


def test_starts_are_the_seeds_and_differ(points):
    a, b, c = EMStepper(points, seed=1), EMStepper(points, seed=1), EMStepper(points, seed=2)
    assert a.starts == b.starts
    assert a.starts != c.starts
    a.frames({"do": "R", "k": 5, "start": 21})  # the twenty starts go round
    assert (a.n_components, a.start) == (5, 1)
    assert torch.equal(a.state.parameters.means, a.x[a.starts[1][:5]])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((20, 3)), r"8 to 2,000 points in one or two columns, not \(20, 3\)"),
        (np.arange(5.0), r"8 to 2,000 points in one or two columns, not \(5, 1\)"),
        (np.zeros((20, 2)), "finite points that are not all on one line"),
        (np.r_[np.arange(20.0), np.nan], "finite points"),
        ([[0.0, 1.0]] * 8 + [None], "rows of numbers, of one length, without gaps: this list is not"),
    ],
)
def test_points_that_cannot_be_drawn_are_named(x, message):
    with pytest.raises(ValueError, match=message):
        EMStepper(x)


@pytest.mark.parametrize("seed", range(4))
def test_a_lost_covariance_ends_the_strip(seed):
    x = np.random.default_rng(seed).normal(size=(20, 2))
    w = EMStepper(x, 8, seed=seed, reg_covar=0)
    with pytest.raises(ValueError, match="not positive definite"):
        w.do("EM" * 40)
    titles = [axes.get_title() for axes in w.strip().axes]
    assert [title.split(":")[0] for title in titles] == ["start", "E", "M", "the last E"]
    assert f"{w.history[-1].log_px:.3f}".replace("-", "−") in titles[-1]


def test_a_data_frame_is_taken(points):
    frame = pytest.importorskip("pandas").DataFrame(points, columns=["a", "b"])
    assert EMStepper(frame).points == EMStepper(points).points


def test_requests_that_make_no_sense_are_named(points):
    with pytest.raises(TraitError, match=r"'n_components' .* greater than 8"):
        EMStepper(points, n_components=9)
    with pytest.raises(ValueError, match="knows the steps E and M, not 'EQ'"):
        EMStepper(points).do("EQ")
    stepper = EMStepper(points)
    for steps in ("R", "D", "EX"):
        with pytest.raises(ValueError, match=f"not '{steps}'"):
            stepper.do(steps)
    stepper.do("EM")
    with pytest.raises(ValueError, match="not 'Q'"):
        stepper.frames({"do": "Q", "at": 0})
    assert [state.kind for state in stepper.history] == [0, 1, 2]  # nothing was lost
    with pytest.raises(ValueError, match="keeps 999 half-steps: 0 are made, 1002 more are too many; restart"):
        EMStepper(points).do("EM" * 501)


def test_tensors_are_taken_and_python_sees_what_is_shown(points):
    w = EMStepper(torch.tensor(points, dtype=torch.float32))
    w.do("EMEM")
    assert w.shown == 4
    w.shown = 2  # as the browser does after a rewind
    assert w.state is w.history[2]
    w.do("E")
    assert (len(w.history), w.shown) == (4, 3)


@pytest.mark.parametrize("dim", [1, 2])
def test_the_engine_in_the_page_is_the_same(chromium, points, dim):
    """Twenty half-steps from one start, a drag and ten more: every number in every frame."""
    x = points[:, :dim]
    w = EMStepper(x, n_components=3, seed=4)
    setting = {"points": w.points, "starts": w.starts, "reg_covar": w.reg_covar}
    asked = [
        {"do": "R", "k": 3, "start": 2},
        {"do": "EM" * 10, "at": 0},
        {"do": "D", "at": 7, "component": 0, "mean": [0.5, 0.25][:dim]},
        {"do": "ME" * 5, "at": 0},
    ]
    theirs = run_module(
        chromium,
        w._esm,
        "(m, [setting, asked]) => { const e = new m.Engine(setting);"
        " return asked.map(r => e.answer(r).map(f => Array.from(f))); }",
        [setting, asked],
    )
    for request, frames in zip(asked, theirs, strict=True):
        ours = w.frames(json.loads(json.dumps(request)))
        # Both sum some hundred terms of size 10 in float64, each in its own order: rounding is 1e-13, and EM
        # may enlarge it from step to step.
        np.testing.assert_allclose(frames, ours, rtol=0, atol=1e-9)


def seen(colours, sight):
    """CIELAB of colours "#RRGGBB" as an eye sees them whose linear RGB is sight (3, 3) times ours: (n, 3)."""
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
    assert apart[nearest] > 20, nearest  # 2.3 is just noticeable; Okabe and Ito's eight come as near as 10


def test_components_differ_in_shape_as_well(chromium, points):
    """Nine marks, the circle of a point that no component holds among them, cover different pixels."""
    code = """m => m.SHAPES.map((_, kind) => {
        const canvas = Object.assign(document.createElement("canvas"), { width: 32, height: 32 });
        const g = canvas.getContext("2d");
        m.mark(g, kind, 16, 16, 9, "#000", "#000", 0);
        const { data } = g.getImageData(0, 0, 32, 32);
        return Array.from({ length: 32 * 32 }, (_, i) => Number(data[4 * i + 3] > 127));
    })"""
    source = EMStepper(points)._esm + "\nexport { SHAPES, mark };"
    covered = np.array(run_module(chromium, source, code, None), dtype=bool)  # (9, 1024)
    assert len(covered) == 9
    for i, one in enumerate(covered):
        for other in covered[:i]:
            assert (one ^ other).sum() > 0.15 * one.sum()


def test_the_page_has_the_plots_colours(points):
    source = EMStepper(points)._esm
    assert f"const COMPONENTS = {json.dumps(list(COMPONENTS))};" in source
