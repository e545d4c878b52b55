"""The auto-encoder: an image to a short code and back, with nothing said about the codes in between."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.networks import Decoder, Encoder, check_images


class AutoEncoder(nn.Module):
    """An encoder to a code of `latent` numbers, and a decoder back to pixels.

    Arguments as for Encoder and Decoder in `networks`. Source: Hinton & Salakhutdinov 2006.
    """

    def __init__(self, shape: Sequence[int] = (28, 28), latent: int = 20, hidden: Sequence[int] = (400,),
                 activation: str = "relu", network: str = "plain") -> None:  # fmt: skip
        super().__init__()
        self.config: dict[str, Any] = {
            "shape": list(shape), "latent": latent, "hidden": list(hidden),
            "activation": activation, "network": network,
        }  # fmt: skip
        self.encoder = Encoder(shape, latent, hidden, activation, network)
        self.decoder = Decoder(latent, shape, hidden, activation, network)

    def encode(self, x: Tensor) -> Tensor:
        """The code (N, latent) of images x (N, D) in [0, 1]."""
        check_images(x, self.decoder.bias.numel())
        return self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:
        """Pixels (..., D) in [0, 1] of codes z (..., latent)."""
        return torch.sigmoid(self.decoder(z))

    def loss(self, x: Tensor) -> dict[str, Tensor]:
        """{"loss"}: the squared error, summed over an image's pixels, averaged over the images x (N, D)."""
        return {"loss": (x - self.decode(self.encode(x))).square().sum(-1).mean()}
