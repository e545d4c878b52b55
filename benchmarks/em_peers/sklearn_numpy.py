"""scikit-learn's GaussianMixture on NumPy arrays.

It is always available as a dependency of the course.
"""

from sklearn.mixture import GaussianMixture

from course_lib.probability.em import Parameters
from em_peers import precisions

NAME = "scikit-learn"
PACKAGES = ("scikit-learn",)
COVARIANCES = ("full", "tied", "diag", "spherical")
DTYPES = ("float64", "float32")


def prepare(x, start, covariance_type, iterations):
    model = GaussianMixture(
        len(start.means),
        covariance_type=covariance_type,
        tol=0,
        reg_covar=0,
        max_iter=iterations,
        weights_init=start.weights,
        means_init=start.means,
        precisions_init=precisions(start, covariance_type),
    )
    return lambda: model.fit(x)


def parameters(model):
    return Parameters(model.weights_, model.means_, model.covariances_)


def score_samples(model, x):
    return model.score_samples(x)


def predict(model, x):
    return model.predict(x)


def predict_proba(model, x):
    return model.predict_proba(x)
