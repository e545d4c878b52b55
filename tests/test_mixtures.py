"""The mixture against scikit-learn's, its promises (never falls, never breaks),
and outside figures.
"""

from __future__ import annotations

import functools
import itertools
import math
import pickle
import warnings

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Theirs

from course_lib.data import mnist
from course_lib.mixtures import GaussianMixture, fast_steps
from course_lib.probability.em import e_step, m_step

KINDS = ["full", "tied", "diag", "spherical"]
STARTS = ["kmeans", "k-means++", "random", "random_from_data"]
ATTRIBUTES = ["weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"]


def fit(model, x):
    """The model fitted to x, and the sentences it warned with (a fit that is cut short warns)."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        model.fit(x)
    assert all(issubclass(w.category, ConvergenceWarning) for w in seen), [
        str(w.message) for w in seen
    ]
    return model, [str(w.message) for w in seen]


def blobs(seed: int = 0, n: int = 400, dim: int = 3, k: int = 4, apart: float = 3.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    parts = [rng.normal(size=(n // k, dim)) @ rng.normal(size=(dim, dim)) for _ in range(k)]
    return np.concatenate([part + apart * rng.normal(size=dim) for part in parts])


def start(x: np.ndarray, k: int, kind: str, seed: int) -> dict:
    """Weights, means and precisions to start from: not fitted to anything."""
    rng, dim = np.random.default_rng(seed), x.shape[1]
    factors = rng.normal(size=(k, dim, dim))
    full = factors @ factors.transpose(0, 2, 1) / dim + 0.2 * np.eye(dim)
    precisions = {
        "full": full,
        "tied": full[0],
        "diag": rng.uniform(0.3, 2, (k, dim)),
        "spherical": rng.uniform(0.3, 2, k),
    }
    return {
        "n_components": k,
        "covariance_type": kind,
        "weights_init": rng.dirichlet(np.full(k, 5.0)),
        "means_init": x[rng.choice(len(x), k, replace=False)],
        "precisions_init": precisions[kind],
    }


DATA = {
    "three dimensions": lambda: (blobs(), 4),
    "one dimension": lambda: (blobs(1, dim=1, k=2), 2),
    "iris, with duplicates": lambda: (load_iris().data, 3),
    "eight dimensions, more components than clusters": lambda: (blobs(2, dim=8, n=600), 7),
}


# ---- equal to scikit-learn ----


@pytest.mark.parametrize("reg_covar", [0.0, 1e-6, 0.1])
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("kind", KINDS)
def test_every_step_of_the_way_is_scikit_learns(kind, data, reg_covar):
    x, k = DATA[data]()
    long, _ = fit(
        GaussianMixture(**start(x, k, kind, 0), reg_covar=reg_covar, tol=0, max_iter=12), x
    )
    assert len(long.lower_bounds_) == 12
    for steps in (1, 2, 3, 6, 12):
        given_start = {**start(x, k, kind, 0), "reg_covar": reg_covar, "tol": 0, "max_iter": steps}
        ours, _ = fit(GaussianMixture(**given_start), x)
        theirs, _ = fit(Theirs(**given_start), x)
        # float64's 1e-16, grown by condition numbers and twelve steps: the issue asks for 1e-8
        assert ours.lower_bound_ == pytest.approx(theirs.lower_bound_, rel=1e-8)
        assert long.lower_bounds_[steps - 1] == ours.lower_bound_
        for name in ATTRIBUTES:
            expected = getattr(theirs, name)
            scale = np.abs(expected).max()
            np.testing.assert_allclose(
                getattr(ours, name), expected, rtol=1e-8, atol=1e-8 * scale, err_msg=name
            )


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_fit_and_what_is_asked_of_it_are_scikit_learns(kind, seed):
    x, new = blobs(seed), blobs(seed + 10)
    ours, _ = fit(GaussianMixture(**start(x, 4, kind, seed)), x)
    theirs, _ = fit(Theirs(**start(x, 4, kind, seed)), x)
    assert ours.converged_ == theirs.converged_
    assert ours.n_iter_ == theirs.n_iter_ == len(ours.lower_bounds_)
    for name in ("score_samples", "predict_proba"):
        np.testing.assert_allclose(
            getattr(ours, name)(new), getattr(theirs, name)(new), rtol=1e-8, atol=1e-8, err_msg=name
        )
    for name in ("score", "bic", "aic"):
        assert getattr(ours, name)(new) == pytest.approx(getattr(theirs, name)(new), rel=1e-9)
    assert ours.predict(new).tolist() == theirs.predict(new).tolist()
    assert ours.fit_predict(x).tolist() == theirs.predict(x).tolist()


def test_it_stops_where_scikit_learn_stops():
    x = blobs(4)
    for tol, max_iter in ((1e-1, 100), (1e-3, 100), (1e-6, 15)):
        given_start = {**start(x, 4, "full", 0), "tol": tol, "max_iter": max_iter}
        ours, said = fit(GaussianMixture(**given_start), x)
        theirs, _ = fit(Theirs(**given_start), x)
        assert (ours.n_iter_, ours.converged_) == (theirs.n_iter_, theirs.converged_)
        assert bool(said) != ours.converged_
    assert "max_iter=15" in said[0]
    assert "tol=1e-06" in said[0]


def test_parts_of_a_start_are_taken_and_the_rest_is_guessed():
    x = blobs(5)
    for name in ("weights_init", "means_init", "precisions_init"):
        part = {
            "n_components": 4,
            name: start(x, 4, "full", 0)[name],
            "max_iter": 0,
            "random_state": 0,
        }
        ours, _ = fit(GaussianMixture(**part), x)
        attribute = name.replace("init", "")
        np.testing.assert_allclose(getattr(ours, attribute), part[name], rtol=1e-8, atol=1e-12)
        whole, _ = fit(GaussianMixture(4, max_iter=0, random_state=0), x)
        others = {"weights_", "means_", "precisions_"} - {attribute}
        assert all(np.array_equal(getattr(ours, other), getattr(whole, other)) for other in others)


@pytest.mark.parametrize("kind", KINDS)
def test_its_own_start_finds_what_scikit_learn_finds(kind):
    x = blobs(6, apart=12)  # far apart: there is one best answer
    ours, _ = fit(GaussianMixture(4, covariance_type=kind, random_state=0, n_init=3, tol=1e-9), x)
    theirs, _ = fit(Theirs(4, covariance_type=kind, random_state=0, n_init=3, tol=1e-9), x)
    assert ours.lower_bound_ == pytest.approx(
        theirs.lower_bound_, abs=1e-6
    )  # both stopped within 1e-9 a step


def test_it_is_an_estimator_of_scikit_learn():
    model = GaussianMixture(3, covariance_type="diag", tol=1e-5)
    theirs = Theirs().get_params()
    assert set(theirs) <= set(model.get_params())
    # same defaults
    assert {n: v for n, v in GaussianMixture().get_params().items() if n in theirs} == theirs
    copy = clone(model.set_params(n_components=2))
    assert (copy.n_components, copy.covariance_type, copy.tol) == (2, "diag", 1e-5)
    assert not hasattr(copy, "means_")
    assert repr(copy) == "GaussianMixture(covariance_type='diag', n_components=2, tol=1e-05)"
    x = blobs()
    again = pickle.loads(pickle.dumps(copy.fit(x)))
    np.testing.assert_array_equal(again.score_samples(x), copy.score_samples(x))


# ---- using it ----


def test_arrays_of_every_make_are_taken_and_left_alone():
    x = blobs()
    expected = GaussianMixture(4, **START_ON_BLOBS).fit(x).means_
    frozen = x.copy()
    frozen.flags.writeable = False
    for other in (
        frozen,
        x[::-1][::-1],
        np.asfortranarray(x),
        x.tolist(),
        torch.tensor(x, requires_grad=True),
    ):
        means = GaussianMixture(4, **START_ON_BLOBS).fit(other).means_
        np.testing.assert_allclose(means, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(x, blobs())
    reversed_order = GaussianMixture(4, **START_ON_BLOBS).fit(x[::-1]).means_
    np.testing.assert_allclose(reversed_order, expected, rtol=1e-9, atol=1e-9)


START_ON_BLOBS = {
    name: v for name, v in start(blobs(), 4, "full", 0).items() if name.endswith("_init")
}


@pytest.mark.parametrize("kind", KINDS)
def test_single_precision(kind):
    x = blobs()
    single, _ = fit(
        GaussianMixture(**start(x, 4, kind, 0), dtype=torch.float32, max_iter=10, tol=0), x
    )
    double, _ = fit(GaussianMixture(**start(x, 4, kind, 0), max_iter=10, tol=0), x)
    assert all(getattr(single, name).dtype == np.float32 for name in ATTRIBUTES)
    assert single.score_samples(x).dtype == np.float32
    # 1e-7 grown by an narrowness of up to 1e4
    np.testing.assert_allclose(single.lower_bounds_, double.lower_bounds_, atol=1e-3)


def test_single_precision_has_its_own_limit_for_the_fast_steps():
    x = blobs()
    x[:100] = x[:100] * 1e-3 + 50  # narrowness of 1e10: nothing would be left of float32's 1e-7
    given_start = {**start(x, 4, "spherical", 0), "tol": 0, "max_iter": 30}
    single, _ = fit(GaussianMixture(**given_start, dtype=torch.float32), x)
    double, _ = fit(GaussianMixture(**given_start), x)
    assert single.lower_bound_ == pytest.approx(double.lower_bound_, abs=1e-2)


def test_fitting_again_starts_afresh_on_data_of_any_width():
    model = GaussianMixture(2, random_state=0).fit(blobs())
    assert model.fit(blobs(dim=5)).means_.shape == (2, 5)
    assert model.n_features_in_ == 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_warm_start_goes_on_where_it_stopped(kind):
    x = blobs(7)
    long, _ = fit(GaussianMixture(**start(x, 4, kind, 0), tol=0, max_iter=12), x)
    short = GaussianMixture(**start(x, 4, kind, 0), tol=0, max_iter=4, warm_start=True)
    for _ in range(3):
        short, _ = fit(short, x)
    assert short.n_iter_ == 4
    # the data's mean is taken off and put back between the fits: some 1e-16 differ
    np.testing.assert_allclose(short.lower_bounds_, long.lower_bounds_[8:], rtol=1e-12)
    np.testing.assert_allclose(short.means_, long.means_, rtol=1e-10, atol=1e-10)
    cold, _ = fit(short.set_params(warm_start=False), x)
    np.testing.assert_allclose(cold.lower_bounds_, long.lower_bounds_[:4], rtol=1e-12)


def test_a_warm_start_from_the_end_stops_after_one_step():
    x = blobs(7)
    model = GaussianMixture(**start(x, 4, "full", 0), warm_start=True).fit(x)
    assert model.n_iter_ > 1
    assert model.fit(x).n_iter_ == 1


@pytest.mark.parametrize("init", STARTS)
def test_of_several_starts_the_best_is_kept(init):
    x = blobs(8, apart=1.0)
    options = {"init_params": init, "max_iter": 5}
    several, _ = fit(GaussianMixture(4, n_init=4, random_state=3, **options), x)
    rng = np.random.RandomState(3)
    singly = [
        fit(GaussianMixture(4, random_state=rng, **options), x)[0].lower_bound_ for _ in range(4)
    ]
    assert len(set(singly)) > 1
    assert several.lower_bound_ == max(singly) == several.lower_bounds_[-1]
    again, _ = fit(GaussianMixture(4, n_init=4, random_state=3, **options), x)
    np.testing.assert_array_equal(again.means_, several.means_)


@pytest.mark.parametrize("kind", KINDS)
def test_moving_the_data_moves_the_answer_and_nothing_else(kind):
    x = blobs(9)
    here = start(x, 4, kind, 0)
    far = {**here, "means_init": here["means_init"] + 1e6}
    near, _ = fit(GaussianMixture(**here, tol=0, max_iter=20), x)
    moved, _ = fit(GaussianMixture(**far, tol=0, max_iter=20), x + 1e6)
    # at 1e6 the data themselves are rounded to 1e-10
    np.testing.assert_allclose(moved.lower_bounds_, near.lower_bounds_, atol=1e-8)
    np.testing.assert_allclose(moved.means_ - 1e6, near.means_, atol=1e-7)


def narrow() -> tuple[np.ndarray, dict]:
    """Two broad clusters and one 1e-3 wide, 300 from the others: narrowness 2e11."""
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [rng.normal(size=(200, 2)), rng.normal(size=(200, 2)) + 5, 1e-3 * rng.normal(size=(100, 2))]
    )
    x[400:] += 300
    eyes = np.stack([np.eye(2), np.eye(2), np.eye(2) * 1e6])
    start = {
        "means_init": x[[0, 200, 400]],
        "precisions_init": eyes,
        "weights_init": np.full(3, 1 / 3),
    }
    return x, {"n_components": 3, "reg_covar": 0, "tol": 0, "max_iter": 10, **start}


def test_a_narrow_component_is_fitted_as_well_as_by_the_textbook(monkeypatch):
    x, options = narrow()
    guarded, _ = fit(GaussianMixture(**options), x)
    theirs, _ = fit(Theirs(**options), x)
    # both take x − mean before they square: 1e-16 · 300 / 1e-3 of a deviation, times the deviation
    assert guarded.lower_bound_ == pytest.approx(theirs.lower_bound_, abs=1e-10)
    np.testing.assert_allclose(
        guarded.covariances_[2], theirs.covariances_[2], rtol=1e-8, atol=1e-14
    )
    monkeypatch.setattr(fast_steps, "MAX_ROUNDING", {torch.float64: math.inf})
    careless, _ = fit(GaussianMixture(**options), x)
    assert abs(careless.lower_bound_ - theirs.lower_bound_) > 1e-7  # what the guard is there for


@pytest.mark.parametrize("kind", ["full", "diag", "spherical"])
def test_reg_covar_is_the_only_floor_where_it_is_given(kind):
    x = 1e4 * blobs(3, n=80, k=2)
    # with reg_covar=1e-6 a component becomes 1e-14 of the data's variance, as in scikit-learn
    x[:20] = x[0]
    given_start = {
        **start(x, 3, kind, 0),
        "means_init": np.stack([x[0], x[20], x[60]]),
        "tol": 0,
        "max_iter": 10,
    }
    given_start["precisions_init"] = given_start["precisions_init"] * 1e-8
    given_start["precisions_init"][0] *= 1e3
    ours, said = fit(GaussianMixture(**given_start), x)
    assert not [s for s in said if "Component" in s]
    # Twenty times the same point: reg_covar is all the variance that is left.
    np.testing.assert_allclose(
        ours.covariances_[0], 1e-6 * (np.eye(3) if kind == "full" else 1), atol=1e-12
    )
    # in the other kinds scikit-learn does not centre, and has lost every digit of it
    if kind == "full":
        theirs, _ = fit(Theirs(**given_start), x)
        np.testing.assert_allclose(ours.lower_bounds_[-1], theirs.lower_bound_, rtol=1e-8)


def test_many_dimensions_take_the_plain_steps():
    x = np.random.default_rng(0).normal(size=(300, 100))  # 5,151 features
    options = {**start(x, 2, "full", 0), "tol": 0, "max_iter": 2, "reg_covar": 1e-2}
    ours, theirs = fit(GaussianMixture(**options), x)[0], fit(Theirs(**options), x)[0]
    assert ours.lower_bound_ == pytest.approx(theirs.lower_bound_, rel=1e-8)
    np.testing.assert_allclose(ours.covariances_, theirs.covariances_, atol=1e-8)


def test_a_bar_shows_the_progress(capsys):
    fit(GaussianMixture(3, random_state=0, verbose=1, max_iter=4, tol=0), blobs())
    shown = capsys.readouterr().out
    assert "EM, K = 3" in shown
    assert "nats" in shown
    fit(GaussianMixture(3, random_state=0), blobs())
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", KINDS)
def test_the_gpu_gives_the_same(kind):
    x = blobs()
    cpu, _ = fit(GaussianMixture(**start(x, 4, kind, 0), tol=0, max_iter=10), x)
    gpu, _ = fit(GaussianMixture(**start(x, 4, kind, 0), tol=0, max_iter=10, device="cuda"), x)
    assert isinstance(gpu.means_, np.ndarray)  # arrays went in
    np.testing.assert_allclose(gpu.lower_bounds_, cpu.lower_bounds_, rtol=1e-10)
    np.testing.assert_allclose(gpu.score_samples(x), cpu.score_samples(x), rtol=1e-8)
    there = torch.tensor(x, device="cuda")
    on_gpu, _ = fit(GaussianMixture(**start(x, 4, kind, 0), tol=0, max_iter=10), there)
    np.testing.assert_allclose(on_gpu.lower_bounds_, cpu.lower_bounds_, rtol=1e-10)
    assert all(getattr(on_gpu, name).is_cuda for name in ATTRIBUTES)
    assert gpu.predict_proba(there).is_cuda
    assert not gpu.predict_proba(there.cpu()).is_cuda  # results lie where the data lie
    assert on_gpu.sample(5)[0].is_cuda


# ---- sampling ----


@pytest.mark.parametrize("kind", KINDS)
def test_samples_have_the_mixtures_weights_means_and_covariances(kind):
    model, _ = fit(GaussianMixture(**start(blobs(), 4, kind, 0)), torch.tensor(blobs()))
    for seed in range(5):
        n = 20_000
        x, k = model.set_params(random_state=seed).sample(n)
        assert (x.shape, k.shape, x.dtype, k.dtype) == ((n, 3), (n,), torch.float64, torch.int64)
        counts = torch.bincount(k, minlength=4)
        # 5 × 4 tests in all, seeds fixed: a right sampler fails one of them with a chance of 2e-3
        assert (
            stats.chisquare(counts, n * model.weights_.numpy() / model.weights_.sum().item()).pvalue
            > 1e-4
        )
        for j in range(4):
            spread = model.covariances_ if kind == "tied" else model.covariances_[j]
            if kind in ("diag", "spherical"):
                spread = torch.diag(spread.expand(3))
            white = torch.linalg.solve_triangular(
                torch.linalg.cholesky(spread), (x[k == j] - model.means_[j]).T, upper=False
            )
            # whitened, a component is standard normal in every direction: 5 × 4 × 4 × 3 tests
            assert min(stats.kstest(row, "norm").pvalue for row in white.numpy()) > 1e-5
            # correlations between the directions have a standard error of 1 / √n: five of them
            largest = float((torch.corrcoef(white) - torch.eye(3)).abs().max())
            assert largest < 5 / math.sqrt(len(white.T))


def test_samples_of_a_line_follow_the_exact_distribution():
    x = blobs(1, dim=1, k=2)
    model = GaussianMixture(2, random_state=0).fit(x)
    weights, means = model.weights_, model.means_.ravel()
    sds = np.sqrt(model.covariances_).ravel()

    def cdf(v):
        return (weights * stats.norm.cdf(np.asarray(v)[:, None], means, sds)).sum(1)

    for seed in range(10):
        drawn, _ = model.set_params(random_state=seed).sample(5000)
        # ten tests: fails by chance once in 1,000
        assert stats.kstest(drawn[:, 0], cdf).pvalue > 1e-4


def test_sampling_follows_random_state():
    model = GaussianMixture(3, random_state=1).fit(blobs())
    np.testing.assert_array_equal(model.sample(10)[0], model.sample(10)[0])
    assert not np.array_equal(model.sample(10)[0], model.set_params(random_state=2).sample(10)[0])
    assert model.sample()[0].shape == (1, 3)
    with pytest.raises(ValueError, match="Invalid value for 'n_samples': 0"):
        model.sample(0)


# ---- EM's promise ----

# The fast steps may round a log-density by 1e-8 nats (MAX_ROUNDING); ten times that is far below
# any gain a student could see. The worst of 20,000 random problems like those below fell by less
# than 1e-9.
FALL = 1e-7


def never_falls(bounds: list[float]) -> bool:
    return all(b >= a - FALL * max(1, abs(a)) for a, b in itertools.pairwise(bounds))


@st.composite
def problems(draw):
    """Data with clusters, duplicates or coarse values, and a way to start on them."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n, dim, k = draw(st.integers(4, 60)), draw(st.integers(1, 4)), draw(st.integers(1, 6))
    x = rng.normal(size=(n, dim)) * 10.0 ** rng.uniform(-2, 2, size=dim)
    make = draw(st.sampled_from(["cloud", "clusters", "duplicates", "coarse", "far"]))
    if make == "clusters":
        x = x * 0.01 + x[rng.integers(0, min(n, 4), n)]
    elif make == "duplicates":
        x = x[rng.integers(0, n, n) // 3]
    elif make == "coarse":
        x = np.round(x / np.abs(x).max(0) * 3)
    elif make == "far":
        x = x + 1e4
    options = {
        "n_components": min(k, n),
        "covariance_type": draw(st.sampled_from(KINDS)),
        "init_params": draw(st.sampled_from(STARTS)),
        "random_state": draw(st.integers(0, 100)),
    }
    return x, options


@settings(max_examples=150)
@given(problems())
def test_the_log_likelihood_never_falls(problem):
    x, options = problem
    # a direction without any spread is refused, which is tested below
    assume(np.ptp(x, axis=0).all())
    assume(np.linalg.eigvalsh(np.atleast_2d(np.corrcoef(x.T))).min() > 1e-9)
    model, said = fit(GaussianMixture(**options, reg_covar=0, tol=0, max_iter=25), x)
    assert never_falls(model.lower_bounds_)
    assert all(np.isfinite(getattr(model, name)).all() for name in ATTRIBUTES)
    # after the last step it has not fallen either
    assert never_falls([model.lower_bound_, model.score(x)])
    # EM by the textbook's functions goes the same way from the same start unless something is held
    if not any("Component" in s or "covariance" in s for s in said):
        first, _ = fit(GaussianMixture(**options, reg_covar=0, tol=0, max_iter=0), x)
        now = (first.weights_, first.means_, first.covariances_)
        for _ in range(3):
            resp, log_px = e_step(x, *now, options["covariance_type"])
            now = m_step(x, resp, options["covariance_type"])
        assert float(log_px.mean()) == pytest.approx(model.lower_bounds_[2], rel=1e-6, abs=1e-6)


# ---- when something is wrong ----


@pytest.mark.parametrize("kind", KINDS)
def test_components_that_collapse_are_held_and_named(kind):
    three = np.repeat(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), 10, axis=0)
    model, said = fit(GaussianMixture(3, covariance_type=kind, reg_covar=0, random_state=0), three)
    collapsed = [s for s in said if "held" in s]
    if kind == "tied":
        assert collapsed == [
            (
                "The shared covariance has become singular and is held at its last good value: "
                "set reg_covar > 0."
            )
        ]
    else:
        assert [s[:27] for s in collapsed] == [
            f"Component {k} has collapsed onto"[:27] for k in range(3)
        ]
        assert all(
            "fewer components, set reg_covar > 0, or try another start" in s for s in collapsed
        )
    assert never_falls([*model.lower_bounds_, model.score(three)])
    assert sorted(model.predict(three)) == [0] * 10 + [1] * 10 + [2] * 10
    # a held covariance may be as wide as a tenth of the distances, so that neighbours pull a little
    np.testing.assert_allclose(np.sort(model.means_, 0), [[0, 0], [0, 0], [1, 1]], atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_one_duplicated_point_takes_one_component_and_the_others_go_on(kind):
    x = blobs(3, n=80, k=2)
    x[:12] = x[0]  # a spike
    given_start = {**start(x, 3, kind, 0), "means_init": np.stack([x[0], x[20], x[60]])}
    given_start["weights_init"] = np.full(3, 1 / 3)
    if kind != "tied":
        given_start["precisions_init"][0] *= 1e3
    model, said = fit(GaussianMixture(**given_start, reg_covar=0), x)
    assert never_falls(model.lower_bounds_)
    assert all(np.isfinite(getattr(model, name)).all() for name in ATTRIBUTES)
    if kind != "tied":  # a shared covariance cannot follow the spike
        assert [s for s in said if s.startswith("Component 0 has collapsed onto too few points")]
        assert not [s for s in said if s.startswith(("Component 1", "Component 2"))]
        np.testing.assert_allclose(model.means_[0], x[0], atol=1e-3)


@pytest.mark.parametrize("reg_covar", [0.0, 1e-6])
@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_component_stays_empty_and_is_named(kind, reg_covar):
    x = blobs()
    given_start = start(x, 4, kind, 0)
    given_start["means_init"][2] = 1e4  # no point will ever be its
    model, said = fit(GaussianMixture(**given_start, reg_covar=reg_covar), x)
    assert [s for s in said if s.startswith("Component 2 has lost all its points and stays empty")]
    assert not [s for s in said if s.startswith(("Component 0", "Component 1", "Component 3"))]
    # reg_covar > 0 makes no such promise, but here it is far below every variance
    assert never_falls(model.lower_bounds_)
    np.testing.assert_allclose(model.means_[2], 1e4, rtol=1e-12)
    assert float(model.weights_[2]) < 1e-12
    if kind != "tied":
        np.testing.assert_allclose(
            model.precisions_[2], given_start["precisions_init"][2], rtol=1e-9, atol=1e-12
        )
    three = {
        name: v[[0, 1, 3]] if np.ndim(v) and len(v) == 4 else v
        for name, v in given_start.items()
        if name.endswith("init")
    }
    three["weights_init"] = three["weights_init"] / three["weights_init"].sum()
    without, _ = fit(GaussianMixture(3, covariance_type=kind, reg_covar=reg_covar, **three), x)
    # it takes part in nothing: from the second step on, the others do as they would without it
    assert model.lower_bound_ == pytest.approx(without.lower_bound_, abs=1e-9)


def test_a_warning_speaks_of_the_start_that_was_kept():
    x = blobs(0, n=60, k=2)
    x[:20] = x[0]  # a spike that some starts fall into, each with another of its components
    options = {"init_params": "random_from_data", "reg_covar": 0, "max_iter": 50}
    rng = np.random.RandomState(0)
    singly = [fit(GaussianMixture(3, random_state=rng, **options), x) for _ in range(6)]
    sentences = [[s for s in said if s.startswith("Component")] for _, said in singly]
    assert len({tuple(s) for s in sentences}) > 1
    _, said = fit(GaussianMixture(3, n_init=6, random_state=0, **options), x)
    best = max(range(6), key=lambda i: singly[i][0].lower_bound_)
    assert [s for s in said if s.startswith("Component")] == sentences[best]


def test_more_components_than_different_points():
    three = np.repeat(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), 10, axis=0)
    model, said = fit(GaussianMixture(5, random_state=0), three)
    assert len([s for s in said if "lost all its points" in s]) == 2
    assert sorted(np.bincount(model.predict(three)).tolist())[-3:] == [10, 10, 10]


