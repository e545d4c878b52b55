"""The auto-encoder: an image to a short code and back, with nothing said about the codes in between."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from course_lib import require
from course_lib.models.networks import Decoder, Encoder


class AutoEncoder(nn.Module):
    """An encoder to a code of `latent` numbers, and a decoder back to pixels.

    Arguments as for Encoder and Decoder in `networks`. Source: Hinton & Salakhutdinov 2006.
    """

    def __init__(
        self,
        shape: Sequence[int] = (28, 28),
        latent: int = 20,
        hidden: Sequence[int] = (400,),
        activation: str = "relu",
        network: str = "plain",
    ) -> None:
        super().__init__()
        if not require.is_count(latent):
            raise ValueError(f"latent counts the numbers of a code, at least 1, not {latent!r}.")
        self.encoder = Encoder(shape, latent, hidden, activation, network)
        self.decoder = Decoder(latent, shape, hidden, activation, network)
        self.config: dict[str, Any] = {
            "shape": [int(side) for side in shape],
            "latent": int(latent),
            "hidden": [int(width) for width in hidden],
            "activation": activation,
            "network": network,
        }

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction (N, D), in [0, 1], of images x (N, D) in [0, 1]."""
        return self.decode(self.encode(x))

    def encode(self, x: Tensor) -> Tensor:
        """The code (N, latent) of images x (N, D) in [0, 1]."""
        require.images(x, self.decoder.bias.numel(), self.decoder.bias)
        return self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:
        """Pixels (..., D) in [0, 1] of codes z (..., latent)."""
        require.codes(z, self.config["latent"], self.decoder.bias)
        return torch.sigmoid(self.decoder(z))

    def loss(self, x: Tensor) -> dict[str, Tensor]:
        """{"loss"}: the squared error, summed over an image's pixels, averaged over the images x (N, D)."""
        return {"loss": (x - self(x)).square().sum(-1).mean()}
