"""Checks for “Start here”: images as points, dynamic binarization, nats per image."""

from typing import Any

import torch
from torch import Generator, Tensor, tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from course_lib.checks.report import (
    OTHER_NUMBERS,
    OTHER_SIZE,
    Mistake,
    Student,
    Table,
    call,
    draws,
    exercise,
    expect,
    fresh_generator,
    gradients,
    numbers,
    other_inputs,
    other_units,
)


def points_reference(images: Tensor) -> Tensor:
    """The right answer: images (N, 28, 28), bytes, to points (N, 784) in [0, 1]."""
    return images.flatten(1).float() / 255  # (N, 784)


def points_mistakes(images: Tensor) -> dict[str, Tensor]:
    """What each typical mistake returns, by the sentence that names it."""
    flat, right = images.flatten(1).float(), points_reference(images)  # (N, 784)
    wrong = {}
    wrong["the grey values still run from 0 to 255: divide by 255."] = flat
    wrong["the images are still squares: flatten each into a row of 784 pixels."] = images / 255
    wrong["all images run into one long row: keep the first axis."] = right.flatten()
    wrong["images are read column by column: a transpose comes before the reshape."] = (
        images.mT.flatten(1) / 255
    )
    wrong["pixels of different images are mixed: reshape to (N, 784) directly."] = right.reshape(784, -1).T
    wrong["divided by 256: the brightest value is 255, and must become 1."] = flat / 256
    wrong["divided by this batch's maximum, so an image depends on its neighbours: use 255."] = (
        flat / flat.max()
    )
    wrong["divided by each image's own maximum, so two equal bytes get different values: use 255."] = (
        flat / flat.amax(1, keepdim=True)
    )
    wrong["everything is 0: `//` or an integer dtype cuts the fractions off."] = 0 * flat
    wrong["black and white are swapped: byte 0 must stay 0."] = 1 - right
    wrong["a threshold: keep the grey values between 0 and 1."] = right.round()
    wrong["scaled to [−1, 1]: pixels must lie in [0, 1]."] = 2 * right - 1
    return wrong


def draw_images(generator: Generator, n: int) -> dict[str, Tensor]:
    """Random images (n, 28, 28), bytes from 0 to 255."""
    return {"images": torch.randint(0, 256, (n, 28, 28), generator=generator, dtype=torch.uint8)}


@exercise
def to_points(student: Student) -> None:
    """uint8 images (N, 28, 28) become float32 points (N, 784), each pixel in [0, 1]."""
    # brightest pixels 200, 180 and 160, so that dividing by a maximum differs from dividing by 255
    brightest = tensor([200, 180, 160], dtype=torch.uint8)
    images = draw_images(torch.Generator().manual_seed(0), 3)["images"].minimum(brightest[:, None, None])
    laws = {"pixels must lie in [0, 1].": lambda pixels: (pixels >= 0) & (pixels <= 1)}
    inputs = {"images": images}
    Table.of(inputs, points_reference, points_mistakes, laws=laws, dtype=torch.float32).ask(student)
    other_inputs(student, points_reference, draw_images, (3,), (5,), points_mistakes)
    one = images[:1]
    squeezed = {
        "a batch of one image loses its first axis: `squeeze` is the usual cause.": points_reference(one)[0],
    }
    Table({"images": one}, points_reference(one), squeezed, dtype=torch.float32).ask(student)


