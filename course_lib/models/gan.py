"""The generative adversarial network: D learns to tell real images from those that G generates.

G is a Decoder, as in a VAE. D is an Encoder with a single output, the *logit* of the probability
that an image is real. With the least-squares and Wasserstein losses, the output is not a logit,
and its sigmoid is not a probability. All losses are means over images. In shapes, D is the number
of pixels of an image.
Source: Goodfellow et al. 2014.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, softplus
from torch.nn.utils.parametrizations import spectral_norm
from torch.optim import Optimizer

from course_lib import require
from course_lib.models.config import Config
from course_lib.models.networks import Decoder, Encoder, labels_beside

IMAGES_AT_ONCE = 1_000  # the number of images that `generate` computes at a time


@dataclass(frozen=True)
class GANConfig(Config):
    """The configuration of a GAN.

    shape, hidden, activation, network: as in `networks`. latent: the number of dimensions of z that
    are drawn from N(0, I). kinds: if positive, z also contains a random one-hot vector of this
    length, scaled by 3. The prior is then a mixture, so G need not split a single cloud into
    separate digits; what each component represents is learned. kind_weights: the probability of
    each kind in `generate`, or None if all kinds are equally probable. discriminator: the widths of
    D's hidden layers, or None to use the widths in `hidden`. norm: whether G uses batch
    normalization (Radford et al. 2016). spectral: whether each weight matrix in D is divided by its
    largest singular value, to bound the slope of D (Miyato et al. 2018). labels: the number of
    classes of a conditional GAN, or 0 for an unconditional GAN. In a conditional GAN, both networks
    also receive one-hot labels (Mirza & Osindero 2014).

    Raises ValueError for invalid numbers, shapes, widths and weights.
    """

    shape: Sequence[int] = (28, 28)
    latent: int = 64
    hidden: Sequence[int] = (32, 64)
    activation: str = "relu"
    network: str = "conv"
    discriminator: Sequence[int] | None = None
    kinds: int = 0
    norm: bool = True
    spectral: bool = False
    labels: int = 0
    kind_weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        numbers = (self.latent, self.kinds, self.labels)
        if not all(require.is_count(number, 0) for number in numbers):
            given = f"latent={self.latent!r}, kinds={self.kinds!r}, labels={self.labels!r}"
            raise ValueError(
                f"latent, kinds and labels must be non-negative integers, but got {given}."
            )
        for name in ("latent", "kinds", "labels"):
            object.__setattr__(self, name, int(getattr(self, name)))
        require.shape(self.shape)
        self._make_tuple("shape")
        require.widths(self.hidden)
        self._make_tuple("hidden")
        if self.discriminator is not None:
            require.widths(self.discriminator)
            self._make_tuple("discriminator")
        if self.kind_weights is not None:
            weights = _probabilities(self.kind_weights, self.kinds)
            object.__setattr__(self, "kind_weights", weights)

    def of_training(self) -> dict[str, Any]:
        """Return all fields except `kind_weights`, which does not affect training."""
        fields = self.to_json()
        del fields["kind_weights"]
        return fields


def _probabilities(kind_weights: Sequence[float], kinds: int) -> tuple[float, ...]:
    """Return the weights of the kinds as a tuple.

    Raises ValueError unless they are `kinds` non-negative numbers that sum to 1.
    """
    if not kinds:
        raise ValueError(
            "kind_weights requires kinds, as in GAN(kinds=2, kind_weights=(0.3, 0.7)), "
            "but kinds is 0."
        )
    try:
        weights = tuple(float(weight) for weight in kind_weights)
    except (TypeError, ValueError, RuntimeError):  # not a sequence, or not of single numbers
        weights = ()
    # float32 numbers, such as those from a tensor, rarely sum to exactly 1
    sums_to_1 = math.isclose(sum(weights), 1, abs_tol=1e-4)
    if len(weights) != kinds or min(weights, default=0) < 0 or not sums_to_1:
        raise ValueError(
            f"kind_weights must be {kinds} probabilities, one for each kind, "
            f"that sum to 1, but got {kind_weights!r}."
        )
    return weights


class GAN(nn.Module):
    """A generator, a discriminator, and a running average of the generator's weights.

    The arguments are the fields of GANConfig. GANConfig and the networks raise ValueError for
    invalid arguments. Methods raise ValueError for invalid codes, images and numbers of images.
    They also raise it if an unconditional GAN receives labels, and if a conditional GAN does not
    receive integer labels, either one per row or one for all rows; labels outside the range from 0
    to `labels` − 1 are detected only on the CPU. Labels may be on a different device from the
    model.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__()
        self.config = config = GANConfig(*arguments, **named)
        inputs = config.latent + config.kinds + config.labels
        hidden_of_d = config.hidden if config.discriminator is None else config.discriminator
        layers = config.activation, config.network
        self.generator = Decoder(inputs, config.shape, config.hidden, *layers, config.norm)
        self.discriminator = Encoder(config.shape, 1, hidden_of_d, *layers, config.labels)
        for layer in list(self.discriminator.modules()):
            if isinstance(layer, nn.Linear | nn.Conv2d):
                # With torch's default, signals, and the gradients that reach G through D, shrink by
                # a factor of about √6 per layer. A variance of 2 / inputs, six times the default,
                # prevents this (He et al. 2015).
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
                if config.spectral:
                    spectral_norm(layer)
        self.ema = copy.deepcopy(self.generator).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "GAN":
        """Set the mode as `nn.Module.train` does, but keep the average `ema` in evaluation mode."""
        super().train(mode)
        self.ema.eval()
        return self

    def start_at(self, mean: Tensor) -> None:
        """Set G's bias so that the initial images are close to `mean`; see Decoder.start_at.

        mean: a tensor of shape (D,) with values in [0, 1].
        """
        for network in (self.generator, self.ema):
            network.start_at(mean)

    def noise(self, n: int, weighted: bool = False) -> Tensor:
        """Draw n codes z from torch's global generator; z has shape (n, latent + kinds).

        The codes have the same dtype and device as G's weights. weighted: whether the kinds have
        the probabilities `config.kind_weights`, if there are any; by default, all kinds are equally
        probable, as they are in training.
        """
        require.number_of_images(n)
        weights, kinds = self.generator.bias, self.config.kinds
        z = torch.randn(n, self.config.latent, device=weights.device, dtype=weights.dtype)
        if not kinds:
            return z
        if weighted and n and self.config.kind_weights is not None:
            probabilities = torch.tensor(
                self.config.kind_weights, device=weights.device
            )  # (kinds,)
            kind = torch.multinomial(probabilities, n, replacement=True)  # (n,)
        else:
            kind = torch.randint(kinds, (n,), device=weights.device)  # (n,)
        return torch.cat([z, 3.0 * one_hot(kind, kinds).to(z.dtype)], 1)

    def forward(self, z: Tensor, y: Tensor | int | None = None) -> Tensor:
        """Return the images G(z), with pixels in [0, 1], for codes z from `noise`.

        z has shape (..., latent + kinds), and the result has shape (..., D).
        """
        return self.images(z, y)

    def images(self, z: Tensor, y: Tensor | int | None = None, ema: bool = False) -> Tensor:
        """Return the images G(z), with pixels in [0, 1], for codes z from `noise`.

        z has shape (..., latent + kinds), and the result has shape (..., D). ema: whether to
        use the running average of G's weights.
        """
        network = self.ema if ema else self.generator
        require.codes(z, self.config.latent + self.config.kinds, network.bias)
        return torch.sigmoid(network(self._with_labels(z, y)).to(z.dtype))

    def logit(self, x: Tensor, y: Tensor | int | None = None) -> Tensor:
        """Return D's logits for images x with pixels in [0, 1]: (N, D) → (N,).

        The larger the logit, the more realistic D finds the image. Raises ValueError for
        invalid images.
        """
        require.images(x, self.generator.bias.numel(), self.generator.bias)
        return self.discriminator(x, self._one_hot(x, y)).squeeze(-1).to(x.dtype)

    @torch.no_grad()
    def generate(self, n: int, y: Tensor | int | None = None) -> Tensor:
        """Generate n images as a tensor of shape (n, D), using the running average of G's weights.

        The kinds are drawn with the probabilities `config.kind_weights`, if there are any. A
        conditional GAN requires labels y, either of shape (n,) or one integer for all images.
        """
        z = self._with_labels(self.noise(n, weighted=True), y)
        # in blocks, because the layers' activations may need far more memory than the images
        logits = [self.ema(some) for some in z.split(IMAGES_AT_ONCE)]
        return torch.sigmoid(torch.cat(logits).to(z.dtype))

    @torch.no_grad()
    def update_ema(self, decay: float | Tensor) -> None:
        """Update the average: ema ← decay · ema + (1 − decay) · generator (Yazıcı et al. 2019).

        decay: a number, or a scalar tensor with the dtype and device of the weights. The value of a
        tensor, unlike that of a number, can be changed between replays of a CUDA graph.
        """
        now = self.generator.state_dict()
        for name, slow in self.ema.state_dict().items():
            if slow.is_floating_point():  # everything except batch norm's batch counter
                slow.lerp_(now[name], 1 - decay)

    def _with_labels(self, z: Tensor, y: Tensor | int | None) -> Tensor:
        """Append one-hot labels to codes z (..., latent + kinds) if the GAN is conditional."""
        label = self._one_hot(z, y)
        return z if label is None else torch.cat([z, label], -1)

    def _one_hot(self, rows: Tensor, y: Tensor | int | None) -> Tensor | None:
        """Return one-hot labels to append to rows (..., N, d), or None for an unconditional GAN."""
        if y is None:
            if self.config.labels:
                raise ValueError(
                    "This GAN is conditional. Pass labels y, one integer per row or one for all."
                )
            return None
        if not self.config.labels:
            raise ValueError(
                "This GAN is unconditional, but labels y were passed. "
                "Omit them, or create the GAN with labels, as in GAN(labels=10)."
            )
        return labels_beside(rows, y, self.config.labels, self.generator.bias)


