"""The four losses of the 1-D game, as what each player pays for one output a of D, and what keeps D smooth.

D's output a is a number without limits. Minimax and non-saturating (Goodfellow et al. 2014, equation 1 and
section 3): a is a logit, D(x) = σ(a). Least squares (Mao et al. 2017, equation 9): D(x) = a + ½, with labels
1 and 0; so a = 0 says "I do not know" in every loss. Wasserstein (Arjovsky et al. 2017): a is the critic.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus

from course_lib.models.gan import slopes

Network = Callable[[Tensor], Tensor]

# V at the best D where p = q: what the value falls to once G is done
FLOOR = {"minimax": -math.log(4), "nonsaturating": -math.log(4), "least_squares": -0.25, "wasserstein": 0.0}


def d_pays(loss: str, a: Tensor) -> tuple[Tensor, Tensor]:
    """What D pays for outputs a (...), if the points are real, and if they are generated: (...) each."""
    if loss in ("minimax", "nonsaturating"):
        return softplus(-a), softplus(a)  # −log D, −log(1 − D)
    if loss == "least_squares":
        return (a - 0.5) ** 2 / 2, (a + 0.5) ** 2 / 2  # (D − 1)² / 2, D² / 2
    return -a, a


def g_pays(loss: str, a: Tensor) -> Tensor:
    """What G pays for generated points with outputs a (...)."""
    if loss == "minimax":
        return -softplus(a)  # log(1 − D): flat where D is sure that the point is generated
    if loss == "nonsaturating":
        return softplus(-a)  # −log D: steep there
    return (a - 0.5) ** 2 / 2 if loss == "least_squares" else -a


def push(loss: str, a: Tensor, slope: Tensor) -> Tensor:
    """−d(what G pays)/dx where D's output is a and its slope a'(x): which way x is pushed, and how hard."""
    if loss == "minimax":
        return torch.sigmoid(a) * slope
    if loss == "nonsaturating":
        return torch.sigmoid(-a) * slope
    return (0.5 - a) * slope if loss == "least_squares" else slope


def shown(loss: str, a: Tensor) -> Tensor:
    """D(x) as it is drawn: a probability, for least squares near one, for Wasserstein the critic."""
    if loss in ("minimax", "nonsaturating"):
        return torch.sigmoid(a)
    return a + 0.5 if loss == "least_squares" else a


def d_loss(loss: str, real: Tensor, fake: Tensor) -> Tensor:
    """D's loss on a batch: outputs for real points (N,) and for generated ones (N,)."""
    return d_pays(loss, real)[0].mean() + d_pays(loss, fake)[1].mean()


def g_loss(loss: str, fake: Tensor) -> Tensor:
    """G's loss on a batch: D's outputs (N,) for generated points."""
    return g_pays(loss, fake).mean()


def r1(d: Network, real: Tensor, gamma: float) -> Tensor:
    """γ/2 · E_p[a'(x)²]: D is to be flat where the data are (Mescheder et al. 2018, equation 9)."""
    return gamma / 2 * (slopes(d, real) ** 2).mean()


def gradient_penalty(d: Network, real: Tensor, fake: Tensor, mix: Tensor, weight: float) -> Tensor:
    """weight · E[(|a'(x)| − 1)²] at x = mix·real + (1 − mix)·fake, all (N,) (Gulrajani et al. 2017).

    On a line a slope can only turn round through 0, over a hill of height `weight`: with the usual 10 the
    critic still sends G on when it has long run past the data, until it is 2·weight away. So take less; the
    slope, and V, then grow well beyond 1 and W1.
    """
    return weight * ((slopes(d, mix * real + (1 - mix) * fake).abs() - 1) ** 2).mean()
