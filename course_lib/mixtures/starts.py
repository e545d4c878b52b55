"""Initial parameters for EM: supplied by the caller,
or taken from a clustering, random responsibilities or the last fit.
"""

import math

import numpy as np
import torch
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.mixture._gaussian_mixture import _check_means, _check_precisions, _check_weights
from torch import Tensor

from course_lib.mixtures.fitted import FittedMixture, like, to_tensor
from course_lib.probability.em import Parameters, as_array, m_step, narrowness
from course_lib.probability.gaussians import cholesky

# A component has collapsed if it is this many times narrower (in variance) than the data.
COLLAPSED = 1e12


def collapsed(mixture: FittedMixture, covariances: Tensor, variances: Tensor) -> Tensor:
    """Return a boolean mask of the components that are too narrow for data with these variances.

    The mask has shape (K,), or () for a tied covariance.
    """
    limit = math.inf if mixture.reg_covar else COLLAPSED  # reg_covar > 0 already sets a lower limit
    return ~(narrowness(variances, covariances, mixture.covariance_type) < limit)


def last_fit(mixture: FittedMixture, x: Tensor, centre: Tensor) -> Parameters:
    """Return the parameters of the last fit, for a warm start."""
    weights, means = like(x, mixture.weights_), like(x, mixture.means_)
    covariances = like(x, mixture.covariances_)
    if means.shape != (mixture.n_components, x.shape[1]):
        raise ValueError(
            "With warm_start=True, n_components and the number of columns of X must not change."
        )
    return Parameters(weights, means - centre, covariances)


def start(
    mixture: FittedMixture, x: Tensor, rng: np.random.RandomState, centre: Tensor
) -> Parameters:
    """Return the initial weights, means and covariances.

    Parameters that the caller does not specify are computed according to `init_params`.
    """
    given = given_start(mixture, x)
    if "means" in given:
        given["means"] = given["means"] - centre
    if len(given) == 3:
        return Parameters(**given)
    return guess(mixture, x, rng)._replace(**given)


def given_start(mixture: FittedMixture, x: Tensor) -> dict[str, Tensor]:
    """Return the initial parameters that the caller specifies, validated by scikit-learn's checks.

    Precisions are converted to covariances.
    """
    k, dim = mixture.n_components, x.shape[1]
    kind = mixture.covariance_type
    given: dict[str, Tensor] = {}
    if mixture.weights_init is not None:
        weights = _check_weights(as_array(mixture.weights_init), k, xp=np)
        given["weights"] = like(x, weights)
    if mixture.means_init is not None:
        means = _check_means(as_array(mixture.means_init), k, dim, xp=np)
        given["means"] = like(x, means)
    if mixture.precisions_init is not None:
        array = _check_precisions(as_array(mixture.precisions_init), kind, k, dim, xp=np)
        precisions = like(x, array)
        if kind in ("diag", "spherical"):
            given["covariances"] = 1 / precisions
        else:
            given["covariances"] = torch.cholesky_inverse(cholesky(precisions))
    return given


def guess(mixture: FittedMixture, x: Tensor, rng: np.random.RandomState) -> Parameters:
    """Assign the data to components according to `init_params`, and perform an M-step."""
    k, kind = mixture.n_components, mixture.covariance_type
    if mixture.init_params == "random":
        resp = torch.from_numpy(rng.uniform(size=(len(x), k))).to(x)
        resp = resp / resp.sum(1, keepdim=True)
    else:
        nearest = torch.cdist(x, centres_of_clusters(mixture, x, rng)).argmin(1)
        resp = torch.nn.functional.one_hot(nearest, k).to(x)  # (N, K)
    start = m_step(x, resp, kind, mixture.reg_covar)
    pooled = m_step(x, torch.ones_like(resp[:, :1]), kind, mixture.reg_covar).covariances
    variances = x.var(0, correction=0)
    if bool(collapsed(mixture, pooled, variances).any()) and mixture.precisions_init is None:
        raise ValueError(
            "The data have no spread in some direction, because a column is constant or a linear "
            "combination of others. Drop that column, or set reg_covar > 0."
        )
    # a cluster with too few points starts with the covariance of all points
    lost = collapsed(mixture, start.covariances, variances)
    lost = lost.reshape(lost.shape + (1,) * (start.covariances.ndim - 1))
    return start._replace(covariances=torch.where(lost, pooled, start.covariances))


def centres_of_clusters(mixture: FittedMixture, x: Tensor, rng: np.random.RandomState) -> Tensor:
    """Return the centres of the initial clusters, of shape (K, D)."""
    data = x.cpu().numpy()
    if mixture.init_params == "kmeans":
        clusters = KMeans(mixture.n_components, n_init=1, random_state=rng).fit(data)
        centres = clusters.cluster_centers_
    elif mixture.init_params == "k-means++":
        centres, _ = kmeans_plusplus(data, mixture.n_components, random_state=rng)
    else:
        centres = data[rng.choice(len(data), mixture.n_components, replace=False)]
    return to_tensor(centres).to(x)
