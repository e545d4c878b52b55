"""The variational auto-encoder: P(x) = ∫ P(z) P(x|z) dz, with networks as P(x|z) and q(z|x), trained on L_b.

The encoder gives mu and logvar, the logarithm of the *variance*, of a Gaussian q(z|x). Every loss is in nats
per image: a sum over pixels and over z, a mean over images. Source: Kingma & Welling 2014.
"""

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import (
    AffineTransform,
    ComposeTransform,
    CumulativeDistributionTransform,
    Distribution,
    Independent,
    Normal,
    TransformedDistribution,
)

from course_lib import require
from course_lib.data import flower
from course_lib.models.autoregressive import Autoregressive, PixelAfterPixel
from course_lib.models.networks import Decoder, Encoder
from course_lib.probability.gaussians import kl_diag, log_prob_diag
from course_lib.probability.likelihoods import Pixels, log_bernoulli

# caches: a z that rounds to the cube's face would come from an infinite number
CDF = CumulativeDistributionTransform(Normal(0.0, 1.0, validate_args=False), cache_size=1)
TO_CUBE = ComposeTransform([CDF, AffineTransform(-1.0, 2.0, cache_size=1)], cache_size=1)


def reparameterize(mu: Tensor, logvar: Tensor) -> Tensor:
    """z = mu + exp(logvar / 2) · e with e ~ N(0, I), all (N, d): a draw that gradients can pass through."""
    return mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)


