"""The variational auto-encoder: P(x) = ∫ P(z) P(x|z) dz, with networks for P(x|z) and q(z|x).

It is trained on L_b, the lower bound of log P(x), or ELBO (`probability.elbo` measures it term by term). The
encoder gives mu and logvar, the logarithm of the *variance*, of a Gaussian q(z|x). Every loss is in nats
per image: a sum over pixels and over z, a mean over images. Source: Kingma & Welling 2014.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from course_lib import require
from course_lib.models.config import Config
from course_lib.models.networks import Decoder, Encoder
from course_lib.probability.likelihoods import BernoulliPixels, GaussianPixels
from course_lib.probability.priors import PRIORS, Prior


def reparameterize(mu: Tensor, logvar: Tensor) -> Tensor:
    """z = mu + exp(logvar / 2) · e with e ~ N(0, I), all (N, d): a draw that gradients can pass through."""
    return mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)


class LatentImages:
    """All that follows from a prior, `encode` and `decode`: a LatentModel, which `elbo` can measure."""

    prior: Any  # P(z): a Distribution over codes (d,), on the model's device
    prior_kind: Prior  # makes `prior`, and knows the KL from q(z|x) to P(z)
    pixels: Any  # the likelihood, what logits say about pixels: BernoulliPixels or GaussianPixels

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """mu and logvar, (N, d) each, of q(z|x) for images x (N, D) in [0, 1]."""
        raise NotImplementedError

    def decode(self, z: Tensor) -> Tensor:
        """Logits (..., D) for codes z (..., d)."""
        raise NotImplementedError

    def loss(self, x: Tensor, beta: float | Tensor = 1.0) -> dict[str, Tensor]:
        """−L_b of images x (N, D), estimated from one z per image, in nats per image.

        Returns "reconstruction" = −E_q[log P(x|z)], "kl" = KL(q(z|x) ‖ P(z)), and "loss" =
        reconstruction + beta · kl. With beta = 1 "loss" is −L_b (Kingma & Welling 2014, equation 10),
        otherwise it is the loss of a β-VAE (Higgins et al. 2017).
        """
        mu, logvar = self.encode(x)  # (N, d) each
        z = reparameterize(mu, logvar)  # (N, d)
        reconstruction = -self.log_likelihood(x, z).mean()
        kl = self.prior_kind.kl(mu, logvar, z).mean()
        return {"loss": reconstruction + beta * kl, "reconstruction": reconstruction, "kl": kl}

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log P(x|z) in nats, (N,), of images x (N, D) given one code each, z (N, d)."""
        return self.pixels.log_prob(x, self.decode(z))

    def approximate_posterior(self, x: Tensor) -> Distribution:
        """q(z|x) of images x (N, D): batch shape (N,), one z its event."""
        mu, logvar = self.encode(x)  # (N, d)
        return Independent(Normal(mu, torch.exp(0.5 * logvar), validate_args=False), 1)

    def likelihood(self, z: Tensor) -> Distribution:
        """P(x|z) of codes z (..., d): batch shape (...), one image (D,) its event, `mean` in [0, 1]."""
        return self.pixels.distribution(self.decode(z))

    def reconstruct(self, x: Tensor) -> Tensor:
        """The means (N, D), in [0, 1], of P(x|z) for one z per image x (N, D), drawn from q(z|x)."""
        return torch.sigmoid(self.decode(reparameterize(*self.encode(x))))

    @torch.no_grad()
    def generate(self, n: int) -> Tensor:
        """n new images (n, D): the means, in [0, 1], of P(x|z) for codes z from the prior."""
        require.number_of_images(n)
        return self.likelihood(self.prior.sample((n,))).mean