class Loss(NamedTuple):
    """The players' losses as functions of D's logits for real and generated images, (N,) each."""

    discriminator: Callable[[Tensor, Tensor], Tensor]  # (on_real, on_fake)
    generator: Callable[[Tensor], Tensor]  # (on_fake)


def _cross_entropy(on_real: Tensor, on_fake: Tensor) -> Tensor:
    """Return the mean of −log D(x) − log(1 − D(G(z))) in nats, with D = sigmoid(logit).

    If D is ½ everywhere, the result is log 4.
    """
    return softplus(-on_real).mean() + softplus(on_fake).mean()


LOSSES = {
    # G minimizes −log D(G(z)): the gradient is strong where D is sure that an image is fake.
    # Goodfellow et al. 2014, section 3
    "nonsaturating": Loss(_cross_entropy, lambda on_fake: softplus(-on_fake).mean()),
    # G minimizes log(1 − D(G(z))): the gradient vanishes where D is sure that an image is fake.
    # Goodfellow et al. 2014, equation 1
    "minimax": Loss(_cross_entropy, lambda on_fake: -softplus(on_fake).mean()),
    # D's target is 1 for real images and 0 for generated ones; G's is 1.
    # Mao et al. 2017, equation 9
    "least_squares": Loss(
        lambda on_real, on_fake: ((on_real - 1).square().mean() + on_fake.square().mean()) / 2,
        lambda on_fake: (on_fake - 1).square().mean() / 2,
    ),
    # The difference between D's mean outputs. D's slope must be bounded; `gradient_penalty` keeps
    # it near 1.
    # Arjovsky et al. 2017, equation 3
    "wasserstein": Loss(
        lambda on_real, on_fake: on_fake.mean() - on_real.mean(),
        lambda on_fake: -on_fake.mean(),
    ),
}