class Flower(Distribution):
    """A flower-shaped prior over a z of two numbers, with the exact density of `data.flower`, in nats."""

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, like: Tensor) -> None:  # in its precision and on its device z is drawn
        self.like = like
        super().__init__(event_shape=torch.Size((2,)), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """log P(z): (..., 2) → (...)."""
        # its density is float64, which Apple's GPU has not
        return flower.log_prob(value.cpu() if value.device.type == "mps" else value).to(value)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """z (*sample_shape, 2), from torch's global generator."""
        return flower.sample(math.prod(sample_shape)).reshape(*sample_shape, 2).to(self.like)


class LatentImages:
    """What a VAE can do once it has a prior, `encode` and `output`; to `elbo` it is a LatentModel."""

    prior: Any  # a Distribution over z, event shape (d,)
    log_variance: Tensor | None  # of the Gaussian likelihood; None: pixels are black or white
    to_cube: Any  # from a normal z to a uniform one; None: z is not bent
    pixels_before: Autoregressive | None  # adds to a pixel's logit what the pixels before it say
    tell: nn.Module  # what z tells each of its hidden units

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """mu and logvar, (N, d) each, of q(z|x) for images x (N, D) in [0, 1]."""
        raise NotImplementedError

    def output(self, z: Tensor) -> Tensor:
        """The decoder's numbers (..., D) for codes z (..., d), before they are squashed into [0, 1]."""
        raise NotImplementedError

    def posterior(self, x: Tensor) -> Distribution:
        """q(z|x) of images x (N, D): batch shape (N,), one z its event."""
        mu, logvar = self.encode(x)  # (N, d)
        q = Independent(Normal(mu, torch.exp(0.5 * logvar), validate_args=False), 1)
        return TransformedDistribution(q, self.to_cube, validate_args=False) if self.to_cube else q

    def likelihood(self, z: Tensor) -> Distribution:
        """P(x|z) of codes z (..., d): batch shape (...), one image (D,) its event, `mean` in [0, 1]."""
        output = self.output(z)  # (..., D)
        if self.pixels_before is not None:
            return PixelAfterPixel(self.pixels_before, output, self.tell(z))
        if self.log_variance is None:
            return Pixels(output)
        scale = torch.exp(0.5 * self.log_variance)
        return Independent(Normal(torch.sigmoid(output), scale, validate_args=False), 1)

    def loss(self, x: Tensor, beta: float | Tensor = 1.0) -> dict[str, Tensor]:
        """−L_b of images x (N, D) by one draw of z each, in nats per image: {"loss", "reconstruction", "kl"}.

        loss = reconstruction + beta · kl, where reconstruction = −E_q[log P(x|z)], kl = KL(q(z|x) ‖ P(z)).
        beta=1 is the bound (Kingma & Welling 2014, equation 10), another the β-VAE (Higgins et al. 2017).
        """
        mu, logvar = self.encode(x)
        z = reparameterize(mu, logvar)  # (N, d)
        if isinstance(self.prior, Flower):  # no closed form: the draw that is there anyway estimates it
            kl = log_prob_diag(z, mu, logvar) - self.prior.log_prob(z)  # (N,)
        else:
            kl = kl_diag(mu, logvar)  # (N,); a map applied to both q and prior leaves it as it is
        z = self.to_cube(z) if self.to_cube else z
        if self.log_variance is None and self.pixels_before is None:
            log_lik = log_bernoulli(self.output(z), x)  # the next line's value, without its objects
        else:
            log_lik = self.likelihood(z).log_prob(x)  # (N,)
        reconstruction, kl = -log_lik.mean(), kl.mean()
        return {"loss": reconstruction + beta * kl, "reconstruction": reconstruction, "kl": kl}

    def reconstruct(self, x: Tensor) -> Tensor:
        """Images x (N, D) as one code z each, drawn from q(z|x), gives them back: means (N, D) in [0, 1].

        If pixels hear from each other, a pixel's mean is the one given z and the pixels of x before it.
        """
        z = reparameterize(*self.encode(x))  # (N, d)
        z = self.to_cube(z) if self.to_cube else z
        output = self.output(z)  # (N, D)
        if self.pixels_before is not None:
            output = output + self.pixels_before.logits(x, self.tell(z)).to(output.dtype)
        return torch.sigmoid(output)

    def generate(self, n: int) -> Tensor:
        """n new images (n, D): the means for z from the prior, or drawn if pixels hear from each other."""
        require.number_of_images(n)
        with torch.no_grad():
            p = self.likelihood(self.prior.sample((n,)))
            return p.sample() if self.pixels_before else p.mean


class VAE(LatentImages, nn.Module):
    """A VAE with a Gaussian q(z|x), for images of any shape.

    shape, hidden, activation, network: as in `networks`. latent: how many numbers z has.
    likelihood: "bernoulli" for black and white pixels; "gaussian", whose `variance` is a number, or None for
    one that is learned, the same for all pixels, and whose means lie in [0, 1]; "autoregressive", where each
    pixel also hears from those before it through `before` hidden units (see `autoregressive`).
    prior: "normal", "uniform" (the cube from −1 to 1) or "flower" (latent=2). For the cube, q is a Gaussian
    sent through the map that makes a normal z uniform, so that it ends where the prior ends.
    beside: how many more numbers both networks are told (a label's, see `conditional_vae`).

    Raises ValueError for an unknown prior or likelihood, and whenever the networks do.
    """

    def __init__(
        self,
        shape: Sequence[int] = (28, 28),
        latent: int = 20,
        hidden: Sequence[int] = (400,),
        activation: str = "relu",
        network: str = "plain",
        likelihood: str = "bernoulli",
        variance: float | None = None,
        prior: str = "normal",
        beside: int = 0,
        before: int = 252,
    ) -> None:
        super().__init__()
        if likelihood not in ("bernoulli", "gaussian", "autoregressive"):
            raise ValueError(
                f"A likelihood is 'bernoulli', 'gaussian' or 'autoregressive', not {likelihood!r}."
            )
        if variance is not None:
            number = isinstance(variance, Real) and not isinstance(variance, bool)
            if not number or not 0 < variance < math.inf:
                raise ValueError(f"A variance is a number above 0, or None to be learned, not {variance!r}.")
            if likelihood != "gaussian":
                raise ValueError(f"Only likelihood='gaussian' has a variance, not {likelihood!r}.")
        if prior not in ("normal", "uniform", "flower") or (prior == "flower" and latent != 2):
            raise ValueError(
                f"A prior is 'normal', 'uniform' or 'flower' (of latent=2), not {prior!r} of latent={latent}."
            )
        if not require.is_count(latent):
            raise ValueError(f"latent counts the numbers of z, at least 1, not {latent!r}.")
        if not require.is_count(beside, 0):
            raise ValueError(f"beside counts the numbers told besides, 0 or more, not {beside!r}.")
        if not require.is_count(before):
            raise ValueError(f"before counts the hidden units of a row, at least 1, not {before!r}.")
        self.encoder = Encoder(shape, 2 * latent, hidden, activation, network, beside)
        self.decoder = Decoder(latent + beside, shape, hidden, activation, network)
        self.config: dict[str, Any] = {
            "shape": [int(side) for side in shape],
            "latent": int(latent),
            "hidden": [int(width) for width in hidden],
            "activation": activation,
            "network": network,
            "likelihood": likelihood,
            "variance": None if variance is None else float(variance),
            "prior": prior,
            "beside": int(beside),
            "before": int(before),
        }
        self.pixels_before = None
        self.register_buffer("log_variance", None, persistent=False)  # if fixed, config keeps it exactly
        if likelihood == "gaussian":
            start = torch.tensor(math.log(0.05 if variance is None else variance))
            self.log_variance = nn.Parameter(start) if variance is None else start
        if likelihood == "autoregressive":
            self.pixels_before = Autoregressive(shape, hidden=before)
            self.tell = nn.Linear(latent, before)

    @property
    def to_cube(self) -> ComposeTransform | None:
        """From a normal z to a uniform one; None for the other priors."""
        return TO_CUBE if self.config["prior"] == "uniform" else None

    @property
    def prior(self) -> Distribution:
        """P(z), on the model's device, event shape (latent,)."""
        zeros = self.decoder.bias.new_zeros(self.config["latent"])
        if self.config["prior"] == "flower":
            return Flower(zeros)
        p = Independent(Normal(zeros, 1.0, validate_args=False), 1)
        return TransformedDistribution(p, self.to_cube, validate_args=False) if self.to_cube else p

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction (N, D), in [0, 1], of images x (N, D): `LatentImages.reconstruct`.

        DistributedDataParallel averages the gradients only of what is computed by a forward. To train L_b
        with it, wrap a module whose forward returns `model.loss(x)["loss"]`.
        """
        return self.reconstruct(x)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """mu and logvar, (N, latent) each, of images x (N, D) in [0, 1]. Raises ValueError for other x."""
        require.images(x, self.decoder.bias.numel(), self.decoder.bias)
        # under autocast the KL is still taken in x's precision
        return self.encoder(x).to(x.dtype).chunk(2, -1)

    def output(self, z: Tensor) -> Tensor:
        """Logits of the pixels' means, (..., D), of codes z (..., latent)."""
        require.codes(z, self.config["latent"] + self.config["beside"], self.decoder.bias)
        return self.decoder(z).to(z.dtype)
