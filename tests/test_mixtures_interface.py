"""GaussianMixture for users of scikit-learn: its tests, its checks, and what people try first."""

from __future__ import annotations

import functools
import pickle
import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import sklearn.mixture
import torch
from scipy import special, stats
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.mixture.tests import test_gaussian_mixture as scikit_learns
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.estimator_checks import parametrize_with_checks

from course_lib.mixtures import GaussianMixture, density, fast_steps, starts

KINDS = ["full", "tied", "diag", "spherical"]
ATTRIBUTES = ["weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"]
X = load_iris().data
FRAME = load_iris(as_frame=True).data


def fitted(x=X, **options) -> GaussianMixture:
    return GaussianMixture(**{"n_components": 3, "random_state": 0, **options}).fit(x)


# ---- scikit-learn's own tests, run on our class ----

HELD = (
    "a component that collapses is held and named in a warning; scikit-learn's fit ends in an error"
)
OWN_STEPS = "counts calls of scikit-learn's M-step; the course has its own"
EXCEPTIONS = {
    "test_regularisation": HELD,
    "test_gaussian_mixture_all_init_does_not_estimate_gaussian_parameters": OWN_STEPS,
}
# They switch on scikit-learn's array_api_dispatch; our class takes tensors without it.
LEFT_OUT = {
    "test_gaussian_mixture_array_api_compliance",
    "test_gaussian_mixture_raises_where_array_api_not_implemented",
}


@pytest.fixture
def global_dtype():
    return np.float64


@pytest.fixture
def global_random_seed() -> int:
    return 42


@pytest.fixture(autouse=True)
def _ours_instead_of_scikit_learns(monkeypatch):
    monkeypatch.setattr(scikit_learns, "GaussianMixture", GaussianMixture)


def borrowed(name: str):
    test = getattr(scikit_learns, name)
    # scikit-learn runs its tests without turning warnings into errors
    test = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")(test)
    if name in EXCEPTIONS:
        test = pytest.mark.xfail(reason=EXCEPTIONS[name], strict=True)(test)
    return test


for _name in dir(scikit_learns):
    if _name.startswith("test_") and _name not in LEFT_OUT:
        globals()[_name] = borrowed(_name)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks([GaussianMixture(), GaussianMixture(2, covariance_type="diag")])
def test_scikit_learns_checks_of_an_estimator(estimator, check):
    check(estimator)


# ---- arrays in, arrays out; tensors in, tensors out ----


def answers(model, x) -> dict:
    return {
        "predict": model.predict(x),
        "predict_proba": model.predict_proba(x),
        "score_samples": model.score_samples(x),
        "fit_predict": clone(model).fit_predict(x),
        "sampled x": model.sample(5)[0],
        "sampled k": model.sample(5)[1],
        **{name: getattr(model, name) for name in ATTRIBUTES},
    }


@pytest.mark.parametrize("kind", KINDS)
def test_everything_comes_back_as_the_data_came(kind):
    from_array = answers(fitted(X, covariance_type=kind), X)
    from_frame = answers(fitted(FRAME, covariance_type=kind), FRAME)
    from_list = answers(fitted(X.tolist(), covariance_type=kind), X.tolist())
    tensor = torch.tensor(X)
    from_tensor = answers(fitted(tensor, covariance_type=kind), tensor)
    for name, expected in from_array.items():
        assert type(expected) is type(from_frame[name]) is type(from_list[name]) is np.ndarray, name
        assert isinstance(from_tensor[name], torch.Tensor), name
        for other in (from_frame, from_list):
            np.testing.assert_array_equal(other[name], expected, err_msg=name)
        # NumPy scores arrays and torch tensors: they round in other places
        np.testing.assert_allclose(from_tensor[name], expected, rtol=1e-11, err_msg=name)
        dtype = np.int64 if name in ("predict", "fit_predict", "sampled k") else np.float64
        assert expected.dtype == dtype == from_tensor[name].numpy().dtype, name


def test_what_is_asked_decides_even_when_the_fit_saw_the_other_kind():
    tensor = torch.tensor(X)
    on_arrays, on_tensors = fitted(X), fitted(tensor)
    assert isinstance(on_arrays.predict_proba(tensor), torch.Tensor)
    assert isinstance(on_tensors.predict_proba(X), np.ndarray)
    assert isinstance(on_arrays.sample()[0], np.ndarray)
    assert isinstance(on_tensors.sample()[0], torch.Tensor)


