"""Checks for “Start here”: images treated as points, dynamic binarization,
and losses in nats per image.
"""

from typing import Any

import torch
from torch import Generator, Tensor, tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

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
    plain,
)


def points_reference(images: Tensor) -> Tensor:
    """Return the correct result of `to_points`: points of shape (N, 784) with values in [0, 1]."""
    return images.flatten(1).float() / 255  # (N, 784)


def points_mistakes(images: Tensor) -> dict[str, Tensor]:
    """Return the result of each typical mistake, keyed by a sentence that describes the mistake."""
    flat, right = images.flatten(1).float(), points_reference(images)  # (N, 784)
    return {
        "the grey values still run from 0 to 255. Divide them by 255.": flat,
        "the images are still squares. Flatten each image into a row of 784 pixels.": images / 255,
        "all images are joined into one long row. Keep the first axis.": right.flatten(),
        "the images are read column by column. Remove the transpose before the reshape.": (
            images.mT.flatten(1) / 255
        ),
        "pixels of different images are mixed. Reshape to (N, 784) directly.": (
            right.reshape(784, -1).T
        ),
        (
            "the pixels are divided by 256. Divide them by 255, so that the brightest value, 255, "
            "becomes 1."
        ): flat / 256,
        (
            "the pixels are divided by this batch's maximum, so an image depends on the others. "
            "Divide by 255."
        ): flat / flat.max(),
        (
            "each image is divided by its own maximum, so equal bytes get different values. "
            "Divide by 255."
        ): flat / flat.amax(1, keepdim=True),
        "everything is 0. The `//` operator or an integer dtype cuts off the fractional part.": (
            0 * flat
        ),
        "black and white are swapped. Byte 0 must stay 0.": 1 - right,
        "a threshold is applied. Keep the grey values between 0 and 1.": right.round(),
        "the pixels are scaled to [−1, 1], but they must be in [0, 1].": 2 * right - 1,
    }


def draw_images(generator: Generator, n: int) -> dict[str, Tensor]:
    """Draw n random uint8 images of 28 × 28 pixels."""
    return {"images": torch.randint(0, 256, (n, 28, 28), generator=generator, dtype=torch.uint8)}


@exercise
def to_points(student: Student) -> None:
    """The uint8 images are converted to a float32 tensor of shape (N, 784),
    with every pixel in [0, 1].
    """
    # no image is brighter than 200, so that dividing by a maximum differs from dividing by 255
    brightest = tensor([200, 180, 160], dtype=torch.uint8)[:, None, None]
    images = draw_images(torch.Generator().manual_seed(0), 3)["images"].minimum(brightest)
    laws = {"pixels must be in [0, 1].": lambda pixels: (pixels >= 0) & (pixels <= 1)}
    inputs = {"images": images}
    Table.of(inputs, points_reference, points_mistakes, laws=laws, dtype=torch.float32).ask(student)
    other_inputs(student, points_reference, draw_images, (3,), (5,), points_mistakes)
    one_image(student, images[:1])


def one_image(student: Student, image: Tensor) -> None:
    """Raise Mistake unless a batch of one image, of shape (1, 28, 28), is converted to points
    of shape (1, 784).
    """
    try:
        points = plain(call(student, image), "your result")
    except Mistake as stopped:
        says = f"your function fails on a batch of a single image. There, {stopped}"
        raise Mistake(says) from None
    right = points_reference(image)
    says = (
        f"a batch of a single image gives the shape {tuple(points.shape)}, but it should give "
        f"{tuple(right.shape)}. The usual cause is `squeeze`, which also removes the first axis."
    )
    expect(points.shape == right.shape, says)
    Table({"images": image}, right, dtype=torch.float32).judge(points)


