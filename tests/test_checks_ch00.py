"""Chapter 00's checks: the reference solutions pass, and each typical wrong answer is named."""

import pytest
import torch
import torch.nn.functional as F

from course_lib import checks


def to_points(images):
    """Reference solution."""
    return images.reshape(len(images), -1).to(torch.float32) / 255.0


def binarize(pixels, generator):
    """Reference solution."""
    uniform = torch.rand(pixels.shape, generator=generator)  # (N, D), independent of the grey value
    return (uniform < pixels).float()


def nats_per_image(logits, targets):
    """Reference solution."""
    nats = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")  # (N, D)
    return nats.sum(dim=1).mean()


def whole_image(images):
    return images.flatten(1).float()


POINTS = {
    "from 0 to 255": whole_image,
    "0 to 255: divide": lambda images: images.flatten(1),
    "still squares": lambda images: images.float() / 255,
    "one long row": lambda images: images.flatten() / 255,
    "column by column": lambda images: images.permute(0, 2, 1).reshape(len(images), -1) / 255,
    "different images are mixed": lambda images: images.reshape(784, -1).T.float() / 255,
    "divided by 256": lambda images: whole_image(images) / 256,
    "batch's maximum": lambda images: whole_image(images) / images.max(),
    "cuts the fractions off": lambda images: (images // 255).flatten(1),
    "float32 is wanted": lambda images: images.flatten(1).double() / 255,
    "squeeze": lambda images: (whole_image(images) / 255).squeeze(),
    "the axes are not": lambda images: (whole_image(images) / 255).T,
    "a wrong shape": lambda images: images[:, :27].flatten(1) / 255,
    "in [0, 1]": lambda images: whole_image(images) / 127.5 - 1,
    ": a ndarray, but": lambda images: images.numpy().reshape(len(images), -1) / 255,
    "a wrong value": lambda images: (whole_image(images) / 255).sqrt(),
}
BINARIZE = {
    "a threshold": lambda pixels, generator: (pixels > 0.5).float(),
    "threshold, always the same": lambda pixels, generator: pixels.round(),
    "grey values come back": lambda pixels, generator: pixels,
    "generator=generator": lambda pixels, generator: torch.bernoulli(pixels),
    "seed set inside": lambda pixels, generator: torch.bernoulli(
        pixels, generator=torch.Generator().manual_seed(0)
    ),
    "black and white are swapped": lambda pixels, generator: (
        torch.rand(pixels.shape, generator=generator) > pixels
    ).float(),
    "fair coin": lambda pixels, generator: torch.bernoulli(torch.full_like(pixels, 0.5), generator=generator),
    "all images get the same draw": lambda pixels, generator: (
        torch.rand(pixels.shape[1], generator=generator) < pixels
    ).float(),
    "one random number serves all pixels": lambda pixels, generator: (
        torch.rand(len(pixels), 1, generator=generator) < pixels
    ).float(),
    "serves all pixels of an image": lambda pixels, generator: (
        torch.rand(len(pixels), 1, generator=generator) > 1 - pixels
    ).float(),
    "dtype torch.bool": lambda pixels, generator: torch.rand(pixels.shape, generator=generator) < pixels,
    "holds only 0 and 1": lambda pixels, generator: (
        pixels + 0.1 * torch.randn(pixels.shape, generator=generator)
    ),
    "with grey 0.35 22.9% become 1": lambda pixels, generator: (
        pixels + 0.2 * torch.randn(pixels.shape, generator=generator) > 0.5
    ).float(),
    "shape (24000,)": lambda pixels, generator: torch.bernoulli(pixels, generator=generator).flatten(),
}
NATS = {
    "averaged over pixels": F.binary_cross_entropy_with_logits,
    "summed over images": lambda logits, targets: F.binary_cross_entropy_with_logits(
        logits, targets, reduction="sum"
    ),
    "pixels and images are swapped": lambda logits, targets: (
        F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(0).mean()
    ),
    "sign is turned": lambda logits, targets: -nats_per_image(logits, targets),
    "average over images is missing": lambda logits, targets: F.binary_cross_entropy_with_logits(
        logits, targets, reduction="none"
    ).sum(1),
    "applied twice": lambda logits, targets: nats_per_image(logits.sigmoid(), targets),
    "only pixels with target 1": lambda logits, targets: -(targets * logits.sigmoid().log()).sum(1).mean(),
    "squared error": lambda logits, targets: (logits.sigmoid() - targets).square().sum(1).mean(),
    "logit is no probability": lambda logits, targets: (
        -(targets * logits.log() + (1 - targets) * (1 - logits).log()).sum(1).mean()
    ),
    "cut off at 100": lambda logits, targets: (
        F.binary_cross_entropy(logits.sigmoid(), targets, reduction="none").sum(1).mean()
    ),
    "log is −∞": lambda logits, targets: (
        -(targets * logits.sigmoid().log() + (1 - targets) * (1 - logits.sigmoid()).log()).sum(1).mean()
    ),
    ": a float, but": lambda logits, targets: nats_per_image(logits, targets).item(),
    "a wrong value": lambda logits, targets: nats_per_image(logits, targets) / torch.tensor(2.0).log(),
}


@pytest.mark.parametrize(
    ("check", "solution"),
    [
        (checks.to_points, to_points),
        (checks.to_points, lambda images: (images / 255).view(-1, 28 * 28)),
        (checks.binarize, binarize),
        (checks.binarize, lambda pixels, generator: torch.bernoulli(pixels, generator=generator)),
        (checks.nats_per_image, nats_per_image),
        (
            checks.nats_per_image,
            lambda logits, targets: F.softplus((1 - 2 * targets) * logits).sum() / len(logits),
        ),
    ],
)
def test_right_answers_pass(check, solution):
    assert check(solution).status == "correct"


@pytest.mark.parametrize(
    ("check", "words", "wrong"),
    [(checks.to_points, *pair) for pair in POINTS.items()]
    + [(checks.binarize, *pair) for pair in BINARIZE.items()]
    + [(checks.nats_per_image, *pair) for pair in NATS.items()],
)
def test_wrong_answers_are_named(check, words, wrong):
    result = check(wrong)
    assert result.status == "mistake"
    assert words in result.message


def test_a_wrong_value_is_shown_with_its_input():
    message = checks.nats_per_image(lambda logits, targets: 2 * nats_per_image(logits, targets) + 1).message
    # by hand: Σ log(1 + exp(∓logit)) = 0.474 + 0.313 + 0.127 and 0.854 + 1.701 + 0.079; their mean is 1.7745
    assert "logits = ((0.5, -1.0, 2.0), (-0.3, 1.5, -2.5))" in message
    assert "expected 1.774" in message
    assert "yours is 4.54" in message