def test_more_clusters_than_digits_of_precision_do_not_end_in_nan():
    x = blobs(2, n=40) * 1e-8 + 1.0
    model, _ = fit(GaussianMixture(2, random_state=0, reg_covar=0), x)
    assert never_falls(model.lower_bounds_)


FLAT = np.column_stack([blobs()[:, 0], np.full(400, 0.1)])
# What scikit-learn's own checks say is tested in test_mixtures_interface.py, some of it below.
BAD = [
    ({"weights_init": [0.5, 0.6]}, blobs(), "'weights' should be normalized"),
    ({"weights_init": [1.5, -0.5]}, blobs(), "'weights' should be in the range"),
    (
        {"weights_init": [1.0]},
        blobs(),
        r"'weights' should have the shape of \(2,\), but got \(1,\)",
    ),
    ({"means_init": np.zeros((3, 2))}, blobs(), r"'means' should have the shape of \(2, 3\)"),
    (
        {"precisions_init": np.eye(3)},
        blobs(),
        r"'full precision' should have the shape of \(2, 3, 3\)",
    ),
    (
        {"precisions_init": -np.stack([np.eye(3)] * 2)},
        blobs(),
        "should be symmetric, positive-definite",
    ),
    (
        {"precisions_init": np.stack([np.tri(3)] * 2)},
        blobs(),
        "should be symmetric, positive-definite",
    ),
    (
        {"precisions_init": [1.0, -1.0], "covariance_type": "spherical"},
        blobs(),
        "'spherical precision' should be positive",
    ),
    ({}, [[1.0, 2.0], [3.0]], "inhomogeneous shape"),
    ({}, np.array([["a", "b"]] * 3), "could not convert string to float"),
    ({"reg_covar": 0}, FLAT, "no spread in some direction"),
    ({"reg_covar": 0, "covariance_type": "tied"}, FLAT, "Drop that column, or set reg_covar > 0"),
    (
        {"reg_covar": 0, "covariance_type": "diag"},
        FLAT,
        "a column is constant or a linear combination of others",
    ),
    ({"reg_covar": 0}, blobs()[:, [0, 1, 1]], "combination of others"),
    (
        {"reg_covar": 0, "covariance_type": "spherical", "init_params": "random"},
        np.ones((9, 2)),
        "have no spread in some direction",
    ),
]


