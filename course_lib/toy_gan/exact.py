"""Divergences, the best D and its value, computed from the exact masses in cells of x.

p and q, both of shape (C,), are the masses in the same cells, and each sums to 1. The divergences
and the value of the best D are plain sums over cells. Except for W1, these sums are exact for
densities that are constant on each cell; for smooth densities, the error is proportional to the
square of the cell width.
"""

import torch
from torch import Tensor

from course_lib.toy_gan.losses import FLOOR


def best_d(p: Tensor, q: Tensor) -> Tensor:
    """Return D* = p / (p + q), or NaN where p = q = 0 (Goodfellow et al. 2014, proposition 1)."""
    return p / (p + q)


def kl(p: Tensor, q: Tensor) -> Tensor:
    """Return KL(p ‖ q) in nats, which is ∞ if q is 0 in any cell where p is not."""
    return torch.special.xlogy(p, torch.where(p > 0, p / q, 1.0)).sum()


def jsd(p: Tensor, q: Tensor) -> Tensor:
    """Return the Jensen–Shannon divergence in nats: 0 if p = q and log 2 if they do not overlap."""
    middle = (p + q) / 2
    return (kl(p, middle) + kl(q, middle)) / 2


def total_variation(p: Tensor, q: Tensor) -> Tensor:
    """Return the total variation ½ Σ |p − q|,
    the fraction of the mass that is in the wrong cells.
    """
    return (p - q).abs().sum() / 2


def wasserstein(p: Tensor, q: Tensor, dx: float, beyond: Tensor | float = 0.0) -> Tensor:
    """Return W1(p, q) = ∫ |P − Q| dx for cells of width dx; P and Q are the distribution functions.

    The outermost cells contain all the mass outside the grid; p is assumed to be 0 there. beyond:
    how far the mass outside the grid lies beyond the centres of the outermost cells, averaged over
    q; see `Grid.beyond`.
    """
    return (p - q).cumsum(0).abs().sum() * dx + beyond


def best_critic(p: Tensor, q: Tensor, dx: float) -> Tensor:
    """Return the values, at the centres of the cells, of the 1-Lipschitz critic
    that best separates p and q.

    E_p[f] − E_q[f] = −∫ f' (P − Q) dx is maximal, and equal to W1, for f' = −sign(P − Q). The mean
    of the critic over the mixture (p + q)/2 is 0.
    """
    gap = (p - q).cumsum(0)[:-1]  # P − Q at the boundaries between cells
    slope = -torch.where(gap.abs() < 1e-12, 0, gap.sign())  # treat rounding errors as 0
    f = torch.nn.functional.pad(dx * slope, (1, 0)).cumsum(0)
    return f - ((p + q) * f).sum() / 2


def best_value(loss: str, p: Tensor, q: Tensor, dx: float, beyond: Tensor | float = 0.0) -> Tensor:
    """Return V(D*, G), the maximum of V over D.

    The value is −log 4 + 2·JSD for the minimax and non-saturating losses, −½∫pq/(p+q) for least
    squares, and W1 for the Wasserstein loss.
    """
    if loss == "least_squares":
        return -torch.nan_to_num(p * q / (p + q)).sum() / 2
    return wasserstein(p, q, dx, beyond) if loss == "wasserstein" else FLOOR[loss] + 2 * jsd(p, q)
