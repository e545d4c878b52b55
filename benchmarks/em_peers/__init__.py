"""A common interface to the EM implementations of several packages.

It is used by `python benchmarks/em.py --peers`.

Each module in this folder adapts one package and defines:

- NAME, the PACKAGES whose versions are reported, and the COVARIANCES and DTYPES that the package
  supports;
- `prepare(x, start, covariance_type, iterations)`, which does everything before the first iteration
  (conversion, compilation) and returns a function that fits and returns the model. x (N, D) and the
  start are arrays of the same dtype. The covariances are not regularized, because not every package
  supports that;
- `parameters(model)`, which returns the fitted parameters as arrays with scikit-learn's shapes;
- if the package supports them, `score_samples(model, x)`, `predict(model, x)` and
  `predict_proba(model, x)`.

A module imports its package at the top. If the import fails, `load` returns a message.
"""

import importlib
from types import ModuleType

import numpy as np

from course_lib.probability.em import Parameters

NAMES = ("ours", "sklearn_numpy", "sklearn_torch", "pomegranate_mixture", "gmmx_jax", "daal_em")
METHODS = ("score_samples", "predict", "predict_proba")


def load(name: str) -> tuple[ModuleType | None, str]:
    """Return the module with this name, or None and a message that says what is missing."""
    try:
        return importlib.import_module(f"em_peers.{name}"), ""
    except ImportError as error:
        why = "because a package is missing or cannot be loaded"
        return None, f"{name} is skipped, {why}: {error}."


def start_at(x: np.ndarray, k: int, covariance_type: str) -> Parameters:
    """Return starting parameters for k components to be fitted to x.

    x has the shape (N, D). The weights are equal, the means are k points of x, and the covariances
    contain the variances of x, without correlations. For "spherical", each of them is the mean of
    these variances.
    """
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
    """Return the inverses of the starting covariances, which scikit-learn takes instead of the
    covariances themselves.
    """
    if covariance_type in ("full", "tied"):
        return np.linalg.inv(start.covariances)
    return 1 / start.covariances


def apart(found: Parameters, reference: Parameters) -> float:
    """Return the largest difference between parameters, relative to the largest parameter
    of the same kind.
    """
    return max(
        float(np.abs(ours - theirs).max() / np.abs(theirs).max())
        for ours, theirs in zip(found, reference, strict=True)
    )
