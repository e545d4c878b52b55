"""The four losses of the one-dimensional game, and two penalties that keep D smooth.

The output of D is an unbounded number a. For the minimax and non-saturating losses (Goodfellow et
al. 2014, equation 1 and section 3), a is a logit, and D(x) = σ(a). For the least-squares loss (Mao
et al. 2017, equation 9), D(x) = a + ½ with labels 1 and 0, so a = 0 again means that D is
undecided. For the Wasserstein loss (Arjovsky et al. 2017), a is the value of the critic.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus

from course_lib.models.gan import slopes

Network = Callable[[Tensor], Tensor]

# V(D*, G) if p = q: the lowest value, which a perfect G reaches
FLOOR = {
    "minimax": -math.log(4),
    "nonsaturating": -math.log(4),
    "least_squares": -0.25,
    "wasserstein": 0.0,
}


def d_pays(loss: str, a: Tensor) -> tuple[Tensor, Tensor]:
    """Return D's two losses for outputs a: the losses on real and on generated points."""
    if loss in ("minimax", "nonsaturating"):
        return softplus(-a), softplus(a)  # −log D, −log(1 − D)
    if loss == "least_squares":
        return (a - 0.5) ** 2 / 2, (a + 0.5) ** 2 / 2  # (D − 1)² / 2, D² / 2
    return -a, a


def g_pays(loss: str, a: Tensor) -> Tensor:
    """Return G's loss on each generated point, computed from D's outputs a, of shape (...)."""
    if loss == "minimax":
        return -softplus(a)  # log(1 − D): flat where D is sure that the point is generated
    if loss == "nonsaturating":
        return softplus(-a)  # −log D: steep where D is sure that the point is generated
    return (a - 0.5) ** 2 / 2 if loss == "least_squares" else -a


def push(loss: str, a: Tensor, slope: Tensor) -> Tensor:
    """Return −d(G's loss)/dx, the push on a generated point x, for D's output a and slope a'(x)."""
    if loss == "minimax":
        return torch.sigmoid(a) * slope
    if loss == "nonsaturating":
        return torch.sigmoid(-a) * slope
    return (0.5 - a) * slope if loss == "least_squares" else slope


def shown(loss: str, a: Tensor) -> Tensor:
    """Return D(x) as plotted: σ(a), a + ½ for least squares, or the critic a for Wasserstein."""
    if loss in ("minimax", "nonsaturating"):
        return torch.sigmoid(a)
    return a + 0.5 if loss == "least_squares" else a


def d_loss(loss: str, real: Tensor, fake: Tensor) -> Tensor:
    """Return D's loss on a batch.

    real, fake: D's outputs for the real and the generated points, both of shape (N,).
    """
    return d_pays(loss, real)[0].mean() + d_pays(loss, fake)[1].mean()


def g_loss(loss: str, fake: Tensor) -> Tensor:
    """Return G's loss on a batch.

    fake: D's outputs for the generated points, of shape (N,).
    """
    return g_pays(loss, fake).mean()


def r1(d: Network, real: Tensor, gamma: float) -> Tensor:
    """Return the penalty γ/2 · E_p[a'(x)²], which flattens D at the data.

    Source: Mescheder et al. 2018, equation 9.
    """
    return gamma / 2 * (slopes(d, real) ** 2).mean()


def gradient_penalty(d: Network, real: Tensor, fake: Tensor, mix: Tensor, weight: float) -> Tensor:
    """Return weight · E[(|a'(x)| − 1)²] at x = mix·real + (1 − mix)·fake (Gulrajani et al. 2017).

    real, fake and mix have shape (N,). In one dimension, the slope can change sign only by passing
    through 0, where the penalty equals `weight`. With the usual weight of 10, the critic keeps
    pushing G in the same direction after G has passed the data, up to a distance of 2·weight. A
    smaller weight avoids this problem, but the slope then grows well above 1, and V well above W1.
    """
    return weight * ((slopes(d, mix * real + (1 - mix) * fake).abs() - 1) ** 2).mean()
