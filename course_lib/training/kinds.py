"""The weights of a GAN's kinds, estimated by EM once the GAN has been trained.

A GAN with kinds is a mixture: P(x) = Σ_k weight_k P(x | k), where P(x | k) is the distribution of
the images of kind k. During training, all kinds are equally probable, so a class of digits that
three kinds represent is generated three times as often as a class that only one kind represents.
EM finds the weights with which the mixture fits the real images best. Its E-step needs P(x | k) for
every kind k. A GAN cannot compute these densities, but EM needs them only up to a factor that is
the same for all kinds, which may depend on x. A classifier trained to recognize the kinds of
generated images estimates P(k | x), and since all kinds are equally frequent in its training,
P(k | x) is proportional to P(x | k) for each image x. The estimated weights are as good as this
classifier's probabilities are on real images. No labels of digits are needed.
Source: Saerens et al. 2002; weights for the rows are an addition of ours.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from course_lib.data import Digits
from course_lib.models.gan import GAN
from course_lib.models.networks import Encoder
from course_lib.training.rows import as_weights
from course_lib.training.state import seeded

# The number of training steps of the classifier, each on new images. With 400 steps, estimating the
# weights of the shipped GAN's kinds takes 13 to 15 seconds on two cores with AVX-512.
STEPS = 400
BATCH_SIZE = 128
# The initial learning rate, which falls linearly to 0. At a constant rate, the estimated weights of
# the kinds varied more between seeds.
RATE = 1e-3
ITERATIONS = 100  # of EM; on MNIST, no weight changes by more than 1e-8 after the first 20


def fit_kind_weights(
    gan: GAN, digits: Digits, row_weights: Tensor | None = None, seed: int = 0
) -> Tensor:
    """Return the weights with which the GAN's mixture fits the digits best.

    The result has shape (kinds,), in float64 on the CPU. gan: an unconditional GAN with kinds.
    digits: real images of the same shape as the GAN's. row_weights (N,): the relative probability
    of each image; by default, all are equally probable. The seed determines the generated images
    and the classifier's initial weights. On exit, the states of the global random generators of the
    CPU and of the GAN's device are restored.

    Raises ValueError if the GAN has labels or no kinds, or if the digits or the row weights do not
    fit.
    """
    _check(gan, digits)
    if row_weights is None:
        row_weights = torch.ones(len(digits))
    row_weights = as_weights(row_weights, len(digits))  # (N,), in float64 on the CPU
    like = gan.generator.bias  # G and the classifier compute in its dtype and on its device
    with seeded(like.device, seed), torch.enable_grad():
        classifier = _train_classifier(gan)
    blocks = torch.arange(len(digits), device=digits.images.device).split(1_000)
    with torch.no_grad():
        # (up to 1,000, kinds) each
        logits = [classifier(digits.pixels(rows, like.dtype).to(like.device)) for rows in blocks]
    # EM runs in float64, and therefore on the CPU: Apple's GPUs do not support float64
    posteriors = torch.cat(logits).cpu().double().softmax(1)  # (N, kinds)
    return _em(posteriors, row_weights)


def _check(gan: GAN, digits: Digits) -> None:
    if gan.config.labels or not gan.config.kinds:
        raise ValueError(
            "Weights can be estimated only for an unconditional GAN with kinds, "
            "such as GAN(kinds=20)."
        )
    pixels = gan.generator.bias.numel()
    if not len(digits) or digits.images[0].numel() != pixels:
        raise ValueError(
            f"digits must contain images of {pixels} pixels, as many as the GAN generates, "
            f"but got {len(digits):,} images of shape {tuple(digits.images.shape[1:])}."
        )


def _train_classifier(gan: GAN) -> Encoder:
    """Train a new network to recognize the kinds of generated images, and return it in eval mode.

    Its hidden layers have the same widths as D's. It maps images (N, D) to logits (N, kinds).
    """
    config = gan.config
    hidden = config.hidden if config.discriminator is None else config.discriminator
    layers = config.activation, config.network
    classifier = Encoder(config.shape, config.kinds, hidden, *layers).to(gan.generator.bias)
    classifier.to(memory_format=torch.channels_last)  # faster convolutions
    optimizer = torch.optim.Adam(classifier.parameters(), lr=RATE)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / STEPS)
        z = gan.noise(BATCH_SIZE)  # (B, latent + kinds)
        kinds = z[:, config.latent :].argmax(1)  # (B,)
        with torch.no_grad():
            x = gan.images(z, ema=True)  # (B, D)
        loss = cross_entropy(classifier(x), kinds)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return classifier.eval()


def _em(posteriors: Tensor, row_weights: Tensor) -> Tensor:
    """Return the weights (K,) of a mixture whose components are fixed.

    posteriors: P(k | x_n) for equal weights, of shape (N, K). row_weights (N,): how often each x_n
    occurs, relative to the others.
    """
    weights = posteriors.new_full((posteriors.shape[1],), 1 / posteriors.shape[1])
    for _ in range(ITERATIONS):
        joint = weights * posteriors  # proportional to weight_k P(x_n | k) for each n
        resp = joint / joint.sum(1, keepdim=True)  # the E-step: (N, K)
        weights = row_weights @ resp / row_weights.sum()  # the M-step
    return weights
