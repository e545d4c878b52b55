"""The weights of a GAN's kinds, estimated by EM once the GAN has been trained.

A GAN with kinds is a mixture: P(x) = Σ_k weight_k P(x | k), where P(x | k) is the distribution of
the images of kind k. During training, all kinds are equally probable, so a class of digits that
three kinds represent is generated three times as often as a class that only one kind represents.
EM finds the weights with which the mixture fits the real images best. Its E-step needs P(x | k),
which a GAN cannot compute, but only up to a factor that is the same for all kinds. So a classifier
that has learned to recognize the kinds of generated images is enough: since these kinds are equally
frequent, its P(k | x) is proportional to P(x | k) for each image x. No labels of digits are needed.
Source: Saerens et al. 2002.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from course_lib.data import Digits
from course_lib.models.gan import GAN
from course_lib.models.networks import Encoder
from course_lib.training.state import seeded

# Steps of the classifier's training, each on new images. With 400, the course's GAN is done after
# 13 to 15 seconds on two cores.
STEPS = 400
BATCH_SIZE = 128
RATE = 1e-3  # it falls linearly to 0; at a constant rate, the weights were noisier
ITERATIONS = 100  # of EM; on MNIST, the weights no longer change after the first 20


def fit_kind_weights(
    gan: GAN, digits: Digits, row_weights: Tensor | None = None, seed: int = 0
) -> Tensor:
    """Return the weights (kinds,) with which the GAN's mixture fits the digits best.

    gan: an unconditional GAN with kinds. digits: real images of the same shape as the GAN's.
    row_weights (N,): the relative probability of each image; by default, all are equally probable.
    The seed determines the generated images and the classifier's initial weights; torch's global
    generators are left as they were.
    """
    like = gan.generator.bias  # has the dtype and the device for all computations
    with seeded(like.device, seed), torch.enable_grad():
        classifier = _train_classifier(gan)
    blocks = torch.arange(len(digits), device=digits.images.device).split(1_000)
    with torch.no_grad():
        logits = [classifier(digits.pixels(rows, like.dtype).to(like.device)) for rows in blocks]
    # in float64 on the CPU, because not every device supports it
    posteriors = torch.cat(logits).cpu().double().softmax(1)  # (N, kinds)
    if row_weights is None:
        row_weights = torch.ones(len(digits))
    return _em(posteriors, row_weights.cpu().double())


def _train_classifier(gan: GAN) -> Encoder:
    """Return a network with D's hidden layers that maps images to the logits of their kinds."""
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