def test_fitted_attributes_work_with_numpy():
    model = fitted()
    assert (X - model.means_[0]).shape == X.shape
    assert model.weights_.round(2).sum() == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose(np.mean(model.means_, axis=0), model.means_.mean(axis=0))
    assert model.means_.max(axis=0).shape == (4,)
    drawn, _ = model.sample(500)
    np.testing.assert_allclose(drawn[:, 0].std(0), np.std(np.asarray(drawn)[:, 0]))


def test_tensors_of_every_make_are_taken():
    expected = fitted().means_
    half = fitted(torch.tensor(X).half()).means_
    assert half.dtype == torch.float64
    np.testing.assert_allclose(half, fitted(X.astype(np.float16)).means_, rtol=1e-12)
    for tensor in (torch.tensor(X, requires_grad=True), torch.tensor(X.T.copy()).T):
        means = fitted(tensor).means_
        assert not means.requires_grad
        np.testing.assert_array_equal(means, expected)
    whole = (10 * X).round()
    np.testing.assert_array_equal(fitted(torch.tensor(whole).int()).means_, fitted(whole).means_)
    listed = fitted([torch.tensor(row) for row in X])
    np.testing.assert_array_equal(listed.means_, expected)


# ---- the door that data come in by ----


def test_reordered_columns_are_refused():
    model = fitted(FRAME)
    assert model.feature_names_in_.tolist() == list(FRAME.columns)
    assert model.n_features_in_ == 4
    for ask in ("score", "score_samples", "predict", "predict_proba", "bic", "aic"):
        with pytest.raises(ValueError, match="Feature names must be in the same order"):
            getattr(model, ask)(FRAME[FRAME.columns[::-1]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        assert model.score(X) == model.score(FRAME)


MADE = {
    "bool columns beside floats": lambda: FRAME.assign(wide=FRAME.iloc[:, 1] > 3),
    "objects": lambda: FRAME.astype(object),
    "a frame that convert_dtypes made": lambda: FRAME.convert_dtypes(),
    "big-endian floats": lambda: X.astype(">f8"),
    "long doubles": lambda: X.astype(np.longdouble),
    "half floats": lambda: X.astype(np.float16),
    "single floats": lambda: X.astype(np.float32),
    "integers": lambda: (10 * X).astype(int),
    "a reversed view": lambda: X[::-1, ::-1],
    "Fortran's order": lambda: np.asfortranarray(X),
    "a view that cannot be written": lambda: np.broadcast_to(X, X.shape),
}


@pytest.mark.parametrize("made", MADE)
def test_data_of_every_make_are_taken_as_float64(made):
    x = MADE[made]()
    options = {"covariance_type": "diag", "reg_covar": 1e-3}
    model, plain = fitted(x, **options), fitted(np.array(x, dtype=np.float64), **options)
    assert model.means_.dtype == np.float64
    np.testing.assert_array_equal(model.means_, plain.means_)
    assert model.score(x) == plain.score(np.array(x, dtype=np.float64))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given", ["weights_init", "means_init", "precisions_init"])
def test_a_start_of_every_make_is_taken(given, kind):
    start = getattr(fitted(covariance_type=kind), given.replace("init", ""))
    expected = fitted(covariance_type=kind, max_iter=0, **{given: start})
    made = [
        start[::-1][::-1],
        start.astype(">f8"),
        start.astype(np.longdouble),
        start.tolist(),
        torch.tensor(start),
    ]
    made += [pd.DataFrame(start)] if start.ndim == 2 else []
    for other in made:
        model = fitted(covariance_type=kind, max_iter=0, **{given: other})
        assert getattr(model, given) is other  # a constructor's argument stays what it was
        for name in ATTRIBUTES:
            np.testing.assert_array_equal(
                getattr(model, name), getattr(expected, name), err_msg=name
            )
    with pytest.raises(ValueError, match="Complex data not supported"):
        fitted(covariance_type=kind, **{given: start.astype(complex)})
    with pytest.raises(ValueError, match="contains NaN"):
        fitted(covariance_type=kind, **{given: np.full_like(start, np.nan)})


REFUSED = {
    "Complex data not supported": lambda: X + 0j,
    "Sparse data was passed": lambda: scipy.sparse.csr_matrix(X),
    r"values of up to 7\.9e\+155, whose squares overflow": lambda: X * 1e155,
    "Expected 2D array, got 1D array": lambda: X[:, 0],
    "Found array with dim 3": lambda: X[None],
    "contains NaN": lambda: np.where(np.arange(150)[:, None] == 17, np.nan, X),
    "contains infinity": lambda: np.where(np.arange(150)[:, None] == 17, np.inf, X),
    "minimum of 2 is required": lambda: X[:1],
    "n_samples >= n_components but got n_components = 3, n_samples = 2": lambda: X[:2],
    "Masked arrays are not supported": lambda: np.ma.masked_greater(X, 5),
}


@pytest.mark.parametrize("words", REFUSED)
@pytest.mark.parametrize("as_tensor", [False, True])
def test_what_is_no_data_gets_a_sentence_of_its_own(words, as_tensor):
    x = REFUSED[words]()
    if as_tensor:
        if type(x) is not np.ndarray:
            pytest.skip("only arrays have tensors like them")
        x = torch.tensor(x)
    with pytest.raises((ValueError, TypeError), match=words):
        fitted(x)
    if "required" not in words and "n_samples" not in words:  # one row can be scored
        with pytest.raises((ValueError, TypeError), match=words):
            fitted().predict_proba(x)


def test_values_that_only_look_large_are_taken():
    model = fitted(X * 1e145, reg_covar=0)
    assert model.score(X * 1e145) == pytest.approx(
        fitted(X, reg_covar=0).score(X) - 4 * np.log(1e145)
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_iter", 10.5),
        ("max_iter", None),
        ("max_iter", -1),
        ("tol", "a"),
        ("tol", float("nan")),
        ("tol", -1e-3),
        ("reg_covar", float("nan")),
        ("reg_covar", -1),
        ("n_init", 0),
        ("n_init", 1.5),
        ("n_components", 0),
        ("n_components", 2.0),
        ("covariance_type", "round"),
        ("init_params", "best"),
        ("random_state", "a"),
        ("warm_start", "yes"),
        ("dtype", torch.int32),
        ("device", 1.5),
    ],
)
def test_a_setting_that_cannot_be_is_named_by_scikit_learn(name, value):
    words = re.escape(f"The '{name}' parameter of GaussianMixture must be")
    with pytest.raises(InvalidParameterError, match=words):
        fitted(**{name: value})
    with pytest.raises(InvalidParameterError, match=words):
        GaussianMixture(**{"n_components": 3, name: value}).fit_predict(X)


# ---- an estimator ----


def test_it_works_in_a_pipeline_and_in_a_grid_search():
    search = GridSearchCV(
        make_pipeline(StandardScaler(), GaussianMixture(random_state=0)),
        {"gaussianmixture__n_components": [1, 2, 3]},
        cv=3,
    )
    search.fit(FRAME)
    theirs = clone(search).set_params(
        estimator__gaussianmixture=sklearn.mixture.GaussianMixture(random_state=0)
    )
    theirs.fit(FRAME)
    assert search.best_params_ == theirs.best_params_
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], atol=0.05
    )


