"""P(z): the priors of a VAE. Each knows its distribution and its KL from a Gaussian q(z|x)."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from course_lib.data import flower
from course_lib.probability.gaussians import kl_diag, log_prob_diag


class Prior(Protocol):
    """What a VAE needs of its prior."""

    def distribution(self, zeros: Tensor) -> Distribution:
        """P(z) over codes like `zeros` (d,): in its precision and on its device."""

    def kl(self, mu: Tensor, logvar: Tensor, z: Tensor) -> Tensor:
        """KL(q ‖ P(z)) of each Gaussian q, (N,), in nats; mu, logvar and a draw z of it are (N, d)."""


class NormalPrior:
    """P(z) = N(0, I), in any number of dimensions."""

    def distribution(self, zeros: Tensor) -> Distribution:
        """P(z) over codes like `zeros` (d,)."""
        return Independent(Normal(zeros, 1.0, validate_args=False), 1)

    def kl(self, mu: Tensor, logvar: Tensor, z: Tensor) -> Tensor:
        """KL(q ‖ P(z)), (N,), exactly: Kingma & Welling 2014, appendix B."""
        return kl_diag(mu, logvar)


class FlowerPrior:
    """A flower in the plane: `course_lib.data.flower`."""

    def distribution(self, zeros: Tensor) -> Distribution:
        """P(z) over codes like `zeros` (2,)."""
        return Flower(zeros)

    def kl(self, mu: Tensor, logvar: Tensor, z: Tensor) -> Tensor:
        """log q(z|x) − log P(z), (N,): there is no closed form, so the draw z estimates it."""
        return log_prob_diag(z, mu, logvar) - Flower(mu).log_prob(z)


class Flower(Distribution):
    """The flower as a torch distribution over two numbers, with its exact density, in nats."""

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, like: Tensor) -> None:  # codes are drawn in its precision and on its device
        self.like = like
        super().__init__(event_shape=torch.Size((2,)), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """log P(z): (..., 2) → (...)."""
        # The density is computed in float64, which Apple's GPU does not have.
        return flower.log_prob(value.cpu() if value.device.type == "mps" else value).to(value)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """z (*sample_shape, 2), from torch's global generator."""
        return flower.sample(math.prod(sample_shape)).reshape(*sample_shape, 2).to(self.like)


PRIORS: dict[str, type[NormalPrior] | type[FlowerPrior]] = {"normal": NormalPrior, "flower": FlowerPrior}
