"""The E-step and the M-step of EM for a mixture of Gaussians, as plain functions.

P(x) = Σ_k weight_k N(x | mean_k, covariance_k). The covariances have one of scikit-learn's four
types: "full" (K, D, D), "tied" (D, D), "diag" (K, D) or "spherical" (K,). Both steps accept tensors
or NumPy arrays, and return results of the same type. Source: Bishop, Pattern Recognition and
Machine Learning, section 9.2 (E-step: equation 9.23; M-step: equations 9.24–9.26). All
log-probabilities are in nats.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.utils import check_array
from torch import Tensor

from course_lib.probability.gaussians import log_prob_diag, log_prob_full

COVARIANCE_TYPES = ("full", "tied", "diag", "spherical")
FLOATS = (torch.float64, torch.float32)


class Parameters(NamedTuple):
    """The parameters of a mixture: weights (K,), means (K, D) and covariances."""

    weights: Tensor
    means: Tensor
    covariances: Tensor


def as_array(values: Any) -> Any:
    """Convert a tensor to a NumPy array, and return any other value unchanged.

    Other values are left for scikit-learn to validate, except that a masked array raises
    ValueError.
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        if values.is_floating_point() and values.dtype not in FLOATS:
            values = values.double()  # NumPy does not support bfloat16
        return values.numpy()
    if np.ma.is_masked(values):
        raise ValueError(
            "Masked arrays are not supported, because the mask would be lost. "
            "Remove the masked rows with np.ma.compress_rows."
        )
    return values


def as_floats(values: Any) -> Tensor:
    """Convert numeric values to a tensor: float32 is kept, and every other type becomes float64.

    Raises scikit-learn's ValueError or TypeError if the values are not numeric.
    """
    if isinstance(values, Tensor) and not values.is_complex():
        return values if values.dtype in FLOATS else values.double()
    array = check_array(
        as_array(values),
        dtype=(np.float64, np.float32),
        order="C",  # torch does not support negative strides
        force_writeable=True,  # torch warns about read-only arrays
        ensure_2d=False,
        allow_nd=True,
        ensure_all_finite=False,
        ensure_min_samples=0,
        ensure_min_features=0,
    )
    return torch.from_numpy(array)


def arrays_too(step: Callable) -> Callable:
    """Let a function of tensors also accept NumPy arrays, and return arrays if x is an array.

    The parameters and responsibilities are converted to the dtype and device of x.
    """

    @functools.wraps(step)
    def on_either(x: Any, *others: Any, **named: Any) -> Any:
        points = as_floats(x)

        def converted(value: Any) -> Any:
            if isinstance(value, str | int | float):  # covariance_type, reg_covar
                return value
            return as_floats(value).to(points)

        others = tuple(converted(value) for value in others)
        named = {name: converted(value) for name, value in named.items()}
        found = step(points, *others, **named)
        if isinstance(x, Tensor):
            return found
        if isinstance(found, Tensor):
            return as_array(found)
        arrays = [as_array(part) for part in found]
        return Parameters(*arrays) if isinstance(found, Parameters) else tuple(arrays)

    return on_either


def check_type(covariance_type: str) -> None:
    """Raise ValueError for an unknown covariance_type,
    which would otherwise be treated as "full".
    """
    if covariance_type not in COVARIANCE_TYPES:
        names = ", ".join(COVARIANCE_TYPES)
        raise ValueError(f"covariance_type must be one of {names}, not {covariance_type!r}.")


@arrays_too
def log_joint(
    x: Tensor, weights: Tensor, means: Tensor, covariances: Tensor, covariance_type: str = "full"
) -> Tensor:
    """Return log weight_k + log N(x_n | mean_k, covariance_k), in nats: x (N, D) → (N, K).

    Raises ValueError for an unknown covariance_type.
    """
    check_type(covariance_type)
    log_px_k = x.new_empty(len(means), len(x))  # (K, N)
    for k, mean in enumerate(means):
        covariance = covariances if covariance_type == "tied" else covariances[k]
        if covariance_type in ("diag", "spherical"):
            log_px_k[k] = log_prob_diag(x, mean, covariance.log())
        else:
            log_px_k[k] = log_prob_full(x, mean, covariance)
    return weights.log() + log_px_k.T


@arrays_too
def e_step(
    x: Tensor, weights: Tensor, means: Tensor, covariances: Tensor, covariance_type: str = "full"
) -> tuple[Tensor, Tensor]:
    """Return the responsibilities P(k | x_n), and log P(x_n) in nats: x (N, D) → (N, K) and (N,).

    Each row of the responsibilities sums to 1.
    """
    joint = log_joint(x, weights, means, covariances, covariance_type)  # (N, K)
    log_px = torch.logsumexp(joint, dim=1)  # (N,)
    return torch.exp(joint - log_px[:, None]), log_px


@arrays_too
def m_step(
    x: Tensor, resp: Tensor, covariance_type: str = "full", reg_covar: float = 0.0
) -> Parameters:
    """Return the parameters that best fit x (N, D), given responsibilities resp (N, K).

    `reg_covar` is added to every variance. A component with no responsibility for any point gets a
    mean of 0 and, before `reg_covar` is added, a covariance of 0.
    """
    check_type(covariance_type)
    counts = resp.sum(0) + 10 * torch.finfo(x.dtype).eps  # (K,), never exactly 0
    means = resp.T @ x / counts[:, None]  # (K, D)
    diagonal = covariance_type in ("diag", "spherical")
    # one tensor, allocated first: small tensors between large temporaries would fragment the memory
    covariances = x.new_empty(means.shape if diagonal else (*means.shape, x.shape[1]))
    for k, mean in enumerate(means):
        centred = x - mean  # (N, D)
        if diagonal:
            covariances[k] = resp[:, k] @ centred**2 / counts[k]  # (D,)
        else:
            covariances[k] = (resp[:, k, None] * centred).T @ centred / counts[k]  # (D, D)
    if covariance_type == "tied":
        covariances = (counts[:, None, None] * covariances).sum(0) / counts.sum()
    elif covariance_type == "spherical":
        covariances = covariances.mean(1)
    if covariance_type in ("full", "tied"):
        covariances.diagonal(dim1=-2, dim2=-1).add_(reg_covar)
    else:
        covariances = covariances + reg_covar
    return Parameters(counts / counts.sum(), means, covariances)


def empty(weights: Tensor) -> Tensor:
    """Return whether each component has lost all its points: weights (K,) → (K,)."""
    return weights < 100 * torch.finfo(weights.dtype).eps


def narrowness(spread: Tensor, covariances: Tensor, covariance_type: str) -> Tensor:
    """Return Σ_d spread_d · precision_dd for each component, or ∞ if its covariance is singular.

    The result has shape (K,), or () for "tied". If `spread` (D,) contains the variances of the
    data, the result measures how much narrower than the data each component is in its thinnest
    direction. The pivots of the Cholesky factor cannot replace this measure, because after one
    small pivot, the later ones may be nothing but rounding error.
    """
    if covariance_type in ("diag", "spherical"):
        precisions = (1 / covariances.clamp_min(0)).reshape(len(covariances), -1)
    else:
        factors, info = torch.linalg.cholesky_ex(covariances)
        eye = torch.eye(factors.shape[-1]).to(factors).expand_as(factors)
        # precision = inverseᵀ inverse
        inverse = torch.linalg.solve_triangular(factors, eye, upper=False)
        precisions = torch.where(info[..., None] > 0, torch.inf, (inverse**2).sum(-2))
    return (spread * precisions).sum(-1)
