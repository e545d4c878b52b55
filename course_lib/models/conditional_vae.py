"""The conditional VAE: encoder and decoder are both told the label, so that z need only keep the style."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from course_lib import require
from course_lib.models.networks import labels_beside
from course_lib.models.vae import VAE, LatentImages


class ConditionalVAE(nn.Module):
    """A VAE of P(x|y): y, one of `labels` classes, stands as a one-hot vector beside x and beside z.

    The other arguments are VAE's. Source: Sohn, Lee & Yan 2015; Kingma et al. 2014 (M2, all labels known).
    """

    def __init__(self, labels: int = 10, **arguments: Any) -> None:
        super().__init__()
        if not require.is_count(labels):
            raise ValueError(
                f"labels is a number of classes, at least 1, not {labels!r}; a shape goes in as shape=(8, 8)."
            )
        if arguments.get("likelihood") == "autoregressive":
            raise ValueError("A conditional VAE's likelihood is 'bernoulli' or 'gaussian'.")
        self.vae = VAE(**arguments, beside=labels)
        self.config: dict[str, Any] = {
            key: v for key, v in self.vae.config.items() if key not in ("beside", "before")
        }
        self.config["labels"] = int(labels)

    def forward(self, x: Tensor, y: Tensor | int) -> Tensor:
        """The reconstruction (N, D), in [0, 1], of images x (N, D) with labels y (see `reconstruct`)."""
        return self.given(y).reconstruct(x)

    def given(self, y: Tensor | int) -> "Given":
        """What a VAE is for one image of each label y (N,), or for any number of one label: `elbo` takes it.

        Where it is used it raises ValueError for labels that are not integers 0 … labels − 1, one a row.
        """
        return Given(self, y)

    def encode(self, x: Tensor, y: Tensor | int) -> tuple[Tensor, Tensor]:
        """mu and logvar (N, latent) of images x (N, D) with labels y."""
        return self.given(y).encode(x)

    def posterior(self, x: Tensor, y: Tensor | int) -> Distribution:
        """q(z|x, y)."""
        return self.given(y).posterior(x)

    def likelihood(self, z: Tensor, y: Tensor | int) -> Distribution:
        """P(x|z, y) of codes z (..., N, latent) and labels y (N,)."""
        return self.given(y).likelihood(z)

    def loss(self, x: Tensor, y: Tensor | int, beta: float | Tensor = 1.0) -> dict[str, Tensor]:
        """−L_b of log P(x|y) in nats per image, as VAE.loss: {"loss", "reconstruction", "kl"}."""
        return self.given(y).loss(x, beta)

    def generate(self, y: Tensor | int) -> Tensor:
        """A new image of each label y (N,), as pixels' means (N, D) in [0, 1]."""
        if y is None:
            raise ValueError("A conditional model generates one image of each label: pass y.")
        return self.given(y).generate(torch.as_tensor(y).numel())


class Given(LatentImages):
    """A ConditionalVAE whose labels are settled: for images of these labels it is a VAE."""

    def __init__(self, model: ConditionalVAE, y: Tensor | int) -> None:
        self.vae, self.y, self.classes = model.vae, y, model.config["labels"]
        self.prior, self.pixels_before = model.vae.prior, None
        self.log_variance, self.to_cube = model.vae.log_variance, model.vae.to_cube

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, (N, latent) each, of q(z | x, y) for images x (N, D) in [0, 1]."""
        require.images(x, self.vae.decoder.bias.numel(), self.vae.decoder.bias)
        return self.vae.encoder(x, self._beside(x)).to(x.dtype).chunk(2, -1)

    def output(self, z: Tensor) -> Tensor:
        """One number a pixel (..., D) for codes z (..., latent) and the labels of this object."""
        require.codes(z, self.vae.config["latent"], self.vae.decoder.bias)
        return self.vae.decoder(torch.cat([z, self._beside(z)], -1)).to(z.dtype)

    def _beside(self, rows: Tensor) -> Tensor:
        return labels_beside(rows, self.y, self.classes, self.vae.decoder.bias)
