"""The auto-encoder maps images to short codes and back; the codes may have any distribution."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from course_lib import require
from course_lib.models.config import Config
from course_lib.models.networks import Decoder, Encoder


@dataclass(frozen=True)
class AutoEncoderConfig(Config):
    """The configuration of an AutoEncoder.

    latent: the number of dimensions of a code. The other fields have the same meaning as in
    `networks.Encoder`.
    """

    shape: Sequence[int] = (28, 28)
    latent: int = 20
    hidden: Sequence[int] = (400,)
    activation: str = "relu"
    network: str = "plain"

    def __post_init__(self) -> None:
        self._make_int(
            "latent", 1, "latent, the number of dimensions of z, must be an integer of at least 1"
        )
        require.shape(self.shape)
        require.widths(self.hidden)
        self._make_tuple("shape")
        self._make_tuple("hidden")


class AutoEncoder(nn.Module):
    """An encoder that maps images to codes of `latent` numbers, and a decoder that maps codes to
    images.

    The arguments are the fields of AutoEncoderConfig. Source: Hinton & Salakhutdinov 2006.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__()
        self.config = config = AutoEncoderConfig(*arguments, **named)
        layers = config.hidden, config.activation, config.network
        self.encoder = Encoder(config.shape, config.latent, *layers)
        self.decoder = Decoder(config.latent, config.shape, *layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return reconstructions with pixels in [0, 1]: images x (N, D) in [0, 1] → (N, D)."""
        return self.decode(self.encode(x))

    def encode(self, x: Tensor) -> Tensor:
        """Encode images x with pixels in [0, 1]: (N, D) → (N, latent)."""
        require.images(x, self.decoder.bias.numel(), self.decoder.bias)
        return self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:
        """Decode codes z to pixels in [0, 1]: (..., latent) → (..., D)."""
        require.codes(z, self.config.latent, self.decoder.bias)
        return torch.sigmoid(self.decoder(z))

    def loss(self, x: Tensor) -> dict[str, Tensor]:
        """Return a dict with one entry, "loss": the squared error, summed over pixels and averaged
        over images.

        x: images of shape (N, D).
        """
        return {"loss": (x - self(x)).square().sum(-1).mean()}