def test_it_is_scikit_learns_class_with_other_steps():
    assert issubclass(GaussianMixture, sklearn.mixture.GaussianMixture)
    assert repr(GaussianMixture(3, tol=1e-5)) == "GaussianMixture(n_components=3, tol=1e-05)"
    for x in (X, torch.tensor(X)):
        again = pickle.loads(pickle.dumps(fitted(x)))
        np.testing.assert_array_equal(again.predict_proba(x), fitted(x).predict_proba(x))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [np.asarray, torch.tensor])
def test_parameters_set_by_hand_are_used(kind, make):
    reference = fitted(covariance_type=kind)
    by_hand = GaussianMixture(3, covariance_type=kind, random_state=0)
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_"):
        setattr(by_hand, name, make(getattr(reference, name)))
    for ask in ("predict", "predict_proba", "score_samples", "score", "bic", "aic"):
        np.testing.assert_array_equal(getattr(by_hand, ask)(X), getattr(reference, ask)(X))
    np.testing.assert_array_equal(by_hand.sample(9)[0], reference.sample(9)[0])
    by_hand.means_ = by_hand.means_ + 1
    moved = by_hand.score_samples(X + 1)
    np.testing.assert_allclose(moved, reference.score_samples(X), atol=1e-10)


def test_covariances_alone_are_enough():
    reference, by_hand = fitted(), GaussianMixture(3)
    by_hand.weights_, by_hand.means_ = reference.weights_.tolist(), reference.means_
    by_hand.covariances_ = reference.covariances_
    np.testing.assert_allclose(by_hand.score_samples(X), reference.score_samples(X), rtol=1e-12)


