"""Log-densities of Gaussians, and closed-form KL divergences between two Gaussians, in nats."""

import math

import torch
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)


def log_prob_diag(x: Tensor, mu: Tensor | float, logvar: Tensor | float) -> Tensor:
    """Return log N(x | mu, diag(exp(logvar))) in nats, summed over the last dimension.

    x, mu and logvar broadcast to (..., D), and the result has shape (...). `logvar` is
    log sigma², not log sigma.
    """
    dtype = torch.result_type(x, 0.0)
    mu, logvar = (torch.as_tensor(v, dtype=dtype, device=x.device) for v in (mu, logvar))
    return -0.5 * (LOG_2PI + logvar + (x - mu) ** 2 * torch.exp(-logvar)).sum(-1)


def cholesky(covariance: Tensor) -> Tensor:
    """Return the lower Cholesky factor L of a covariance (..., D, D), with L Lᵀ = covariance.

    Raises ValueError if a matrix is not symmetric, not positive definite, or not finite.
    """
    # cholesky_ex reads only the lower triangle;
    # sums over many points may be asymmetric by about 1e-6
    asymmetry = (covariance - covariance.mT).abs().amax((-2, -1))  # (...), one value per matrix
    if bool((asymmetry > 1e-4 * covariance.abs().amax((-2, -1))).any()):
        raise ValueError(
            "At least one covariance matrix C is not symmetric. "
            "Use (C + Cᵀ) / 2, or check how C was computed."
        )
    factor, info = torch.linalg.cholesky_ex(covariance)
    if bool((info > 0).any()) or not bool(torch.isfinite(factor).all()):
        raise ValueError(
            "At least one covariance matrix is not positive definite. "
            "Add a small positive number to its diagonal (reg_covar in EM)."
        )
    return factor


def log_prob_full(x: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    """Return log N(x | mean, covariance) in nats, of shape (...).

    x has shape (..., D), the mean has shape (D,), and the covariance has shape (D, D). Raises
    ValueError if the covariance is not symmetric positive definite.
    """
    factor = cholesky(covariance)
    log_det = 2 * factor.diagonal().log().sum()
    rows = (x - mean).reshape(-1, x.shape[-1])  # (n, D)
    # solving with the factor is more stable and cheaper than inverting the covariance
    rows = torch.linalg.solve_triangular(factor.T, rows, upper=True, left=False)  # standardized
    return -0.5 * (x.shape[-1] * LOG_2PI + log_det + (rows**2).sum(-1)).reshape(x.shape[:-1])


def kl_diag(
    mu: Tensor, logvar: Tensor, mu_p: Tensor | float = 0.0, logvar_p: Tensor | float = 0.0
) -> Tensor:
    """Return KL(N(mu, exp(logvar)) ‖ N(mu_p, exp(logvar_p))) for diagonal Gaussians, in nats.

    The inputs broadcast to (..., D). The divergence is summed over the last dimension. The result
    has shape (...) and is never negative. By default, the second Gaussian is the standard normal,
    and the divergence is ½ Σ (exp(logvar) − 1 − logvar + mu²); see Kingma & Welling 2014,
    appendix B.
    """
    ratio = logvar - logvar_p  # the log of the ratio of the variances
    precision = torch.exp(-logvar_p) if isinstance(logvar_p, Tensor) else math.exp(-logvar_p)
    # expm1 is accurate even if the two variances are nearly equal
    return 0.5 * (torch.expm1(ratio) - ratio + (mu - mu_p) ** 2 * precision).sum(-1)


def kl_full(mean_q: Tensor, covariance_q: Tensor, mean_p: Tensor, covariance_p: Tensor) -> Tensor:
    """Return KL(N(mean_q, covariance_q) ‖ N(mean_p, covariance_p)), a scalar, in nats.

    The means have shape (D,), and the covariances have shape (D, D). Raises ValueError if a
    covariance is not symmetric positive definite. Source: Duchi, "Derivations for linear algebra
    and optimization", section 9.
    """
    factor_q, factor_p = cholesky(covariance_q), cholesky(covariance_p)
    ratio = torch.linalg.solve_triangular(factor_p, factor_q, upper=False)  # (D, D)
    difference = (mean_q - mean_p)[:, None]  # (D, 1)
    shift = torch.linalg.solve_triangular(factor_p, difference, upper=False)  # (D, 1)
    log_det_ratio = 2 * (factor_p.diagonal().log().sum() - factor_q.diagonal().log().sum())
    return 0.5 * ((ratio**2).sum() - len(mean_q) + (shift**2).sum() + log_det_ratio)
