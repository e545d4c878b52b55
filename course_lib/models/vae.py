"""The variational auto-encoder: P(x) = ∫ P(z) P(x|z) dz, with networks for P(x|z) and q(z|x).

A VAE is trained to maximize L_b, the evidence lower bound (ELBO) on log P(x), estimated from one z
per image; `evaluation.elbo` measures L_b with several. The encoder returns mu and logvar, the mean
and the logarithm of the *variance* of a Gaussian q(z|x). Losses are in nats per image: summed over
pixels and over the dimensions of z, and averaged over images. Source: Kingma & Welling 2014.
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
    """Draw z = mu + exp(logvar / 2) · e with e ~ N(0, I); z is differentiable in mu and logvar.

    mu, logvar and z have shape (N, d).
    """
    return mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)


class LatentImages:
    """The VAE methods that can be derived from `prior`, `prior_kind`, `pixels`, `encode` and
    `decode`.

    `probability.elbo` accepts any model with these methods.
    """

    prior: Any  # P(z): a Distribution over codes (d,), on the model's device
    prior_kind: Prior  # creates `prior`, and computes the KL from q(z|x) to P(z)
    pixels: Any  # the likelihood of pixels given logits: BernoulliPixels or GaussianPixels

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and logvar of q(z|x), each of shape (N, d), for images x (N, D) in [0, 1]."""
        raise NotImplementedError

    def decode(self, z: Tensor) -> Tensor:
        """Return logits (..., D) for codes z (..., d)."""
        raise NotImplementedError

    def loss(self, x: Tensor, beta: float | Tensor = 1.0) -> dict[str, Tensor]:
        """Estimate −L_b for images x (N, D), in nats per image, from one z per image.

        Returns a dictionary with "reconstruction" = −E_q[log P(x|z)], "kl" = KL(q(z|x) ‖ P(z)), and
        "loss" = reconstruction + beta · kl. With beta = 1, "loss" is −L_b (Kingma & Welling 2014,
        equation 10); otherwise, it is the loss of a β-VAE (Higgins et al. 2017).
        """
        mu, logvar = self.encode(x)  # (N, d) each
        z = reparameterize(mu, logvar)  # (N, d)
        reconstruction = -self.log_likelihood(x, z).mean()
        kl = self.prior_kind.kl(mu, logvar, z).mean()
        return {"loss": reconstruction + beta * kl, "reconstruction": reconstruction, "kl": kl}

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Return log P(x|z) in nats, for one code per image: x (N, D), z (N, d) → (N,)."""
        return self.pixels.log_prob(x, self.decode(z))

    def approximate_posterior(self, x: Tensor) -> Distribution:
        """Return q(z|x) for images x (N, D).

        The distribution has batch shape (N,) and event shape (d,).
        """
        mu, logvar = self.encode(x)  # (N, d)
        return Independent(Normal(mu, torch.exp(0.5 * logvar), validate_args=False), 1)

    def likelihood(self, z: Tensor) -> Distribution:
        """Return P(x|z) for codes z (..., d).

        The distribution has batch shape (...) and event shape (D,). The means of the pixels are in
        [0, 1].
        """
        return self.pixels.distribution(self.decode(z))

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the mean of P(x|z), in [0, 1], for one z ~ q(z|x) per image: x (N, D) → (N, D)."""
        return torch.sigmoid(self.decode(reparameterize(*self.encode(x))))

    @torch.no_grad()
    def generate(self, n: int) -> Tensor:
        """Generate n images: the means of P(x|z) for codes z drawn from the prior.

        The result has shape (n, D), and its pixels are in [0, 1].
        """
        require.number_of_images(n)
        return self.likelihood(self.prior.sample((n,))).mean


@dataclass(frozen=True)
class VAEConfig(Config):
    """The configuration of a VAE.

    shape, hidden, activation, network: as in `networks`. latent: the number of dimensions of z.
    likelihood: "bernoulli" for black-and-white pixels, or "gaussian" for grey ones.
    variance: the variance of the Gaussian likelihood, or None to learn it. prior: "normal", or
    "flower" if latent=2.

    Raises ValueError if a field has an invalid value.
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
        self._make_int(
            "latent", 1, "latent, the number of dimensions of z, must be an integer of at least 1"
        )
        self._check_likelihood()
        if self.prior not in PRIORS or (self.prior == "flower" and self.latent != 2):
            raise ValueError(
                "prior must be 'normal', or 'flower' with latent=2, "
                f"but got {self.prior!r} with latent={self.latent}."
            )
        require.shape(self.shape)
        require.widths(self.hidden)
        self._make_tuple("shape")
        self._make_tuple("hidden")

    def _check_likelihood(self) -> None:
        if self.likelihood not in ("bernoulli", "gaussian"):
            raise ValueError(
                f"likelihood must be 'bernoulli' or 'gaussian', not {self.likelihood!r}. "
                "If each pixel also depends on the preceding pixels, use an AutoregressiveVAE."
            )
        if self.variance is None:
            return
        number = isinstance(self.variance, Real) and not isinstance(self.variance, bool)
        if not number or not 0 < self.variance < math.inf:
            raise ValueError(
                "variance must be a positive number, or None to learn it, "
                f"but got {self.variance!r}."
            )
        if self.likelihood != "gaussian":
            raise ValueError(
                f"variance can be set only for likelihood='gaussian', not for {self.likelihood!r}."
            )
        object.__setattr__(self, "variance", float(self.variance))

    def pixels(self) -> BernoulliPixels | GaussianPixels:
        """Return the pixel likelihood for this configuration, with newly initialized parameters."""
        if self.likelihood == "bernoulli":
            return BernoulliPixels()
        return GaussianPixels(self.variance)


class VAE(LatentImages, nn.Module):
    """A VAE with a Gaussian q(z|x), for images of any shape.

    The arguments are the fields of VAEConfig. The method `loss` is inherited from LatentImages.
    VAEConfig and the networks raise ValueError for invalid arguments.
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
        """Create the configuration from these arguments."""
        return VAEConfig(*arguments, **named)

    @property
    def prior(self) -> Distribution:
        """The prior P(z) over codes of shape (latent,), on the model's device."""
        return self.prior_kind.distribution(self.decoder.bias.new_zeros(self.config.latent))

    def forward(self, x: Tensor) -> Tensor:
        """Return reconstructions with pixels in [0, 1]: images x (N, D) → (N, D).

        DistributedDataParallel averages gradients only for computations inside `forward`. To train
        on L_b with DistributedDataParallel, wrap a module whose `forward` method returns
        `model.loss(x)["loss"]`.
        """
        return self.reconstruct(x)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and logvar of q(z|x), each of shape (N, latent), for images x (N, D) in [0, 1].

        Raises ValueError for invalid images.
        """
        require.images(x, self.decoder.bias.numel(), self.decoder.bias)
        # Under autocast, the KL is still computed in the precision of x.
        mu, logvar = self.encoder(x).to(x.dtype).chunk(2, -1)
        return mu, logvar

    def decode(self, z: Tensor) -> Tensor:
        """Return the logits of the pixel means for codes z: (..., latent) → (..., D)."""
        require.codes(z, self.config.latent, self.decoder.bias)
        return self.decoder(z).to(z.dtype)