def test_what_is_not_fitted_says_so():
    for ask in ("predict", "predict_proba", "score_samples", "score", "bic", "aic"):
        with pytest.raises(NotFittedError, match="This GaussianMixture instance is not fitted yet"):
            getattr(GaussianMixture(), ask)(X)
    with pytest.raises(NotFittedError, match="This GaussianMixture instance is not fitted yet"):
        GaussianMixture().sample()


def test_random_state_may_be_a_generator_that_goes_on():
    rng = np.random.RandomState(0)
    model = fitted(random_state=rng)
    assert not np.array_equal(model.sample(5)[0], model.sample(5)[0])
    with pytest.raises(TypeError, match="sample_weight"):
        GaussianMixture().fit(X, sample_weight=np.ones(150))


# ---- scoring ----


@pytest.mark.parametrize("rows", [1, 2, 300, 5000])
@pytest.mark.parametrize("far", [0.0, 1e4])
@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_scipys_however_many_rows_there_are(kind, far, rows):
    model = fitted(X + far, covariance_type=kind)
    x = X[np.random.default_rng(0).integers(0, 150, rows)] + far
    covariances = {
        "full": lambda c: c,
        "tied": lambda c: [c] * 3,
        "diag": lambda c: [np.diag(row) for row in c],
        "spherical": lambda c: [v * np.eye(4) for v in c],
    }[kind](model.covariances_)
    joint = np.stack(
        [
            np.log(w) + np.atleast_1d(stats.multivariate_normal.logpdf(x, m, c))
            for w, m, c in zip(model.weights_, model.means_, covariances, strict=True)
        ],
        axis=1,
    )
    # fast steps may round by 1e-8 (MAX_ROUNDING); here it is far less
    np.testing.assert_allclose(model.score_samples(x), special.logsumexp(joint, axis=1), atol=1e-9)
    np.testing.assert_allclose(model.predict_proba(x), special.softmax(joint, axis=1), atol=1e-9)
    np.testing.assert_array_equal(model.predict(x), joint.argmax(1))


@pytest.mark.parametrize("kind", KINDS)
def test_narrow_components_are_scored_with_all_their_digits(kind, monkeypatch):
    k, n = 20, 4000
    rng = np.random.default_rng(0)
    widths = np.where(np.arange(k) % 2, 1.0, 1e-4)
    if kind == "tied":
        widths[:] = 1e-4
    means = 300 * rng.normal(size=(k, 2))
    which = np.arange(n) % k
    x = means[which] + widths[which, None] * rng.normal(size=(n, 2))
    model = GaussianMixture(k, covariance_type=kind)
    model.weights_, model.means_ = np.full(k, 1 / k), means
    model.covariances_ = {
        "full": widths[:, None, None] ** 2 * np.eye(2),
        "tied": 1e-8 * np.eye(2),
        "diag": widths[:, None] ** 2 * np.ones(2),
        "spherical": widths**2,
    }[kind]
    distances = ((x[:, None] - means) ** 2).sum(2) / widths**2  # (N, K)
    exact = special.logsumexp(-distances / 2 - np.log(2 * np.pi * widths**2) - np.log(k), axis=1)
    # x − mean is rounded by 1e-16 of 300; over 1e-4 and squared that is some 1e-9
    np.testing.assert_allclose(model.score_samples(x), exact, atol=1e-8)
    np.testing.assert_allclose(model.score_samples(torch.tensor(x)), exact, atol=1e-8)
    monkeypatch.setattr(density, "MAX_ROUNDING", {torch.float64: np.inf})
    assert np.abs(model.score_samples(x) - exact).max() > 1e-3  # what the guard is there for


