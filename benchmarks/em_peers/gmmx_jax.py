"""EM of gmmx, in JAX on the CPU: `pip install gmmx`. It supports only float32.

JAX compiles the fit for each number of iterations, before the clock starts.
"""

import jax
import numpy as np
from gmmx import EMFitter, GaussianMixtureModelJax
from jax import numpy as jnp

from course_lib.probability.em import Parameters

NAME = "gmmx"
PACKAGES = ("gmmx", "jax")
COVARIANCES = ("full", "diag")
DTYPES = ("float32",)


def prepare(x, start, covariance_type, iterations):
    points = jnp.asarray(x)
    model = GaussianMixtureModelJax.from_squeezed(
        weights=jnp.asarray(start.weights),
        means=jnp.asarray(start.means),
        covariances=jnp.asarray(start.covariances),
        covariance_type=covariance_type,
    )
    fitter = EMFitter(max_iter=iterations, tol=0.0, reg_covar=0.0)
    compiled = EMFitter.fit.lower(fitter, points, model).compile()

    def fit():
        return jax.block_until_ready(compiled(fitter, points, model)).gmm

    return fit


def parameters(model):
    return Parameters(model.weights_numpy, model.means_numpy, model.covariances.values_numpy)


def score_samples(model, x):
    return np.asarray(model.score_samples(jnp.asarray(x))).reshape(len(x))


def predict(model, x):
    return np.asarray(model.predict(jnp.asarray(x))).reshape(len(x))


def predict_proba(model, x):
    return np.asarray(model.predict_proba(jnp.asarray(x))).reshape(len(x), -1)
