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

# Steps of the classifier's training, each on new images. With 400, the course's GAN is done after
# 13 to 15 seconds on two cores.
STEPS = 400
BATCH_SIZE = 128
RATE = 1e-3  # it falls linearly to 0; at a constant rate, the weights were noisier
ITERATIONS = 100  # of EM; on MNIST, the weights no longer change after the first 20


def fit_kind_weights(gan: GAN, digits: Digits, seed: int = 0) -> Tensor:
    """Return the weights (kinds,) with which the GAN's mixture fits the digits best.

    gan: an unconditional GAN with kinds, in evaluation mode. digits: real images of the same shape
    as the GAN's. The seed determines the generated images and the classifier's initial weights; the
    global generators of the CPU and of the digits' CUDA device are left as they were.
    """
    cuda = [digits.images.device] if digits.images.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        classifier = _train_classifier(gan)
    blocks = torch.arange(len(digits), device=digits.images.device).split(1_000)
    with torch.no_grad():
        logits = torch.cat([classifier(digits.pixels(rows)) for rows in blocks])  # (N, kinds)
    # in float64 on the CPU, because not every device supports it
    return _em(logits.cpu().double().softmax(1))


def _train_classifier(gan: GAN) -> Encoder:
    """Return a network with D's hidden layers that maps images to the logits of their kinds."""
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
        joint = weights * posteriors  # proportional to weight_k P(x_n | k) for each n
        resp = joint / joint.sum(1, keepdim=True)  # the E-step: (N, K)
        weights = resp.mean(0)  # the M-step
    return weights