@pytest.mark.parametrize(("options", "x", "words"), BAD, ids=[words for _, _, words in BAD])
def test_what_cannot_be_used_is_named(options, x, words):
    with pytest.raises(ValueError, match=words):
        GaussianMixture(**{"n_components": 2, "random_state": 0, **options}).fit(x)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e6 + 0.1])
def test_a_constant_column_is_seen_whatever_its_mean_is_rounded_to(value):
    for n in (500, 1000, 3000):
        x = np.column_stack([np.random.default_rng(0).normal(size=(n, 2)), np.full(n, value)])
        with pytest.raises(ValueError, match="no spread in some direction"):
            GaussianMixture(2, random_state=0, reg_covar=0).fit(x)


def test_what_a_fitted_mixture_cannot_be_asked():
    model = GaussianMixture(2, random_state=0, warm_start=True).fit(blobs())
    with pytest.raises(
        ValueError, match="X has 2 features, but GaussianMixture is expecting 3 features"
    ):
        model.predict(blobs(dim=2))
    for other in (
        lambda: model.fit(blobs(dim=2)),
        lambda: model.set_params(n_components=3).fit(blobs()),
    ):
        with pytest.raises(
            ValueError, match="n_components and the number of columns of X must not change"
        ):
            other()


# ---- figures known from outside ----


