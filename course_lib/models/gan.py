"""The generative adversarial network: G makes images, D tells them from real ones, each learns by the other.

G is the class that a VAE decodes with, D an encoder that ends in one number, the *logit* of "real"
(for least squares and Wasserstein any number, whose sigmoid is not a probability). Losses are means over
images. Source: Goodfellow et al. 2014.
"""

import copy
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

IMAGES_AT_ONCE = 1_000  # that are generated together


@dataclass(frozen=True)
class GANConfig(Config):
    """What a GAN is made of.

    shape, hidden, activation, network: as in `networks`. latent: how many numbers of z come from N(0, I).
    kinds: if above 0, z ends in a one-hot choice among that many, times 3. The prior is then a mixture, and
    G need not tear one cloud into separate digits. What a kind stands for is G's own choice.
    discriminator: D's `hidden`, if it differs from G's. norm: batch normalization in G (Radford et al. 2016).
    spectral: each layer of D is divided by its largest singular value, which bounds D's slope (Miyato et al.
    2018). labels: above 0, the number of classes of a conditional GAN; both networks are then told y (N,) as
    a one-hot vector (Mirza & Osindero 2014).

    Raises ValueError for a number below 0.
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

    def __post_init__(self) -> None:
        if not all(require.is_count(number, 0) for number in (self.latent, self.kinds, self.labels)):
            given = f"latent={self.latent!r}, kinds={self.kinds!r}, labels={self.labels!r}"
            raise ValueError(
                f"latent, kinds and labels are whole numbers, and each is 0 or more, not {given}."
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


class GAN(nn.Module):
    """A generator, its discriminator, and the running average of the generator's weights.

    Its arguments are the fields of GANConfig. Raises ValueError as GANConfig and the networks do; each call,
    for labels that are not one a row, integers 0 … labels − 1. Labels may lie on another device.
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
                # torch's own start shrinks what passes by √6 a layer, and so what G hears (He et al. 2015)
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
                if config.spectral:
                    spectral_norm(layer)
        self.ema = copy.deepcopy(self.generator).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "GAN":
        """As in nn.Module, but the average `ema` stays in evaluation mode: it is only ever looked at."""
        super().train(mode)
        self.ema.eval()
        return self

    def start_at(self, mean: Tensor) -> None:
        """Begin with images that are about `mean` (D,), in [0, 1], as Decoder.start_at."""
        for network in (self.generator, self.ema):
            network.start_at(mean)

    def noise(self, n: int) -> Tensor:
        """n codes z, (n, latent + kinds), like G's weights, from torch's global generator."""
        require.number_of_images(n)
        weights, kinds = self.generator.bias, self.config.kinds
        z = torch.randn(n, self.config.latent, device=weights.device, dtype=weights.dtype)
        if not kinds:
            return z
        choice = one_hot(torch.randint(kinds, (n,), device=weights.device), kinds)  # (n, kinds)
        return torch.cat([z, 3.0 * choice.to(z.dtype)], 1)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """The generator: G(z), pixels (..., D) in [0, 1], of codes z such as `noise` draws."""
        return self.images(z, y)

    def images(self, z: Tensor, y: Tensor | None = None, ema: bool = False) -> Tensor:
        """G(z), pixels (..., D) in [0, 1], of codes z such as `noise` draws; ema: by averaged weights."""
        network = self.ema if ema else self.generator
        require.codes(z, self.config.latent + self.config.kinds, network.bias)
        return torch.sigmoid(network(self._with_labels(z, y)).to(z.dtype))

    def logit(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """D's logits (N,) for images x (N, D) in [0, 1]: larger is more real. ValueError for other x."""
        require.images(x, self.generator.bias.numel(), self.generator.bias)
        return self.discriminator(x, self._one_hot(x, y)).squeeze(-1).to(x.dtype)

    @torch.no_grad()
    def generate(self, n: int, y: Tensor | None = None) -> Tensor:
        """n new images (n, D) by the averaged weights; of a conditional GAN one of each label y (n,)."""
        z = self.noise(n)
        z = self._with_labels(z, y)
        # what the layers hold of all images at once may be far more than the images
        logits = [self.ema(some) for some in z.split(IMAGES_AT_ONCE)]
        return torch.sigmoid(torch.cat(logits).to(z.dtype))

    @torch.no_grad()
    def update_ema(self, decay: float | Tensor) -> None:
        """ema ← decay · ema + (1 − decay) · generator, number by number (Yazıcı et al. 2019).

        decay: as a tensor (), of the weights' dtype and device, it may change within a CUDA graph.
        """
        now = self.generator.state_dict()
        for name, slow in self.ema.state_dict().items():
            if slow.is_floating_point():  # all but batch norm's count of batches
                slow.lerp_(now[name], 1 - decay)

    def _with_labels(self, z: Tensor, y: Tensor | None) -> Tensor:
        """Codes z (..., latent + kinds), with the one-hot labels appended if this GAN is conditional."""
        label = self._one_hot(z, y)
        return z if label is None else torch.cat([z, label], -1)

    def _one_hot(self, rows: Tensor, y: Tensor | None) -> Tensor | None:
        """Labels y as one-hot rows to append to `rows` (..., N, d); None if this GAN is not conditional."""
        if (y is not None) != (self.config.labels > 0):
            raise ValueError("A conditional GAN needs labels y, and only such a GAN takes them: labels=10.")
        return None if y is None else labels_beside(rows, y, self.config.labels, self.generator.bias)


class Loss(NamedTuple):
    """What the two players minimize, given D's logits (N,) of real and of generated images."""

    discriminator: Callable[[Tensor, Tensor], Tensor]  # (on_real, on_fake)
    generator: Callable[[Tensor], Tensor]  # (on_fake)


def _cross_entropy(on_real: Tensor, on_fake: Tensor) -> Tensor:
    """−log D(x) − log(1 − D(G(z))) with D = sigmoid(logit), in nats: log 4 where D = ½ everywhere."""
    return softplus(-on_real).mean() + softplus(on_fake).mean()


LOSSES = {
    # G minimizes −log D(G(z)): strong gradients just where D is sure. Goodfellow et al. 2014, section 3
    "nonsaturating": Loss(_cross_entropy, lambda on_fake: softplus(-on_fake).mean()),
    # G minimizes log(1 − D(G(z))), D's own loss turned round: no gradient where D is sure. Equation 1 there
    "minimax": Loss(_cross_entropy, lambda on_fake: -softplus(on_fake).mean()),
    # the logit of a real image shall be 1, of a generated one 0; G wants 1. Mao et al. 2017, equation 9
    "least_squares": Loss(
        lambda on_real, on_fake: ((on_real - 1).square().mean() + on_fake.square().mean()) / 2,
        lambda on_fake: (on_fake - 1).square().mean() / 2,
    ),
    # the difference of the mean logits; D's slope must be held near 1. Arjovsky et al. 2017, equation 3
    "wasserstein": Loss(
        lambda on_real, on_fake: on_fake.mean() - on_real.mean(),
        lambda on_fake: -on_fake.mean(),
    ),
}


def loss_named(name: str) -> Loss:
    """LOSSES[name]. Raises ValueError for an unknown loss."""
    if name not in LOSSES:
        raise ValueError(f"There is no loss {name!r} here: take one of {', '.join(LOSSES)}.")
    return LOSSES[name]


def r1_penalty(logit: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """½ · mean over images of ‖∂ logit(x) / ∂x‖² at real images x (N, D): D is to be flat where the data are.

    Multiplied by γ, it is added to D's loss. Source: Mescheder et al. 2018, equation 9.
    """
    return slopes(logit, real).square().sum(-1).mean() / 2


def gradient_penalty(logit: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """Mean of (‖∂ logit / ∂x‖ − 1)² at points drawn on the lines between real and fake, both (N, D).

    Multiplied by 10, it is added to D's loss "wasserstein". Source: Gulrajani et al. 2017, equation 3.
    """
    between = torch.lerp(real, fake, torch.rand_like(real[:, :1]))  # one point a pair
    return (slopes(logit, between).norm(dim=-1) - 1).square().mean()


def slopes(logit: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """∂ logit(x) / ∂x, (N, D), through which D's weights still get gradients."""
    x = x.detach().requires_grad_()
    # an image's logit depends on that image only, so the sum's gradient holds each one's own
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
    """One step of D on real images (N, D) in [0, 1] and as many of G's, of the same labels y, if any.

    optimizer: of D's weights. r1, penalty: the weights of `r1_penalty` and `gradient_penalty`. Returns D's
    loss without them, and the mean of sigmoid(logit), D's "probability" that an image is real, on both kinds.
    """
    fake = gan.images(gan.noise(len(real)), y).detach()  # from here on just images: no gradient reaches G
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
    """One step of G on n codes z, of labels y (n,), if any. It sees no real image. optimizer: of G's weights.

    The gradient comes to G *through* D, whose weights neither move nor collect a gradient.
    """
    on_fake = gan.logit(gan.images(gan.noise(n), y), y)  # (n,): no detach here, this is G's only teacher
    value = loss_named(loss).generator(on_fake)
    optimizer.zero_grad()
    value.backward(inputs=list(gan.generator.parameters()))  # D's weights get none
    optimizer.step()
    return {"generator": value.detach()}
