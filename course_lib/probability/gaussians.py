"""Gaussians: log-densities and the closed forms of KL between two of them. Everything in nats."""

import math

import torch
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)


def log_prob_diag(x: Tensor, mu: Tensor | float, logvar: Tensor | float) -> Tensor:
    """log N(x | mu, diag(exp(logvar))), summed over the last dimension.

    x, mu, logvar broadcast to (..., D); the result is (...), in nats. `logvar` is log sigma², not log sigma.
    """
    mu, logvar = (torch.as_tensor(v, dtype=torch.result_type(x, 0.0), device=x.device) for v in (mu, logvar))
    return -0.5 * (LOG_2PI + logvar + (x - mu) ** 2 * torch.exp(-logvar)).sum(-1)


def cholesky(covariance: Tensor) -> Tensor:
    """Lower factor L with L Lᵀ = covariance, (..., D, D).

    Raises ValueError when a matrix is no covariance: not symmetric positive definite, or not finite.
    """
    # cholesky_ex reads the lower half only; sums over many points differ across the diagonal by some 1e-6
    asymmetry = (covariance - covariance.mT).abs().amax((-2, -1))  # (...), one a matrix
    if bool((asymmetry > 1e-4 * covariance.abs().amax((-2, -1))).any()):
        raise ValueError("A covariance matrix is not symmetric: use (C + Cᵀ) / 2, or look for the slip.")
    factor, info = torch.linalg.cholesky_ex(covariance)
    if bool((info > 0).any()) or not bool(torch.isfinite(factor).all()):
        raise ValueError(
            "A covariance matrix is not positive definite (some direction has no spread): "
            "add a small number to its diagonal, as reg_covar does."
        )
    return factor


def log_prob_full(x: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    """log N(x | mean, covariance): x (..., D), mean (D,), covariance (D, D) -> (...), in nats.

    Raises ValueError when the covariance is not symmetric positive definite.
    """
    factor = cholesky(covariance)
    log_det = 2 * factor.diagonal().log().sum()
    rows = (x - mean).reshape(-1, x.shape[-1])  # (n, D)
    # solving with the factor is stabler and cheaper than inverting the covariance
    rows = torch.linalg.solve_triangular(factor.T, rows, upper=True, left=False)  # standard normal now
    return -0.5 * (x.shape[-1] * LOG_2PI + log_det + (rows**2).sum(-1)).reshape(x.shape[:-1])


def kl_diag(mu: Tensor, logvar: Tensor, mu_p: Tensor | float = 0.0, logvar_p: Tensor | float = 0.0) -> Tensor:
    """KL(N(mu, exp(logvar)) ‖ N(mu_p, exp(logvar_p))) for diagonal Gaussians, summed over the last dimension.

    Inputs broadcast to (..., D); the result is (...), in nats, never below 0. Against the standard normal
    (the default) it is ½ Σ (exp(logvar) − 1 − logvar + mu²): Kingma & Welling 2014, appendix B.
    """
    ratio = logvar - logvar_p  # log of the two variances' ratio
    precision = torch.exp(-logvar_p) if isinstance(logvar_p, Tensor) else math.exp(-logvar_p)
    # expm1 keeps the digits when the two variances nearly agree
    return 0.5 * (torch.expm1(ratio) - ratio + (mu - mu_p) ** 2 * precision).sum(-1)


def kl_full(mean_q: Tensor, covariance_q: Tensor, mean_p: Tensor, covariance_p: Tensor) -> Tensor:
    """KL(N(mean_q, covariance_q) ‖ N(mean_p, covariance_p)), means (D,), covariances (D, D) -> scalar, nats.

    Raises ValueError when a covariance is not symmetric positive definite. Source: Duchi, "Derivations for
    linear algebra and optimization", section 9.
    """
    factor_q, factor_p = cholesky(covariance_q), cholesky(covariance_p)
    ratio = torch.linalg.solve_triangular(factor_p, factor_q, upper=False)  # (D, D)
    shift = torch.linalg.solve_triangular(factor_p, (mean_q - mean_p)[:, None], upper=False)  # (D, 1)
    log_det_ratio = 2 * (factor_p.diagonal().log().sum() - factor_q.diagonal().log().sum())
    return 0.5 * ((ratio**2).sum() - len(mean_q) + (shift**2).sum() + log_det_ratio)