@exercise
def binarize(student: Student) -> None:
    """Each call draws every pixel anew as 0 or 1,
    using its grey value as the probability of a 1.
    """
    n, grey = 4000, tensor([0.0, 0.1, 0.35, 0.6, 0.9, 1.0])
    pixels = grey.repeat(n, 1)  # (N, D)
    threshold = (
        "a fixed threshold is applied. A pixel with grey value 0.35 must become 1 at random, in "
        "35 % of the draws."
    )
    frozen = {
        threshold: pixels.round(),
        "the grey values are returned unchanged. Draw a 0 or a 1 for each pixel.": pixels,
    }
    draw = draws(student, frozen, pixels.shape, pixels)
    odd = draw[(draw != 0) & (draw != 1)].tolist()
    if odd:
        raise Mistake(f"a draw must contain only 0 and 1, but yours contains {odd[0]:.3f}.")
    expect(
        (draw != draw[0]).any(),
        "all images get the same draw. Draw one random number per image and pixel.",
    )
    rising, share = draw.diff(dim=1)[:, 1:4], draw.mean(0)  # (N, 3), (D,)
    mixed = (rising < 0).any() and (rising > 0).any()
    expect(
        mixed,
        "all pixels of an image share one random number. Draw one per pixel, with shape (N, D).",
    )
    normal = torch.special.ndtr(grey)  # P(randn < grey)
    mistakes = {
        "black and white are swapped. A bright pixel must often be 1 (`uniform < pixel`).": (
            1 - grey
        ),
        "every pixel is a fair coin toss. The grey value must be the probability of a 1.": (
            0 * grey + 0.5
        ),
        "the random numbers are normal (`torch.randn`), but they must be uniform (`torch.rand`).": (
            normal
        ),
    }
    for says, wrong in mistakes.items():
        expect((share - wrong).abs().max() > 0.05, says)
    # excess over five standard errors
    off = (share - grey).abs() - 5 * (grey * (1 - grey) / n).sqrt()
    k = int(off.argmax())
    expect(
        off[k] < 1e-3,
        f"the pixels with grey value {grey[k]:.2f} become 1 in {share[k]:.1%} of the draws.",
    )
    for shape, says in (
        (pixels.shape, OTHER_NUMBERS),
        ((1500, 20), OTHER_SIZE),
        ((1, 9000), OTHER_SIZE),
    ):
        try:
            # no grey value is so close to 0 or 1 that a single draw could decide the verdict
            fair_draw(student, 0.02 + 0.96 * torch.rand(shape, generator=fresh_generator()))
        except Mistake as wrong_there:
            raise Mistake(f"{says} On that input, {wrong_there}") from None


def fair_draw(student: Student, pixels: Tensor) -> None:
    """Raise Mistake unless pixels are independent draws with the right mean at every grey value."""
    draw = numbers(call(student, pixels, fresh_generator()), "your draw", pixels.shape)
    expect(((draw == 0) | (draw == 1)).all(), "a draw must contain only 0 and 1.")
    # has mean 0 and variance 1 if the draw is right
    z = (draw - pixels) / (pixels * (1 - pixels)).sqrt()
    rank = pixels.flatten().argsort()
    for part in z.flatten()[rank].chunk(5):  # from dark to bright
        # a correct function exceeds 6 standard errors about once in 500 million runs
        limit = 6 / len(part) ** 0.5
        expect(part.mean().abs() < limit, "the pixels become 1 too often or too rarely.")
    says = "pixels or images share a random number, but each pixel needs its own."
    for axis in (0, 1):
        if pixels.shape[axis] > 1:
            pairs = (z * z.roll(1, axis)).mean()  # neighbours
            expect(pairs.abs() < 0.1, says)