@pytest.mark.parametrize("kind", ["full", "tied"])
def test_thin_components_with_means_far_from_the_data_are_scored_with_all_their_digits(
    kind, monkeypatch
):
    """Lines through the origin, where all points lie: near every component, far from every mean."""
    k, n = 20, 4000
    length, width = 300.0, 1e-4
    slopes = np.full(k, 0.7) if kind == "tied" else np.repeat(np.linspace(0.1, 1.3, k // 2), 2)
    ends = np.tile([-length, length], k // 2)  # x_1 of each mean; the mixture's mean is the origin
    x = width * np.random.default_rng(0).normal(size=(n, 2))
    factors = np.zeros((k, 2, 2))  # (x − mean) @ factor is `along` and `across` below
    factors[:, 0, 0] = 1 / length
    factors[:, 0, 1] = -slopes / width
    factors[:, 1, 1] = 1 / width
    model = GaussianMixture(k, covariance_type=kind)
    model.weights_, model.means_ = np.full(k, 1 / k), np.stack([ends, slopes * ends], axis=1)
    model.precisions_cholesky_ = factors[0] if kind == "tied" else factors
    along = (x[:, :1] - ends) / length  # (N, K)
    across = (x[:, 1:] - slopes * x[:, :1]) / width
    exact = special.logsumexp(-(along**2 + across**2) / 2, axis=1) - np.log(
        2 * np.pi * length * width * k
    )
    # x − mean is rounded by 1e-16 of 300; over the width and squared that is some 1e-9
    np.testing.assert_allclose(model.score_samples(x), exact, atol=1e-8)
    np.testing.assert_allclose(model.score_samples(torch.tensor(x)), exact, atol=1e-8)
    monkeypatch.setattr(density, "MAX_ROUNDING", {torch.float64: np.inf})
    assert np.abs(model.score_samples(x) - exact).max() > 1e-5  # what the guard is there for


@pytest.mark.parametrize("k", [3, 20])
@pytest.mark.parametrize("kind", KINDS)
def test_tensors_and_arrays_are_scored_alike(kind, k):
    x = np.random.default_rng(0).normal(size=(3000, 4))
    model = GaussianMixture(k, covariance_type=kind, init_params="random_from_data", random_state=0)
    model = model.set_params(max_iter=0).fit(x)
    for ask in ("score_samples", "predict_proba", "predict"):
        ours, tensors = getattr(model, ask)(x), getattr(model, ask)(torch.tensor(x))
        np.testing.assert_allclose(ours, tensors, rtol=1e-10, atol=1e-12)


def test_a_weight_of_0_is_no_trouble():
    model = fitted()
    model.weights_ = np.array([0.5, 0.5, 0.0])
    for x in (X, torch.tensor(X), np.tile(X, (100, 1))):
        assert (model.predict_proba(x)[:, 2] == 0).all()
        assert np.isfinite(np.asarray(model.score_samples(x))).all()


# ---- interrupting ----


def interrupt(monkeypatch, where, name: str, at: int) -> None:
    """Make the `at`-th call of `where.name` raise as Ctrl-C and the kernel's stop button do."""
    original, calls = getattr(where, name), []

    @functools.wraps(original)
    def stopped(*args, **options):
        calls.append(1)
        if len(calls) == at:
            raise KeyboardInterrupt
        return original(*args, **options)

    monkeypatch.setattr(where, name, stopped)


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_an_interrupted_fit_keeps_the_steps_so_far(steps, monkeypatch, capsys):
    options = {"tol": 0, "init_params": "random"}
    expected = GaussianMixture(3, random_state=0, max_iter=steps, **options).fit(X)
    interrupt(monkeypatch, fast_steps.FastSteps, "iterate", steps + 1)
    model = GaussianMixture(3, random_state=0, max_iter=50, **options).fit(X)
    said = capsys.readouterr().out.splitlines()
    assert said == [f"Interrupted after EM step {steps}. The fit so far is kept."]
    assert model.converged_ is False
    assert model.n_iter_ == steps == len(model.lower_bounds_)
    for name in ATTRIBUTES:
        np.testing.assert_array_equal(getattr(model, name), getattr(expected, name))
    assert model.lower_bound_ == expected.lower_bound_
    assert model.predict(X).shape == (150,)


def test_an_interruption_between_starts_keeps_the_best_so_far(monkeypatch, capsys):
    expected = GaussianMixture(3, random_state=0).fit(X)
    interrupt(monkeypatch, starts.KMeans, "fit", 2)
    model = GaussianMixture(3, random_state=0, n_init=5).fit(X)
    assert "Interrupted" in capsys.readouterr().out
    assert model.converged_ is False
    np.testing.assert_array_equal(model.means_, expected.means_)


def test_an_interruption_before_the_first_start_has_nothing_to_keep(monkeypatch):
    interrupt(monkeypatch, starts.KMeans, "fit", 1)
    model = GaussianMixture(3, random_state=0)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    assert not hasattr(model, "means_")


def test_an_interrupted_fit_goes_on_by_warm_start(monkeypatch, capsys):
    options = {"random_state": 0, "tol": 0, "warm_start": True}
    with monkeypatch.context() as patch:
        interrupt(patch, fast_steps.FastSteps, "iterate", 4)
        model = GaussianMixture(3, max_iter=50, **options).fit(X)
    model.set_params(max_iter=4).fit(X)
    whole = GaussianMixture(3, max_iter=7, **options).fit(X)
    assert model.lower_bounds_ == pytest.approx(whole.lower_bounds_[3:], rel=1e-12)
