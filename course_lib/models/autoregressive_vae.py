"""A VAE in which each pixel also depends on the preceding pixels.

It has the highest likelihood of any model in the course. As in every VAE, the decoder computes a
logit for each pixel. A small autoregressive network adds a term that depends on the rows above, on
the pixels to the left, and on z: another network computes a few numbers from z for each row of the
image.
Sources: Gulrajani et al. 2017 (PixelVAE); Chen et al. 2017 (variational lossy auto-encoder).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from course_lib import require
from course_lib.models.autoregressive import Autoregressive, PixelAfterPixel
from course_lib.models.networks import mlp
from course_lib.models.vae import VAE, VAEConfig, reparameterize


@dataclass(frozen=True)
class AutoregressiveVAEConfig(VAEConfig):
    """The configuration of an AutoregressiveVAE: a VAEConfig with three more fields.

    before, first: the numbers of units per row that the Autoregressive network calls `hidden` and
    `first`. told: the number of values that are computed from z and passed to each row.
    Raises ValueError unless the likelihood is "bernoulli", `before` and `told` are positive
    integers, and `first` is a non-negative integer.
    """

    before: int = 252
    first: int = 0
    told: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.likelihood != "bernoulli":
            raise ValueError(
                "An AutoregressiveVAE requires likelihood='bernoulli' (black-and-white pixels), "
                f"but got {self.likelihood!r}."
            )
        self._make_int(
            "before", 1, "before, the number of units per row, must be an integer of at least 1"
        )
        self._make_int(
            "first",
            0,
            "first, the number of units per row in the first layer, "
            "must be an integer of at least 0",
        )
        self._make_int(
            "told",
            1,
            "told, how many numbers computed from z each row receives, "
            "must be an integer of at least 1",
        )


class AutoregressiveVAE(VAE):
    """A VAE with dependent pixels: P(x) = ∫ P(z) Π P(x_i | x_1 … x_{i−1}, z) dz.

    The arguments are the fields of AutoregressiveVAEConfig.
    """

    config: AutoregressiveVAEConfig

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        c = self.config
        self.pixels_before = Autoregressive(c.shape, hidden=c.before, first=c.first)
        # one hidden layer, as wide as the encoder's and decoder's layers next to z
        self.tell = mlp([c.latent, c.hidden[-1], c.shape[0] * c.told], c.activation)
        self.to_units = nn.Linear(c.told, c.before)

    @staticmethod
    def configure(*arguments: Any, **named: Any) -> AutoregressiveVAEConfig:
        """Create the configuration from these arguments."""
        return AutoregressiveVAEConfig(*arguments, **named)

    def told(self, z: Tensor) -> Tensor:
        """Return the numbers that are added to the inputs of each row's hidden units.

        z has shape (..., d), and the result has shape (..., H, before).
        """
        rows = self.tell(z).unflatten(-1, (self.config.shape[0], -1))  # (..., H, told)
        return self.to_units(rows)

    def likelihood(self, z: Tensor) -> Distribution:
        """Return P(x|z) for codes z (..., d).

        The distribution has batch shape (...) and event shape (D,).
        """
        return PixelAfterPixel(self.pixels_before, self.decode(z), self.told(z))

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Return log P(x|z) in nats, given one code per image: x (N, D), z (N, d) → (N,)."""
        return self.likelihood(z).log_prob(x)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the mean of each pixel, given z ~ q(z|x) and the preceding pixels of x.

        x and the result have shape (N, D).
        """
        z = reparameterize(*self.encode(x))  # (N, d)
        logits = self.decode(z)  # (N, D)
        logits = logits + self.pixels_before.logits(x, self.told(z)).to(logits.dtype)
        return torch.sigmoid(logits)

    @torch.no_grad()
    def generate(self, n: int) -> Tensor:
        """Generate n images of zeros and ones: draw z from the prior, then x pixel by pixel.

        The result has shape (n, D).
        """
        require.number_of_images(n)
        return self.likelihood(self.prior.sample((n,))).sample()