@functools.cache
def projected():
    """MNIST's 60,000 training digits, in [0, 1], on their first 20 principal components."""
    train = mnist(True, quiet=True)
    if len(train) != 60_000:
        pytest.skip(f"needs all of MNIST; there are {train.source}")
    pixels = train.pixels()
    mean = pixels.mean(0)
    scatter = sum((b - mean).double().T @ (b - mean).double() for b in pixels.split(10_000))
    basis = torch.linalg.eigh(scatter).eigenvectors[:, -20:].flip(1)  # (784, 20)
    # the training digits from 20,000 on are not needed
    return (pixels[:20_000] - mean).double() @ basis, (
        mnist(False, quiet=True).pixels() - mean
    ).double() @ basis


# K = 1 is a formula, so it must agree to the last digit given. The others depend on the start: six
# k-means starts gave −23.54 to −24.04 for K = 10 and −21.96 to −22.04 for K = 20. From this seed
# scikit-learn's class gives −23.717 and −22.016.
@pytest.mark.parametrize(
    ("k", "known", "band"), [(1, -31.635, 0.001), (10, -23.7, 0.1), (20, -22.0, 0.1)]
)
def test_mnist_test_log_likelihood_is_the_known_figure(k, known, band):
    train, test = projected()
    model = GaussianMixture(k, random_state=0, tol=1e-3, max_iter=200).fit(train)
    assert model.converged_
    assert model.score(test) == pytest.approx(known, abs=band)