@exercise
def binarize(student: Student) -> None:
    """pixels (N, D) become a fresh draw of 0s and 1s whose mean is the grey value."""
    n, grey = 4000, tensor([0.0, 0.1, 0.35, 0.6, 0.9, 1.0])
    pixels = grey.repeat(n, 1)  # (N, D)
    threshold = "a threshold, always the same: grey 0.35 must become 1 in 35 % of the draws, by chance."
    frozen = {threshold: pixels.round(), "the grey values come back: draw a 0 or a 1 for each.": pixels}
    draw = draws(student, frozen, pixels.shape, pixels)
    odd = draw[(draw != 0) & (draw != 1)].tolist()
    expect(not odd, f"a draw holds only 0 and 1, yours holds {odd[0] if odd else 0:.3f}.")
    expect((draw != draw[0]).any(), "all images get the same draw: take a random number per image and pixel.")
    rising, share = draw.diff(dim=1)[:, 1:4], draw.mean(0)  # (N, 3), (D,)
    mixed = (rising < 0).any() and (rising > 0).any()
    expect(mixed, "one random number serves all pixels of an image: draw one per pixel, of shape (N, D).")
    normal = torch.special.ndtr(grey)  # P(randn < grey)
    mistakes = {
        "black and white are swapped: a bright pixel must be 1 often (`uniform < pixel`).": 1 - grey,
        "every pixel is a fair coin: its grey value must be the probability of a 1.": 0 * grey + 0.5,
        "the random numbers are normal (`torch.randn`): uniform ones are wanted, `torch.rand`.": normal,
    }
    for says, wrong in mistakes.items():
        expect((share - wrong).abs().max() > 0.05, says)
    off = (share - grey).abs() - 5 * (grey * (1 - grey) / n).sqrt()  # beyond five standard errors of a share
    k = int(off.argmax())
    expect(off[k] < 1e-3, f"of the pixels with grey {grey[k]:.2f} {share[k]:.1%} become 1.")
    for shape, says in ((pixels.shape, OTHER_NUMBERS), ((1500, 20), OTHER_SIZE), ((1, 9000), OTHER_SIZE)):
        try:
            # no grey value so near to 0 or 1 that one draw could decide
            fair_draw(student, 0.02 + 0.96 * torch.rand(shape, generator=fresh_generator()))
        except Mistake as wrong_there:
            raise Mistake(f"{says} There {wrong_there}") from None


def fair_draw(student: Student, pixels: Tensor) -> None:
    """Raise Mistake unless the draw of these grey values (N, D) is right for each value and independent."""
    draw = numbers(call(student, pixels, fresh_generator()), "your draw", pixels.shape)
    expect(((draw == 0) | (draw == 1)).all(), "a draw must hold only 0 and 1.")
    z = (draw - pixels) / (pixels * (1 - pixels)).sqrt()  # mean 0 and variance 1, if right
    rank = pixels.flatten().argsort()
    for part in z.flatten()[rank].chunk(5):  # from dark to bright
        # 6 standard errors: a right function is refused once in 500 million times
        expect(part.mean().abs() < 6 / len(part) ** 0.5, "pixels become 1 too often or too seldom.")
    says = "the pixels of an image, or the images, share a random number: each pixel needs its own."
    for axis in (0, 1):
        if pixels.shape[axis] > 1:
            pairs = (z * z.roll(1, axis)).mean()  # neighbours
            expect(pairs.abs() < 0.1, says)


def nats_reference(logits: Tensor, targets: Tensor) -> Tensor:
    """The right answer: the loss () in nats per image, from logits and targets (N, D)."""
    return pixel_nats(logits, targets).sum(1).mean()  # ()


def pixel_nats(logits: Tensor, targets: Tensor) -> Tensor:
    """The negative log-likelihood of each pixel in nats: (N, D)."""
    return binary_cross_entropy_with_logits(logits, targets, reduction="none")  # (N, D)


