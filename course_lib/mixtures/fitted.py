"""A mixture with known parameters: densities, responsibilities and samples."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn.mixture
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from course_lib.mixtures.density import (
    library,
    log_joint_blocks,
    log_sum_exp,
    precision_factors,
    softmax,
)
from course_lib.probability.em import as_array, as_floats
from course_lib.probability.gaussians import cholesky


class FittedMixture(sklearn.mixture.GaussianMixture):
    """The methods of a fitted mixture, named as in scikit-learn; `GaussianMixture` adds `fit`.

    If X is a tensor, methods return tensors on X's device, not arrays.
    """

    dtype: torch.dtype | None
    device: str | torch.device | None

    def score_samples(self, X: Any) -> Any:
        """Return log P(x) in nats for each row of X: (N, D) → (N,)."""
        return self._of_each(X, log_sum_exp)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of log P(x) over the rows of X (N, D), in nats."""
        return float(self.score_samples(X).mean())

    def predict_proba(self, X: Any) -> Any:
        """Return the responsibilities P(k | x): (N, D) → (N, K). Each row sums to 1."""
        return self._of_each(X, softmax)

    def predict(self, X: Any) -> Any:
        """Return the index of the most responsible component for each row of X: (N, D) → (N,)."""
        return self._of_each(X, lambda joint: joint.argmax(1))

    def bic(self, X: Any) -> float:
        """Return the mixture's Bayesian information criterion on X; lower values are better.

        The criterion is −2 · log-likelihood + (number of parameters) · log N.
        """
        return -2 * self.score(X) * len(X) + self._n_parameters() * math.log(len(X))

    def aic(self, X: Any) -> float:
        """Return the mixture's Akaike information criterion on X; lower values are better.

        The criterion is −2 · log-likelihood + 2 · (number of parameters).
        """
        return -2 * self.score(X) * len(X) + 2 * self._n_parameters()

    def sample(self, n_samples: int = 1) -> tuple[Any, Any]:
        """Draw samples by ancestral sampling: first a component k, then x from its Gaussian.

        Returns x of shape (n, D) and k of shape (n,).
        """
        check_is_fitted(self)
        if n_samples < 1:
            raise ValueError(f"Invalid value for 'n_samples': {n_samples}. It must be at least 1.")
        weights, means = as_floats(self.weights_), as_floats(self.means_)
        covariances = as_floats(self.covariances_)
        rng = check_random_state(self.random_state)
        p = weights.double().cpu().numpy()  # (K,)
        k = torch.from_numpy(rng.choice(len(p), n_samples, p=p / p.sum())).to(means.device)  # (n,)
        drawn = rng.standard_normal((n_samples, means.shape[1]))  # (n, D)
        noise = torch.from_numpy(drawn).to(means)
        if self.covariance_type == "full":
            for j, factor in enumerate(cholesky(covariances)):
                noise[k == j] = noise[k == j] @ factor.T
        elif self.covariance_type == "tied":
            noise = noise @ cholesky(covariances).T
        else:
            noise = noise * covariances[k].sqrt().reshape(n_samples, -1)
        return as_came(means[k] + noise, self.means_), as_came(k, self.means_)

    def _of_each(self, X: Any, result: Callable[[Any], Any]) -> Any:
        """Apply `result` to log P(x, k) block by block, to avoid storing an N×K matrix."""
        check_is_fitted(self)
        x: Any = self._checked(X)  # (N, D)
        if isinstance(X, Tensor) or self.device is not None:
            x = self._tensor(x, X)
        weights, means = like(x, self.weights_), like(x, self.means_)
        if hasattr(self, "precisions_cholesky_"):
            factors = like(x, self.precisions_cholesky_)
        else:  # the parameters were set by hand, not by `fit`
            covariances = as_floats(self.covariances_)
            factors = like(x, precision_factors(covariances, self.covariance_type))
        blocks = log_joint_blocks(x, weights, means, factors, self.covariance_type)
        return as_came(library(x).concat([result(joint) for joint in blocks]), X)

    def _checked(self, X: Any, fitting: bool = False) -> np.ndarray:
        """Validate X with scikit-learn's checks, and return X as an array of shape (N, D)."""
        x = validate_data(
            self,
            as_array(X),
            reset=fitting,
            dtype=np.float32 if self.dtype == torch.float32 else np.float64,
            ensure_min_samples=2 if fitting else 1,
        )
        if fitting and len(x) < self.n_components:
            raise ValueError(
                "Expected n_samples >= n_components but got "
                f"n_components = {self.n_components}, n_samples = {len(x)}"
            )
        largest = max(x.max(), -x.min())
        if largest > math.sqrt(np.finfo(x.dtype).max / x.size):
            raise ValueError(
                f"X contains values of up to {largest:.2g}, whose squares overflow {x.dtype}. "
                "Rescale X."
            )
        return x

    def _tensor(self, x: np.ndarray, X: Any) -> Tensor:
        """Convert x (X after validation) to a tensor on the device used for the computations."""
        own_device = X.device if isinstance(X, Tensor) else "cpu"
        return to_tensor(x).to(self.device or own_device)


def to_tensor(array: Any) -> Tensor:
    """Convert an array to a tensor.

    An array that is read-only or not C-contiguous is copied, because torch warns about read-only
    arrays and rejects negative strides.
    """
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def like(x: Any, values: Any) -> Any:
    """Convert a fitted attribute (an array or a tensor) to the type, dtype and device of x."""
    if isinstance(x, Tensor):
        return as_floats(values).to(x)
    return np.asarray(as_array(values), dtype=x.dtype)


def as_came(result: Any, X: Any) -> Any:
    """Return the result as a tensor on X's device if X is a tensor, and as an array otherwise."""
    if isinstance(X, Tensor):
        return result.to(X.device)
    return as_array(result)
