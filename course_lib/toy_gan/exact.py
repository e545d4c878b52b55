"""What the players cannot see: divergences, the best D and its value, from the exact masses of cells of x.

p and q are masses of the same cells (C,), each adding up to 1. Everything is a plain sum over cells: exact
for densities that are constant on each cell; for smooth ones it errs by the cells' width squared. Nats.
"""

import torch
from torch import Tensor

from course_lib.toy_gan.losses import FLOOR


def best_d(p: Tensor, q: Tensor) -> Tensor:
    """D* = p / (p + q), NaN where neither has mass (Goodfellow et al. 2014, proposition 1)."""
    return p / (p + q)


def kl(p: Tensor, q: Tensor) -> Tensor:
    """KL(p ‖ q) in nats; ∞ where p has mass and q has none."""
    return torch.special.xlogy(p, torch.where(p > 0, p / q, 1.0)).sum()


def jsd(p: Tensor, q: Tensor) -> Tensor:
    """Jensen–Shannon divergence in nats: 0 if p = q, log 2 if they have no cell in common."""
    middle = (p + q) / 2
    return (kl(p, middle) + kl(q, middle)) / 2


def total_variation(p: Tensor, q: Tensor) -> Tensor:
    """½ Σ |p − q|: the mass that is in the wrong place."""
    return (p - q).abs().sum() / 2


def wasserstein(p: Tensor, q: Tensor, dx: float, beyond: Tensor | float = 0.0) -> Tensor:
    """W1(p, q) = ∫ |P − Q| dx for cells of width dx, P and Q the distribution functions.

    beyond: the outermost cells stand for all that lies farther out, where p is nothing. This is how much
    farther out than those cells' middles that mass lies, on average over q (`Grid.beyond`).
    """
    return (p - q).cumsum(0).abs().sum() * dx + beyond


def best_critic(p: Tensor, q: Tensor, dx: float) -> Tensor:
    """The critic of slope ±1 that tells p and q best apart, at the cells' middles, 0 on average over both.

    E_p[f] − E_q[f] = −∫ f' (P − Q) dx is greatest, and equal to W1, where f' = −sign(P − Q).
    """
    gap = (p - q).cumsum(0)[:-1]  # P − Q at the borders between cells
    slope = -torch.where(gap.abs() < 1e-12, 0, gap.sign())  # the sign of a rounding error is none
    f = torch.nn.functional.pad(dx * slope, (1, 0)).cumsum(0)
    return f - ((p + q) * f).sum() / 2


def best_value(loss: str, p: Tensor, q: Tensor, dx: float, beyond: Tensor | float = 0.0) -> Tensor:
    """V(D*, G), the most that D can reach: −log 4 + 2·JSD; −½∫pq/(p+q) for least squares; W1."""
    if loss == "least_squares":
        return -torch.nan_to_num(p * q / (p + q)).sum() / 2
    return wasserstein(p, q, dx, beyond) if loss == "wasserstein" else FLOOR[loss] + 2 * jsd(p, q)
