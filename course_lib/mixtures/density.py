"""log P(x, k) under a fitted mixture, for NumPy arrays and torch tensors.

The parameters are those of scikit-learn: weights (K,), means (K, D), and `precisions_cholesky_`,
the upper triangular factors U that whiten the data, with U Uᵀ = covariance⁻¹. Arrays are processed
by NumPy and tensors by torch; the functions used here have the same names in both libraries.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_lib.mixtures.fast_steps import MAX_ROUNDING
from course_lib.probability.gaussians import LOG_2PI, cholesky

CACHED = 2**17  # numbers that fit in the processor's cache: 1 MB in float64
FEW = 2**12  # for up to this many differences x − mean, squaring is faster than preparing products
# From this K on, computing a point's D²/2 products costs less than whitening it K times.
MANY_COMPONENTS = 16
MANY_DIMENSIONS = 89  # with more dimensions, the products of a block need too much memory


def precision_factors(covariances: Tensor, covariance_type: str) -> Tensor:
    """Return scikit-learn's `precisions_cholesky_` for the given covariances.

    For "diag" and "spherical", the values are the reciprocals of the standard deviations. Raises
    ValueError if a full or tied covariance is not symmetric positive definite.
    """
    if covariance_type in ("diag", "spherical"):
        return covariances.rsqrt()
    factors = cholesky(covariances)  # (K, D, D) or (D, D)
    eye = torch.eye(factors.shape[-1]).to(factors).expand_as(factors)
    return torch.linalg.solve_triangular(factors, eye, upper=False).mT


def library(x: Any) -> Any:
    """Return the torch module for a tensor, and the NumPy module for an array."""
    return torch if isinstance(x, Tensor) else np


def transposed(x: Any) -> Any:
    """Return x.T with each row contiguous in memory."""
    return x.T.contiguous() if isinstance(x, Tensor) else np.ascontiguousarray(x.T)


def log_sum_exp(joint: Any) -> Any:
    """Compute log P(x) from log P(x, k): (n, K) → (n,)."""
    xp = library(joint)
    peak = xp.amax(joint, 1)  # (n,)
    return peak + xp.log(xp.exp(joint - peak[:, None]).sum(1))


def softmax(joint: Any) -> Any:
    """Compute P(k | x) from log P(x, k): (n, K) → (n, K)."""
    xp = library(joint)
    parts = xp.exp(joint - xp.amax(joint, 1)[:, None])
    parts /= parts.sum(1)[:, None]
    return transposed(parts.T)  # contiguous rows, whatever the memory layout of the block


def log_joint_blocks(
    x: Any, weights: Any, means: Any, factors: Any, covariance_type: str
) -> Iterator[Any]:
    """Yield log P(x, k) in nats for x of shape (N, D), in blocks of shape (n, K).

    The blocks are computed by matrix products, as in `fast_steps`, if this is faster and does not
    need too much memory; otherwise, they are computed directly from the definition of the density.
    """
    k, dim = means.shape
    xp = library(x)
    if covariance_type == "tied":
        factors = xp.broadcast_to(factors, (k, dim, dim))
    elif covariance_type == "spherical":
        factors = xp.broadcast_to(factors[:, None], (k, dim))
    numbers = len(x) * k * dim
    if covariance_type in ("full", "tied"):
        definition = numbers <= CACHED or k < MANY_COMPONENTS or dim > MANY_DIMENSIONS
    else:
        definition = numbers <= FEW
    if definition:
        yield from _by_definition(x, weights, means, factors)
    else:
        yield from _by_products(x, weights, means, factors)


def _log_peak(weights: Any, factors: Any) -> Any:
    """Return log P(x, k) at x = mean_k: factors (K, D, D) or (K, D) → (K,)."""
    xp = library(weights)
    scales = factors if factors.ndim == 2 else xp.diagonal(factors, 0, 1, 2)  # (K, D)
    with np.errstate(divide="ignore"):  # a component may have weight 0
        log_weights = xp.log(weights)
    return log_weights + xp.log(scales).sum(1) - 0.5 * scales.shape[1] * LOG_2PI


def _by_definition(x: Any, weights: Any, means: Any, factors: Any) -> Iterator[Any]:
    """Yield log P(x, k), computed from its definition by subtracting the mean, whitening and
    squaring.

    factors: shape (K, D, D) or (K, D).
    """
    k, dim = means.shape
    log_peak = _log_peak(weights, factors)
    rows = max(1, CACHED // (k * dim))
    for start in range(0, len(x), rows):
        centred = x[start : start + rows].T - means[:, :, None]  # (K, D, n)
        white = factors[:, :, None] * centred if factors.ndim == 2 else factors.mT @ centred
        white *= white
        yield log_peak - 0.5 * white.sum(1).T  # (n, K)


def _by_products(x: Any, weights: Any, means: Any, factors: Any) -> Iterator[Any]:
    """Yield log P(x, k), a quadratic function of x, computed by matrix products.

    factors: shape (K, D, D) or (K, D). Large terms of this function can cancel, which loses
    significant digits. Therefore, x is centred at the mean of the mixture; if a component is narrow
    compared with its own distance from that mean or with that of a point, its density is computed
    directly from the definition.
    """
    xp = library(x)
    k, dim = means.shape
    diagonal = factors.ndim == 2
    centre = weights @ means  # (D,)
    shift = means - centre  # (K, D)
    if diagonal:
        precisions = factors * factors  # (K, D)
        inverse_variances = precisions
        linear = precisions * shift  # (K, D)
    else:
        precisions = factors @ factors.mT  # (K, D, D)
        inverse_variances = xp.diagonal(precisions, 0, 1, 2)  # (K, D)
        linear = (precisions @ shift[:, :, None])[:, :, 0]  # (K, D)
    if diagonal:
        quadratic = -0.5 * precisions  # (K, D)
    else:
        # x_i x_j and x_j x_i are the same product, so each off-diagonal entry counts twice
        halves = -0.5 * (xp.triu(precisions) + xp.triu(precisions, 1))
        quadratic = xp.concat([halves[:, i, i:] for i in range(dim)], 1)  # (K, D (D + 1) / 2)
    constant = _log_peak(weights, factors) - 0.5 * (linear * shift).sum(1)  # (K,)
    precision = torch.float64 if x.itemsize == 8 else torch.float32
    most = MAX_ROUNDING[precision] / torch.finfo(precision).eps
    rows = max(1, CACHED // (k + quadratic.shape[1]))
    for start in range(0, len(x), rows):
        block = x[start : start + rows]
        # long rows, which suit the processor's vector units
        here = transposed(block - centre)  # (D, n)
        squares = here * here
        # a log-density is a sum of numbers of this size, each rounded in its last digit
        largest = xp.maximum(xp.amax(squares, 1), shift * shift) * inverse_variances  # (K, D)
        narrow = ~(largest.sum(1) <= most)  # (K,)
        products = squares if diagonal else xp.concat([here[i] * here[i:] for i in range(dim)])
        joint = quadratic @ products  # (K, n)
        joint += linear @ here
        joint += constant[:, None]
        if narrow.any():
            parts = _by_definition(block, weights[narrow], means[narrow], factors[narrow])
            joint[narrow] = xp.concat(list(parts)).T
        yield joint.T