def loss_named(name: str) -> Loss:
    """Return the loss with the given name. Raises ValueError for an unknown name."""
    if name not in LOSSES:
        raise ValueError(f"Unknown loss {name!r}. Choose one of {', '.join(LOSSES)}.")
    return LOSSES[name]


def r1_penalty(logit: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """Return half the mean of ‖∂ logit(x) / ∂x‖² over real images x of shape (N, D).

    Multiplied by γ and added to D's loss, the penalty makes D flat at the data.
    Source: Mescheder et al. 2018, equation 9.
    """
    return slopes(logit, real).square().sum(-1).mean() / 2


def gradient_penalty(logit: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """Return the mean of (‖∂ logit / ∂x‖ − 1)² at random points between real and fake images.

    The images have shape (N, D). The penalty is usually multiplied by 10 and added to D's
    "wasserstein" loss.
    Source: Gulrajani et al. 2017, equation 3.
    """
    between = torch.lerp(real, fake, torch.rand_like(real[:, :1]))  # one point per pair
    return (slopes(logit, between).norm(dim=-1) - 1).square().mean()


def slopes(logit: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return ∂ logit(x) / ∂x, of shape (N, D), as a differentiable function of D's weights."""
    x = x.detach().requires_grad_()
    # each logit depends only on its own image, so the gradient of the sum contains each gradient
    return torch.autograd.grad(logit(x).sum(), x, create_graph=True)[0]


def update_discriminator(
    gan: GAN,
    real: Tensor,
    optimizer: Optimizer,
    loss: str = "nonsaturating",
    *,
    y: Tensor | None = None,
    r1: float = 0.0,
    penalty: float = 0.0,
) -> dict[str, Tensor]:
    """Update D once, on real images and an equal number of generated images,
    which have the same labels if `y` is given.

    real: images of shape (N, D) with pixels in [0, 1]. optimizer: the optimizer for D's weights.
    y: the labels (N,) for a conditional GAN. r1, penalty: the weights of `r1_penalty` and
    `gradient_penalty`. Returns D's loss without the penalties, and D's mean "probability" that an
    image is real, sigmoid(logit), separately for the real and the generated images.
    """
    fake = gan.images(gan.noise(len(real)), y).detach()  # detached, so that no gradient reaches G
    on_real, on_fake = gan.logit(real, y), gan.logit(fake, y)  # (N,) each
    value = loss_named(loss).discriminator(on_real, on_fake)
    total = value
    if r1:
        total = total + r1 * r1_penalty(lambda x: gan.logit(x, y), real)
    if penalty:
        total = total + penalty * gradient_penalty(lambda x: gan.logit(x, y), real, fake)
    optimizer.zero_grad()
    total.backward()
    optimizer.step()
    real_share, fake_share = on_real.detach().sigmoid().mean(), on_fake.detach().sigmoid().mean()
    return {"discriminator": value.detach(), "D of real": real_share, "D of fake": fake_share}


def update_generator(
    gan: GAN, n: int, optimizer: Optimizer, loss: str = "nonsaturating", *, y: Tensor | None = None
) -> dict[str, Tensor]:
    """Update G once, using n generated images and no real images.

    optimizer: the optimizer for G's weights. y: the labels (n,) for a conditional GAN. The gradient
    reaches G *through* D, but D's weights neither change nor accumulate gradients.
    """
    # not detached, because G learns only through D
    on_fake = gan.logit(gan.images(gan.noise(n), y), y)  # (n,)
    value = loss_named(loss).generator(on_fake)
    optimizer.zero_grad()
    value.backward(inputs=list(gan.generator.parameters()))  # no gradients for D's weights
    optimizer.step()
    return {"generator": value.detach()}