def nats_mistakes(logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """What each typical mistake returns, by the sentence that names it."""
    each = pixel_nats(logits, targets)  # (N, D)
    right = each.sum(1).mean()
    wrong = {}
    wrong["averaged over pixels (784 times too small): sum over pixels, average over images."] = each.mean()
    wrong["summed over images: sum over pixels, but average over images."] = each.sum()
    wrong["pixels and images are swapped: sum over pixels, average over images."] = each.sum(0).mean()
    wrong["the sign is flipped: this is the log-likelihood, the loss is minus that."] = -right
    wrong["the average over images is missing: one number is wanted."] = each.sum(1)
    wrong["one number per pixel: sum over pixels, average over images."] = each
    wrong["the sigmoid is applied twice: `..._with_logits` does it already."] = nats_reference(
        logits.sigmoid(), targets
    )
    wrong["the sigmoid is missing: the logits are taken as logarithms of probabilities."] = (
        -(targets * logits).sum(1).mean()
    )
    wrong["only pixels with target 1 count: (1 − target) · log(1 − p) is missing."] = (
        (targets * each).sum(1).mean()
    )
    wrong["only pixels with target 0 count: target · log p is missing."] = (
        ((1 - targets) * each).sum(1).mean()
    )
    wrong["black and white are swapped: log p goes with target 1."] = nats_reference(logits, 1 - targets)
    wrong["the arguments are swapped: the logits come first, then the targets."] = nats_reference(
        targets, logits
    )
    wrong["this is the squared error, not a log-probability."] = (
        (logits.sigmoid() - targets).square().sum(1).mean()
    )
    wrong["the logarithm is missing: this is the sum of the probabilities of what was seen."] = (
        (-each).exp().sum(1).mean()
    )
    wrong["a logit is not a probability: its logarithm is NaN. Take the sigmoid first."] = right * torch.nan
    return wrong | other_units(right)


def draw_logits(generator: Generator, n: int, d: int) -> dict[str, Tensor]:
    """Logits and targets (N, D)."""
    logits = 8 * torch.rand(n, d, generator=generator) - 4  # where a sigmoid does not round
    targets = (torch.rand(n, d, generator=generator) < 0.5).float()
    return {"logits": logits, "targets": targets}


@exercise
def nats_per_image(student: Student) -> None:
    """logits and targets (N, D) give nats per image: summed over pixels, averaged over images."""
    inputs = {
        "logits": tensor([[0.5, -1.0, 2.0], [-0.3, 1.5, -2.5]]),
        "targets": tensor([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0]]),
    }
    Table.of(inputs, nats_reference, nats_mistakes, differentiable=True).ask(student)
    other_inputs(student, nats_reference, draw_logits, (2, 3), (5, 7), nats_mistakes)
    large_logits(student, lambda nats: nats.sum(1).mean())
    gradients(student, nats_reference, inputs, ["logits"])


def large_logits(student: Student, result: Any, names: tuple[str, str] = ("logits", "targets")) -> None:
    """Raise Mistake unless right for logits of ±60, where a sigmoid rounds, and ±1000, where exp overflows.

    result: what the exercise makes of the nats of each pixel, (N, D).
    """
    signs = tensor([[1.0, -1.0, 1.0], [-1.0, 1.0, 1.0]])
    targets = tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
    # at 60 exp(60) is an ordinary number, but sigmoid(60) is 1 in float32 and in float64
    logits = 60 * signs
    right = pixel_nats(logits, targets)
    cut_off = torch.where(right > 1, 100 * (signs > 0) + 60 * (signs < 0), 0.0)
    mistakes = {
        "`binary_cross_entropy` cuts off at 100 nats a pixel: use `..._with_logits`.": result(cut_off),
    }
    hidden = "The sigmoid of 60 rounds to 1, and a clamp or a small number hides that log(1 − p) is then −∞"
    Table(
        dict(zip(names, (logits, targets), strict=True)),
        result(right),
        mistakes,
        otherwise=f"a wrong value. {hidden}: work with the logits.",
        not_finite="The sigmoid of 60 rounds to 1, and log(1 − 1) is −∞: work with the logits.",
    ).ask(student)
    # not too large for a clamp of the logits to be told from an overflow
    logits = 1000 * signs
    Table(
        dict(zip(names, (logits, targets), strict=True)),
        result(pixel_nats(logits, targets)),
        otherwise="a wrong value for logits of ±1000. Are the logits, or the result, clamped?",
        not_finite="exp(1000) is infinite: log(1 + eᵃ) is `softplus(a)`, which is safe for any logit.",
    ).ask(student)
