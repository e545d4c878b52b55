"""The conditional VAE: its encoder and decoder receive the label, so z need not encode it."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from course_lib import require
from course_lib.models.networks import Decoder, Encoder, labels_beside
from course_lib.models.vae import LatentImages, VAEConfig
from course_lib.probability.priors import PRIORS


@dataclass(frozen=True)
class ConditionalVAEConfig(VAEConfig):
    """The configuration of a ConditionalVAE: a VAEConfig with one more field, `labels`.

    labels: the number of classes.
    """

    labels: int = 10

    def __post_init__(self) -> None:
        sentence = (
            "labels, the number of classes, must be an integer of at least 1 "
            "(for a shape, use shape=(8, 8))"
        )
        self._make_int("labels", 1, sentence)
        super().__post_init__()


class ConditionalVAE(nn.Module):
    """A VAE for P(x|y), with the one-hot label y as an additional input to its encoder and decoder.

    labels: the number of classes. The other arguments are the fields of VAEConfig. Sources: Sohn,
    Lee & Yan 2015; Kingma et al. 2014 (model M2 with all labels observed).
    """

    def __init__(self, labels: int = 10, **settings: Any) -> None:
        super().__init__()
        self.config = config = ConditionalVAEConfig(labels=labels, **settings)
        layers = config.hidden, config.activation, config.network
        self.encoder = Encoder(config.shape, 2 * config.latent, *layers, config.labels)
        self.decoder = Decoder(config.latent + config.labels, config.shape, *layers)
        self.prior_kind = PRIORS[config.prior]()
        self.pixels = config.pixels()

    def forward(self, x: Tensor, y: Tensor | int) -> Tensor:
        """Return reconstructions, with pixels in [0, 1], of images x with labels y.

        x and the result have shape (N, D).
        """
        return self.given(y).reconstruct(x)

    def given(self, y: Tensor | int) -> "Given":
        """Return a VAE for fixed labels y (N,), or for one label shared by any number of images.

        The VAE's methods raise ValueError unless y is a single integer or contains one integer per
        image. Labels outside 0 … labels − 1 are detected only on the CPU.
        """
        return Given(self, y)

    def encode(self, x: Tensor, y: Tensor | int) -> tuple[Tensor, Tensor]:
        """Return mu and logvar of q(z|x, y) for images x with labels y.

        x has shape (N, D); mu and logvar each have shape (N, latent).
        """
        require.images(x, self.decoder.bias.numel(), self.decoder.bias)
        mu, logvar = self.encoder(x, self._one_hot(x, y)).to(x.dtype).chunk(2, -1)
        return mu, logvar

    def decode(self, z: Tensor, y: Tensor | int) -> Tensor:
        """Return logits (..., N, D) for codes z (..., N, latent) and labels y (N,)."""
        require.codes(z, self.config.latent, self.decoder.bias)
        return self.decoder(torch.cat([z, self._one_hot(z, y)], -1)).to(z.dtype)

    def _one_hot(self, rows: Tensor, y: Tensor | int) -> Tensor:
        """Return one-hot labels to append to the rows.

        The rows have shape (..., N, D) or (..., N, latent), and the result has shape
        (..., N, labels).
        """
        return labels_beside(rows, y, self.config.labels, self.decoder.bias)

    def approximate_posterior(self, x: Tensor, y: Tensor | int) -> Distribution:
        """Return q(z|x, y) for images x (N, D) with labels y."""
        return self.given(y).approximate_posterior(x)

    def likelihood(self, z: Tensor, y: Tensor | int) -> Distribution:
        """Return P(x|z, y) for codes z (..., N, latent) and labels y (N,)."""
        return self.given(y).likelihood(z)

    def loss(self, x: Tensor, y: Tensor | int, beta: float | Tensor = 1.0) -> dict[str, Tensor]:
        """Estimate −L_b in nats per image, from one z per image.

        L_b is the lower bound on log P(x|y). Returns a dictionary with the keys "loss",
        "reconstruction" and "kl", as in VAE.loss.
        """
        return self.given(y).loss(x, beta)

    def generate(self, y: Tensor | int) -> Tensor:
        """Generate one image per label, with pixel means in [0, 1]: y (N,) → (N, D)."""
        if y is None:
            raise ValueError(
                "A conditional model needs labels to generate images. Pass y, one label per image."
            )
        return self.given(y).generate(torch.as_tensor(y).numel())


class Given(LatentImages):
    """A ConditionalVAE whose labels are fixed, so that it can be used like a VAE."""

    def __init__(self, model: ConditionalVAE, y: Tensor | int) -> None:
        self.model, self.y = model, y
        self.config = model.config
        self.prior_kind, self.pixels = model.prior_kind, model.pixels
        zeros = model.decoder.bias.new_zeros(model.config.latent)
        self.prior = model.prior_kind.distribution(zeros)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and logvar of q(z|x, y) for images x with pixels in [0, 1].

        x has shape (N, D); mu and logvar each have shape (N, latent).
        """
        return self.model.encode(x, self.y)

    def decode(self, z: Tensor) -> Tensor:
        """Return logits (..., D) for codes z (..., latent) and the fixed labels."""
        return self.model.decode(z, self.y)
