"""scikit-learn's GaussianMixture on tensors, through its array API dispatch.

scikit-learn allows this only if SCIPY_ARRAY_API=1 was set in the environment before SciPy was
imported. The benchmark sets this variable.
"""

import os

import torch
from sklearn import config_context
from sklearn.mixture import GaussianMixture

from course_lib.probability.em import Parameters
from em_peers import precisions

if os.environ.get("SCIPY_ARRAY_API") != "1":
    raise ImportError("SCIPY_ARRAY_API is not 1")

NAME = "scikit-learn on torch"
PACKAGES = ("scikit-learn", "torch")
COVARIANCES = ("full", "tied", "diag", "spherical")
DTYPES = ("float64", "float32")


def prepare(x, start, covariance_type, iterations):
    points = torch.from_numpy(x)
    model = GaussianMixture(
        len(start.means),
        covariance_type=covariance_type,
        init_params="random",  # not used, but the default is not allowed for tensors
        tol=0,
        reg_covar=0,
        max_iter=iterations,
        weights_init=torch.from_numpy(start.weights),
        means_init=torch.from_numpy(start.means),
        precisions_init=torch.from_numpy(precisions(start, covariance_type)),
    )

    def fit():
        with config_context(array_api_dispatch=True):
            return model.fit(points)

    return fit


def parameters(model):
    return Parameters(model.weights_.numpy(), model.means_.numpy(), model.covariances_.numpy())


def score_samples(model, x):
    with config_context(array_api_dispatch=True):
        return model.score_samples(torch.from_numpy(x)).numpy()


def predict(model, x):
    with config_context(array_api_dispatch=True):
        return model.predict(torch.from_numpy(x)).numpy()


def predict_proba(model, x):
    with config_context(array_api_dispatch=True):
        return model.predict_proba(torch.from_numpy(x)).numpy()