def nats_reference(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the correct loss in nats per image, a scalar tensor."""
    return pixel_nats(logits, targets).sum(1).mean()  # ()


def pixel_nats(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the negative log-likelihood of each pixel in nats, of shape (N, D)."""
    return binary_cross_entropy_with_logits(logits, targets, reduction="none")  # (N, D)


def nats_mistakes(logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Return the result of each typical mistake, keyed by a sentence that describes the mistake."""
    each = pixel_nats(logits, targets)  # (N, D)
    right = each.sum(1).mean()
    wrong = {
        (
            "the loss is averaged over pixels: 784 times too small for digits of 28×28 pixels. "
            "Sum over pixels and average over images."
        ): each.mean(),
        (
            "the mean is multiplied by 784, but other images have other sizes. Read the size from "
            "the inputs."
        ): 784 * each.mean(),
        "the loss is summed over images. Sum over pixels, but average over images.": each.sum(),
        "pixels and images are swapped. Sum over pixels and average over images.": (
            each.sum(0).mean()
        ),
        "the sign is flipped. The loss is minus the log-likelihood.": -right,
        "the average over images is missing. Return one number.": each.sum(1),
        "the result has one number per pixel. Sum over pixels and average over images.": each,
        "the sigmoid is applied twice. The `..._with_logits` function already applies it.": (
            nats_reference(logits.sigmoid(), targets)
        ),
        "the sigmoid is missing, so the logits are treated as logarithms of probabilities.": (
            -(targets * logits).sum(1).mean()
        ),
        "only pixels with target 1 count. The term (1 − target) · log(1 − p) is missing.": (
            (targets * each).sum(1).mean()
        ),
        "only pixels with target 0 count. The term target · log p is missing.": (
            ((1 - targets) * each).sum(1).mean()
        ),
        "black and white are swapped. The term log p belongs to target 1.": (
            nats_reference(logits, 1 - targets)
        ),
        "the arguments are swapped. The logits come first, then the targets.": (
            nats_reference(targets, logits)
        ),
        "a softmax over pixels is taken, but each pixel has a probability of its own.": (
            cross_entropy(logits, targets)
        ),
        "the result is the squared error, not a negative log-likelihood.": (
            (logits.sigmoid() - targets).square().sum(1).mean()
        ),
        (
            "the logarithm is missing. The result is the sum of the probabilities of the observed "
            "pixels."
        ): (-each).exp().sum(1).mean(),
        "a logit is not a probability, so its logarithm can be NaN. Apply the sigmoid first.": (
            right * torch.nan
        ),
    }
    return wrong | other_units(right)


def draw_logits(generator: Generator, n: int, d: int) -> dict[str, Tensor]:
    """Draw logits and binary targets, each of shape (N, D)."""
    # where a sigmoid does not round to 0 or 1
    logits = 8 * torch.rand(n, d, generator=generator) - 4
    targets = (torch.rand(n, d, generator=generator) < 0.5).float()
    return {"logits": logits, "targets": targets}


@exercise
def nats_per_image(student: Student) -> None:
    """The loss is in nats per image, summed over pixels and averaged over images."""
    inputs = {
        "logits": tensor([[0.5, -1.0, 2.0], [-0.3, 1.5, -2.5]]),
        "targets": tensor([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0]]),
    }
    Table.of(inputs, nats_reference, nats_mistakes, differentiable=True).ask(student)
    other_inputs(student, nats_reference, draw_logits, (2, 3), (5, 7), nats_mistakes)
    large_logits(student, lambda nats: nats.sum(1).mean())
    gradients(student, nats_reference, inputs, ["logits"])


def large_logits(
    student: Student, result: Any, names: tuple[str, str] = ("logits", "targets")
) -> None:
    """Raise Mistake unless the result is right for logits of ±60 and ±1000.

    Unstable formulas fail there, because sigmoid(60) rounds to 1 and exp(1000) overflows.

    result: a function that computes the result of the exercise from the negative log-likelihoods of
    the pixels, of shape (N, D).
    """
    signs = tensor([[1.0, -1.0, 1.0], [-1.0, 1.0, 1.0]])
    targets = tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
    # exp(60) is an ordinary number, but sigmoid(60) is 1 in float32 and in float64
    logits = 60 * signs
    right = pixel_nats(logits, targets)
    cut_off = torch.where(right > 1, 100 * (signs > 0) + 60 * (signs < 0), 0.0)
    mistakes = {
        "`binary_cross_entropy` cuts the loss off at 100 nats per pixel. Use `..._with_logits`.": (
            result(cut_off)
        ),
    }
    hidden = (
        "The sigmoid of 60 rounds to 1, and a clamp or a small added number hides that log(1 − p) "
        "is −∞"
    )
    Table(
        dict(zip(names, (logits, targets), strict=True)),
        result(right),
        mistakes,
        otherwise=f"a value is wrong. {hidden}. Compute the loss from the logits; clamp nothing.",
        not_finite=(
            "The sigmoid of 60 rounds to 1, and log(1 − 1) is −∞. Compute the loss from the logits."
        ),
    ).ask(student)
    # small enough that a clamp of the logits can be distinguished from an overflow
    logits = 1000 * signs
    Table(
        dict(zip(names, (logits, targets), strict=True)),
        result(pixel_nats(logits, targets)),
        otherwise="a value is wrong for logits of ±1000. Are the logits or the result clamped?",
        not_finite=(
            "exp(1000) overflows. Compute log(1 + eᵃ) as `softplus(a)`, which is safe for any "
            "logit."
        ),
    ).ask(student)


def cheapest_image(image: Any, rates: Tensor) -> str:
    """Return a message that gives the cost in nats of an image of zeros and ones,
    and the number of its pixels that would cost less if they were flipped.

    The message helps students judge their answer to the last exercise of the chapter. `image` may
    be a tensor or an array of any shape and dtype, or None if the exercise has not been started.
    `rates`, of shape (D,), contains the probability that each pixel is 1.
    """
    if image is None:
        return "Replace None with your image first."
    rates = rates.detach().cpu().double()  # (D,)
    try:
        pixels = torch.as_tensor(image).detach().cpu().double().flatten()  # (D,)
    except (TypeError, ValueError, RuntimeError):
        return f"Your image must be a torch tensor, not {type(image).__name__}."
    if pixels.shape != rates.shape:
        return (
            f"Your image must have one value for each of the {len(rates)} pixels, but it has "
            f"{len(pixels)}."
        )
    if torch.allclose(pixels, rates, atol=1e-6):
        return (
            "These are the rates themselves. Use each rate to decide whether its pixel is black "
            "or white."
        )
    odd = pixels[(pixels != 0) & (pixels != 1)]
    if len(odd):
        return f"Every pixel of your image must be 0 or 1, but one of them is {odd[0]:.3f}."
    white, black = -rates.log(), -(1 - rates).log()  # the cost of each colour, (D,)
    cost = torch.where(pixels == 1, white, black)  # (D,)
    other = torch.where(pixels == 1, black, white)  # the cost in the other colour, (D,)
    dear = int((other < cost - 1e-9).sum())
    says = f"Your image costs {cost.sum():.2f} nats, and the blank page costs {black.sum():.2f}."
    if dear == 0:
        return f"{says} None of your pixels would cost less in the other colour."
    if dear == len(rates):
        return (
            f"{says} Every pixel would cost less in the other colour, so black and white are "
            "swapped."
        )
    some = "One of your pixels" if dear == 1 else f"{dear} of your {len(rates)} pixels"
    return f"{says} {some} would cost less in the other colour."
