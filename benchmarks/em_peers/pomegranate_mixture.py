"""EM of pomegranate, a GeneralMixtureModel of Normals in torch: `pip install pomegranate`.

Its sums of responsibilities have torch's default dtype. With the default float32, a fit in float64
would be wrong in the eighth digit, so the default is set to the dtype of the data during a fit. A
spherical component is given one variance per dimension, because the constructor rejects a single
variance; the update makes the variances equal again.
"""

import contextlib

import numpy as np
import torch
from pomegranate.distributions import Normal
from pomegranate.gmm import GeneralMixtureModel

from course_lib.probability.em import Parameters

NAME = "pomegranate"
PACKAGES = ("pomegranate",)
COVARIANCES = ("full", "diag", "spherical")  # tied covariances are not supported
DTYPES = ("float64", "float32")
THEIR_NAMES = {"full": "full", "diag": "diag", "spherical": "sphere"}


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def prepare(x, start, covariance_type, iterations):
    points = torch.from_numpy(x)
    means, covariances = torch.from_numpy(start.means), torch.from_numpy(start.covariances)
    if covariance_type == "spherical":
        covariances = covariances[:, None].expand_as(means)
    with default_dtype(points.dtype):
        normals = [
            Normal(mean.clone(), covariance.clone(), covariance_type=THEIR_NAMES[covariance_type])
            for mean, covariance in zip(means, covariances, strict=True)
        ]
        priors = torch.from_numpy(start.weights).clone()
        model = GeneralMixtureModel(normals, priors=priors, max_iter=iterations, tol=-np.inf)

    def fit():
        with default_dtype(points.dtype):
            return model.fit(points)

    return fit


def parameters(model):
    means = torch.stack([normal.means for normal in model.distributions])
    covariances = torch.stack([normal.covs for normal in model.distributions])
    if model.distributions[0].covariance_type == "sphere":
        covariances = covariances[:, 0]
    return Parameters(model.priors.numpy(), means.numpy(), covariances.numpy())


def score_samples(model, x):
    return model.log_probability(torch.from_numpy(x)).numpy()


def predict(model, x):
    return model.predict(torch.from_numpy(x)).numpy()


def predict_proba(model, x):
    return model.predict_proba(torch.from_numpy(x)).numpy()
