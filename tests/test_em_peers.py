"""The packages that the EM benchmark compares take the same step, and a missing one is named."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import em_peers

ITERATIONS = 3
# float32 has seven digits, and x² loses some of them where a component is narrow beside its
# distance from 0
APART = {"float64": 1e-8, "float32": 1e-3}


@pytest.fixture
def x():
    """Points of three correlated clouds, (600, 4)."""
    rng = np.random.default_rng(0)
    clouds = rng.integers(0, 3, (600, 1)) * np.array([3.0, -2.0, 1.0, 0.0])
    return clouds + rng.normal(size=(600, 4)) @ rng.normal(size=(4, 4))


def peer(monkeypatch, name):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    found, missing = em_peers.load(name)
    if found is None:
        pytest.skip(missing)
    return found


def fitted(adapter, x, covariance_type):
    start = em_peers.start_at(x, 3, covariance_type)
    return adapter.prepare(x, start, covariance_type, ITERATIONS)()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("dtype", APART)
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("name", em_peers.NAMES)
def test_every_package_takes_the_same_steps(monkeypatch, x, name, covariance_type, dtype):
    adapter = peer(monkeypatch, name)
    if covariance_type not in adapter.COVARIANCES or dtype not in adapter.DTYPES:
        pytest.skip(f"{adapter.NAME} has no {covariance_type} covariances in {dtype}.")
    sklearn = peer(monkeypatch, "sklearn_numpy")
    model = fitted(adapter, x.astype(dtype), covariance_type)
    reference = fitted(sklearn, x, covariance_type)
    found, expected = adapter.parameters(model), sklearn.parameters(reference)
    assert {array.dtype.name for array in found} == {dtype}
    assert [array.shape for array in found] == [array.shape for array in expected]
    assert em_peers.apart(found, expected) < APART[dtype]
    if hasattr(adapter, "score_samples"):
        points = x.astype(dtype)
        np.testing.assert_allclose(
            adapter.score_samples(model, points),
            sklearn.score_samples(reference, x),
            atol=10 * APART[dtype],
        )
        np.testing.assert_allclose(
            adapter.predict_proba(model, points),
            sklearn.predict_proba(reference, x),
            atol=10 * APART[dtype],
        )
        assert (adapter.predict(model, points) == sklearn.predict(reference, x)).mean() > 0.99


def test_a_missing_package_is_named_in_one_sentence(monkeypatch):
    monkeypatch.delitem(sys.modules, "em_peers.daal_em", raising=False)
    monkeypatch.setitem(sys.modules, "daal4py", None)  # so an import of it fails
    adapter, sentence = em_peers.load("daal_em")
    assert adapter is None
    assert sentence.startswith("daal_em is skipped, because a package is missing")
    assert "daal4py" in sentence
