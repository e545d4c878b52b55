"""EM of Intel's oneDAL through daal4py, which is part of `pip install scikit-learn-intelex`.

Its regularization applies only to covariances that are not positive definite. It can fit a mixture,
but it cannot score points under the fitted mixture.
"""

import daal4py
import numpy as np

from course_lib.probability.em import Parameters

NAME = "daal4py"
PACKAGES = ("scikit-learn-intelex",)
COVARIANCES = ("full", "diag")
DTYPES = ("float64", "float32")


def prepare(x, start, covariance_type, iterations):
    algorithm = daal4py.em_gmm(
        nComponents=len(start.means),
        fptype={"float64": "double", "float32": "float"}[x.dtype.name],
        maxIterations=iterations,
        accuracyThreshold=0.0,
        regularizationFactor=0.0,
        covarianceStorage={"full": "full", "diag": "diagonal"}[covariance_type],
    )
    covariances = [np.atleast_2d(covariance) for covariance in start.covariances]
    return lambda: algorithm.compute(x, start.weights[None], start.means, covariances)


def parameters(model):
    covariances = np.stack(model.covariances)  # (K, D, D) or (K, 1, D)
    if covariances.shape[1] == 1:
        covariances = covariances[:, 0]
    return Parameters(model.weights[0], model.means, covariances)