@dataclass(frozen=True)
class VAEConfig(Config):
    """What a VAE is made of.

    shape, hidden, activation, network: as in `networks`. latent: how many dimensions z has.
    likelihood: "bernoulli" for black and white pixels; "gaussian" for grey ones, whose `variance` is a
    number, or None for one that is learned. prior: "normal", or "flower" (latent=2).

    Raises ValueError, in one sentence, for anything else.
    """

    shape: Sequence[int] = (28, 28)
    latent: int = 20
    hidden: Sequence[int] = (400,)
    activation: str = "relu"
    network: str = "plain"
    likelihood: str = "bernoulli"
    variance: float | None = None
    prior: str = "normal"

    def __post_init__(self) -> None:
        self._make_int("latent", 1, "latent counts the numbers of z, at least 1")
        self._check_likelihood()
        if self.prior not in PRIORS or (self.prior == "flower" and self.latent != 2):
            raise ValueError(
                f"A prior is 'normal' or 'flower' (of latent=2), not {self.prior!r} of latent={self.latent}."
            )
        require.shape(self.shape)
        require.widths(self.hidden)
        self._make_tuple("shape")
        self._make_tuple("hidden")

    def _check_likelihood(self) -> None:
        if self.likelihood not in ("bernoulli", "gaussian"):
            raise ValueError(
                f"A likelihood is 'bernoulli' or 'gaussian', not {self.likelihood!r}; for pixels that also "
                "depend on those before them take an AutoregressiveVAE."
            )
        if self.variance is None:
            return
        number = isinstance(self.variance, Real) and not isinstance(self.variance, bool)
        if not number or not 0 < self.variance < math.inf:
            raise ValueError(f"A variance is a number above 0, or None to be learned, not {self.variance!r}.")
        if self.likelihood != "gaussian":
            raise ValueError(f"Only likelihood='gaussian' has a variance, not {self.likelihood!r}.")
        object.__setattr__(self, "variance", float(self.variance))

    def pixels(self) -> BernoulliPixels | GaussianPixels:
        """The likelihood of pixels that this configuration names, with fresh parameters."""
        return BernoulliPixels() if self.likelihood == "bernoulli" else GaussianPixels(self.variance)


class VAE(LatentImages, nn.Module):
    """A VAE with a Gaussian q(z|x), for images of any shape. Its arguments are the fields of VAEConfig.

    Its `loss` is above, in LatentImages. Raises ValueError as VAEConfig and the networks do.
    """

    config: VAEConfig

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__()
        self.config = config = self.configure(*arguments, **named)
        layers = config.hidden, config.activation, config.network
        self.encoder = Encoder(config.shape, 2 * config.latent, *layers)
        self.decoder = Decoder(config.latent, config.shape, *layers)
        self.prior_kind = PRIORS[config.prior]()
        self.pixels = config.pixels()

    @staticmethod
    def configure(*arguments: Any, **named: Any) -> VAEConfig:
        """The configuration that these arguments make."""
        return VAEConfig(*arguments, **named)

    @property
    def prior(self) -> Distribution:
        """P(z), on the model's device, over codes (latent,)."""
        return self.prior_kind.distribution(self.decoder.bias.new_zeros(self.config.latent))

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction (N, D), in [0, 1], of images x (N, D).

        DistributedDataParallel averages only the gradients of what `forward` computes. To train L_b with it,
        wrap a module whose forward returns `model.loss(x)["loss"]`.
        """
        return self.reconstruct(x)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """mu and logvar, (N, latent) each, of images x (N, D) in [0, 1]. Raises ValueError for other x."""
        require.images(x, self.decoder.bias.numel(), self.decoder.bias)
        # Under autocast the KL is still computed in the precision of x.
        mu, logvar = self.encoder(x).to(x.dtype).chunk(2, -1)
        return mu, logvar

    def decode(self, z: Tensor) -> Tensor:
        """Logits (..., D) of codes z (..., latent): sigmoid makes them the pixels' means."""
        require.codes(z, self.config.latent, self.decoder.bias)
        return self.decoder(z).to(z.dtype)
