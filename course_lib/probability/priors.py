"""The priors P(z) of a VAE.

Each prior provides P(z) as a distribution and computes KL(q(z|x) ‖ P(z)) for a Gaussian q.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from course_lib.data import flower
from course_lib.probability.gaussians import kl_diag, log_prob_diag


class Prior(Protocol):
    """The interface that a VAE requires of its prior."""

    def distribution(self, zeros: Tensor) -> Distribution:
        """Return P(z) for codes with the same shape (d,), dtype and device as `zeros`."""

    def kl(self, mu: Tensor, logvar: Tensor, z: Tensor) -> Tensor:
        """Return KL(q ‖ P(z)) in nats, of shape (N,).

        mu, logvar: the parameters of N Gaussians q. z: one draw from each q.
        """


class NormalPrior:
    """The standard normal prior P(z) = N(0, I), in any number of dimensions."""

    def distribution(self, zeros: Tensor) -> Distribution:
        """Return P(z) for codes with the same shape (d,), dtype and device as `zeros`."""
        return Independent(Normal(zeros, 1.0, validate_args=False), 1)

    def kl(self, mu: Tensor, logvar: Tensor, z: Tensor) -> Tensor:
        """Return the exact KL(q ‖ P(z)), of shape (N,); see Kingma & Welling 2014, appendix B."""
        return kl_diag(mu, logvar)


class FlowerPrior:
    """A flower-shaped prior in the plane; see `course_lib.data.flower`."""

    def distribution(self, zeros: Tensor) -> Distribution:
        """Return P(z) for codes with the same shape (2,), dtype and device as `zeros`."""
        return Flower(zeros)

    def kl(self, mu: Tensor, logvar: Tensor, z: Tensor) -> Tensor:
        """Estimate KL(q ‖ P(z)), which has no closed form, as log q(z|x) − log P(z) at the draw z.

        The result has shape (N,) and is in nats.
        """
        return log_prob_diag(z, mu, logvar) - Flower(mu).log_prob(z)


class Flower(Distribution):
    """The flower as a torch distribution over the plane, with an exact density."""

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, like: Tensor) -> None:  # samples get the dtype and device of `like`
        self.like = like
        super().__init__(event_shape=torch.Size((2,)), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log P(z) in nats, of shape (...), for codes z of shape (..., 2)."""
        # The density is computed in float64, which Apple's GPU does not support.
        return flower.log_prob(value.cpu() if value.device.type == "mps" else value).to(value)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw z of shape (*sample_shape, 2), using torch's global generator."""
        return flower.sample(math.prod(sample_shape)).reshape(*sample_shape, 2).to(self.like)


PRIORS: dict[str, type[NormalPrior] | type[FlowerPrior]] = {
    "normal": NormalPrior,
    "flower": FlowerPrior,
}
