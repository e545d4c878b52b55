"""EM of several packages behind one interface, for `python benchmarks/em.py --peers`.

Each module here adapts one package and has:

- NAME, the PACKAGES whose versions count, and the COVARIANCES and DTYPES that they know;
- `prepare(x, start, covariance_type, iterations)`, which does all that comes before the first iteration
  (conversion, compilation) and returns a function that fits and returns the model. x (N, D) and the start are
  arrays of one dtype. Nothing is added to the covariances, because not every package can;
- `parameters(model)`, what the iterations led to, as arrays of scikit-learn's shapes;
- where the package can, `score_samples(model, x)`, `predict(model, x)` and `predict_proba(model, x)`.

A module imports its package at the top. Where this fails, `load` says so in a sentence.
"""

import importlib
from types import ModuleType

import numpy as np

from course_lib.probability.em import Parameters

NAMES = ("ours", "sklearn_numpy", "sklearn_torch", "pomegranate_mixture", "gmmx_jax", "daal_em")
METHODS = ("score_samples", "predict", "predict_proba")


def load(name: str) -> tuple[ModuleType | None, str]:
    """The module of that name, or None and a sentence that says what is missing."""
    try:
        return importlib.import_module(f"em_peers.{name}"), ""
    except ImportError as error:
        return None, f"{name} is skipped, because a package is missing or cannot be loaded: {error}."


def start_at(x: np.ndarray, k: int, covariance_type: str) -> Parameters:
    """Equal weights, means at k points of x (N, D), and the variances of x without its correlations."""
    dim = x.shape[1]
    variances = x.var(0)  # (D,)
    covariances = {
        "full": np.tile(np.diag(variances), (k, 1, 1)),
        "tied": np.diag(variances),
        "diag": np.tile(variances, (k, 1)),
        "spherical": np.full(k, variances.sum() / dim, x.dtype),
    }
    means = x[np.random.default_rng(0).choice(len(x), k, replace=False)]
    return Parameters(np.full(k, 1 / k, x.dtype), means, covariances[covariance_type])


def precisions(start: Parameters, covariance_type: str) -> np.ndarray:
    """The inverses of the start's covariances, which scikit-learn takes instead of them."""
    if covariance_type in ("full", "tied"):
        return np.linalg.inv(start.covariances)
    return 1 / start.covariances


def apart(found: Parameters, reference: Parameters) -> float:
    """The largest difference of any parameter, relative to the largest number of its kind."""
    return max(
        float(np.abs(ours - theirs).max() / np.abs(theirs).max())
        for ours, theirs in zip(found, reference, strict=True)
    )
