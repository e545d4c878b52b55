"""A VAE whose pixels also depend on the pixels before them: the best likelihood of the course.

The decoder gives each pixel a logit, as in every VAE. A small autoregressive network, which is told z, adds
what the rows above and the pixels to the left say. Sources: Gulrajani et al. 2017 (PixelVAE); Chen et al.
2017 (variational lossy auto-encoder).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from course_lib import require
from course_lib.models.autoregressive import Autoregressive, PixelAfterPixel
from course_lib.models.vae import VAE, VAEConfig, reparameterize


@dataclass(frozen=True)
class AutoregressiveVAEConfig(VAEConfig):
    """A VAEConfig of black and white pixels, and `before`: the hidden units per row of `Autoregressive`."""

    before: int = 252

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.likelihood != "bernoulli":
            raise ValueError(f"An AutoregressiveVAE's pixels are black or white, not {self.likelihood!r}.")
        self._make_int("before", 1, "before counts the hidden units of a row, at least 1")


class AutoregressiveVAE(VAE):
    """P(x) = ∫ P(z) Π P(x_i | x_1 … x_{i−1}, z) dz.

    Its arguments are the fields of AutoregressiveVAEConfig.
    """

    config: AutoregressiveVAEConfig

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        before = self.config.before
        self.pixels_before = Autoregressive(self.config.shape, hidden=before)
        self.tell = nn.Linear(self.config.latent, before)  # what z tells each hidden unit

    @staticmethod
    def configure(*arguments: Any, **named: Any) -> AutoregressiveVAEConfig:
        """The configuration that these arguments make."""
        return AutoregressiveVAEConfig(*arguments, **named)

    def likelihood(self, z: Tensor) -> Distribution:
        """P(x|z) of codes z (..., d): batch shape (...), one image (D,) its event."""
        return PixelAfterPixel(self.pixels_before, self.decode(z), self.tell(z))

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log P(x|z) in nats, (N,), of images x (N, D) given one code each, z (N, d)."""
        return self.likelihood(z).log_prob(x)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Each pixel's mean given z, drawn from q(z|x), and given the pixels of x before it: (N, D)."""
        z = reparameterize(*self.encode(x))  # (N, d)
        logits = self.decode(z)  # (N, D)
        logits = logits + self.pixels_before.logits(x, self.tell(z)).to(logits.dtype)
        return torch.sigmoid(logits)

    @torch.no_grad()
    def generate(self, n: int) -> Tensor:
        """n new images (n, D) of zeros and ones, drawn pixel after pixel for codes z from the prior."""
        require.number_of_images(n)
        return self.likelihood(self.prior.sample((n,))).sample()
