"""The weights of a GAN's kinds, estimated by EM once the GAN has been trained.

A GAN with kinds is a mixture: P(x) = Σ_k weight_k P(x | k), where P(x | k) is the distribution of
the images of kind k. During training, all kinds are equally probable, so a class of digits that
three of 20 kinds represent is generated three times as often as a class that only one represents.
EM finds the weights with which the mixture fits the real images best. A GAN cannot compute
P(x | k). But the E-step needs only ratios of these densities, and a classifier that has learned to
name the kinds of generated images yields them: if all kinds are equally frequent, P(k | x) is
proportional to P(x | k). No labels are needed.
Source: Saerens et al. 2002.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from course_lib.data import Digits
from course_lib.models.gan import GAN
from course_lib.models.networks import Encoder

STEPS = 400  # of the classifier's training, each on new images: 13 seconds for the course's GAN
BATCH_SIZE = 128
RATE = 1e-3  # it falls linearly to 0: a constant rate left the weights two to three times as noisy
ITERATIONS = 100  # of EM; on MNIST, the weights no longer change after the first 20


def fit_kind_weights(gan: GAN, digits: Digits, seed: int = 0) -> Tensor:
    """Return the weights (kinds,) with which the GAN's images resemble the digits most closely.

    gan: an unconditional GAN with kinds, in evaluation mode. digits: real images of the same shape
    as the GAN's. The seed determines the images and the training; torch's global generator is left
    as it was.
    """
    cuda = [digits.images.device] if digits.images.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        classifier = _train_classifier(gan)
    blocks = torch.arange(len(digits), device=digits.images.device).split(1_000)
    with torch.no_grad():
        logits = torch.cat([classifier(digits.pixels(rows)) for rows in blocks])  # (N, kinds)
    return _em(logits.double().softmax(1))


def _train_classifier(gan: GAN) -> Encoder:
    """Return a network with D's layers that maps generated images to logits of their kinds."""
    config = gan.config
    hidden = config.hidden if config.discriminator is None else config.discriminator
    layers = config.activation, config.network
    classifier = Encoder(config.shape, config.kinds, hidden, *layers).to(gan.generator.bias.device)
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


def _em(posteriors: Tensor) -> Tensor:
    """Return the weights (K,) of a mixture whose components are fixed.

    posteriors: P(k | x_n) for equal weights, of shape (N, K).
    """
    weights = posteriors.new_full((posteriors.shape[1],), 1 / posteriors.shape[1])
    for _ in range(ITERATIONS):
        joint = weights * posteriors  # proportional to weight_k P(x_n | k)
        resp = joint / joint.sum(1, keepdim=True)  # the E-step: (N, K)
        weights = resp.mean(0)  # the M-step
    return weights
