"""Checks for “From auto-encoder to VAE”.

The exercises are about the noisy code and its gradient, the KL term, and the VAE loss.
"""

import math
from dataclasses import dataclass
from inspect import unwrap

import torch
from torch import Generator, Tensor, tensor
from torch.nn.functional import binary_cross_entropy

from course_lib.checks.bound import (
    draw_codes,
    expect_repeats,
    extreme_logvar,
    kl_mistakes,
    kl_reference,
    kl_to_standard_normal,
)
from course_lib.checks.report import (
    OTHER_NUMBERS,
    OTHER_SIZE,
    Inputs,
    Mistake,
    Student,
    Table,
    agrees,
    call,
    exercise,
    expect,
    expect_gaussian,
    fresh_generator,
    gradients,
    numbers,
    other_inputs,
    pulled_back,
    same,
)


@exercise
def reparameterize(student: Student) -> None:
    """z is mu + exp(logvar / 2) · noise with independent noise,
    and the gradient reaches mu and logvar.
    """
    n, m, v = 6000, tensor([-2.0, 0.5, 3.0]), tensor([-1.2, 0.8, 1.6])
    mu, logvar, std = m.repeat(n, 1), v.repeat(n, 1), (v / 2).exp()
    answer = call(student, mu, logvar)
    is_root = isinstance(answer, Tensor) and answer.isnan().any()
    says = (
        "your z contains NaN. Where logvar is negative, it has no root. The std is exp(logvar / 2)."
    )
    expect(not is_root, says)
    z = numbers(answer, "your z", mu.shape)
    again = numbers(call(student, mu, logvar), "your z", mu.shape)
    expect(
        not same(z, mu),
        "no noise is added. The result is mu, the code of an ordinary auto-encoder.",
    )
    expect(
        not torch.equal(z, again),
        "a second call repeats the noise. Is a seed set inside your function?",
    )
    expect_gaussian(z, m, std, wrong_gaussians(m, v))
    rows_differ(student)
    extreme_spread(student)
    slopes(student)


def wrong_gaussians(m: Tensor, v: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Return the mean and std of z that each typical mistake produces if mu = m and logvar = v."""
    std = (v / 2).exp()
    wrong_stds = {
        "the variance is used as the std. Multiply the noise by the std, exp(logvar / 2).": (
            v.exp()
        ),
        "the noise is multiplied by logvar itself. The std is exp(logvar / 2).": v.abs(),
        "the noise is multiplied by half of logvar. The std is exp(logvar / 2).": v.abs() / 2,
        "logvar is doubled instead of halved. The std is exp(logvar / 2).": (2 * v).exp(),
        "the noise keeps scale 1. Multiply the noise by the std, exp(logvar / 2).": 0 * v + 1,
        "the square root is taken twice. The std is exp(logvar / 2).": (v / 4).exp(),
        "the sign of logvar is flipped. The std is exp(+logvar / 2).": (-v / 2).exp(),
        "the sign of logvar is flipped, and the variance is used as the std.": (-v).exp(),
        "the noise is divided by the variance. Multiply the noise by the std.": 1 / v.exp(),
        "2 is raised to the power of logvar / 2, but logvar is a natural logarithm. Use `exp`.": (
            2 ** (v / 2)
        ),
        "10 is raised to the power of logvar / 2, but logvar is a natural logarithm. Use `exp`.": (
            10 ** (v / 2)
        ),
        "1 is added to the std. The std is exp(logvar / 2).": std + 1,
    }
    mistakes = {says: (m, wrong) for says, wrong in wrong_stds.items()}
    return mistakes | {
        "mu is missing. Add mu to the scaled noise.": (0 * m, std),
        "mu is subtracted. Add mu instead.": (-m, std),
        "mu is multiplied by the scaled noise. Add mu instead.": (0 * m, (m * std).abs()),
        "mu is multiplied by the noise as well. Only the std is multiplied by the noise.": (
            0 * m,
            (m + std).abs(),
        ),
        "the noise is not multiplied by the std. The std is added, and the noise has scale 1.": (
            m + std,
            0 * std + 1,
        ),
        "mu and logvar are swapped. The first argument is mu.": (v, (m / 2).exp()),
    }


def rows_differ(student: Student) -> None:
    """Raise Mistake unless z is right for inputs of three sizes.

    If an input has several rows, mu and logvar differ from row to row.
    """
    for shape, says in (
        ((6000, 3), OTHER_NUMBERS),
        ((3000, 5), OTHER_SIZE),
        ((1, 8000), OTHER_SIZE),
    ):
        mu, logvar = draw_codes(fresh_generator(), *shape).values()
        try:
            z = numbers(call(student, mu, logvar), "your z", mu.shape)
            e = (z - mu) / (logvar / 2).exp()  # N(0, 1) if the answer is right
            e = e.reshape(-1, shape[1] if shape[0] > 1 else 1)
            expect_gaussian(e, torch.zeros(e.shape[1]), torch.ones(e.shape[1]), {})
        except Mistake as stopped:
            own = "" if "size" in says else " Here each row has its own mu and logvar."
            stopped_there = "" if "column" in str(stopped) else f" On that input, {stopped}"
            raise Mistake(f"{says}{own}{stopped_there}") from None


def extreme_spread(student: Student) -> None:
    """Raise Mistake unless z has the right spread for log-variances of ±60."""
    why = {
        -60.0: "Is a small number added to the variance or the std, or is logvar clamped?",
        60.0: (
            "Is logvar or the std clamped, or does something overflow? exp(30) is an ordinary "
            "number."
        ),
    }
    for value, hint in why.items():
        logvar = torch.full((2000, 2), value)
        what = f"your z for logvar = {value:.0f}"
        z = numbers(call(student, torch.zeros(2000, 2), logvar), what, (2000, 2))
        ratio = z.double().std() / math.exp(value / 2)
        expect(0.9 < ratio < 1.1, f"the spread is wrong where logvar is {value:.0f}. {hint}")


def slopes(student: Student) -> None:
    """Raise Mistake unless the gradients of Σ weight · z with respect to mu and logvar are right.

    The right gradient with respect to mu is weight. The student's function draws the noise, so the
    right gradient with respect to logvar, weight · (z − mu) / 2, is computed from the returned z.
    """
    mu, logvar = draw_codes(torch.Generator().manual_seed(0), 4, 3).values()
    mu, logvar = mu.requires_grad_(), logvar.requires_grad_()
    weight = 1 + torch.arange(12.0).reshape(4, 3) / 12

    z = call(student, mu, logvar)
    rights = {"mu": weight, "logvar": weight * (numbers(z, "your z", (4, 3)) - mu.detach()) / 2}
    cut = (
        "the gradient with respect to {} is cut. Avoid `detach`, `.data`, `no_grad`, "
        "`torch.normal` and `.sample()`."
    )
    expect(
        mu.grad is None and logvar.grad is None,
        "`backward()` is called inside your function. Only return z.",
    )
    # adding 0 · inputs prevents an autograd error if z does not depend on an input
    found = pulled_back((weight * (z + 0 * mu + 0 * logvar)).sum(), [mu, logvar])
    for name, slope in zip(rights, found, strict=True):
        what = f"the gradient of z with respect to {name}"
        Table({}, rights[name], {cut.format(name): 0 * slope}).judge(slope, what)


@exercise
def kl(student: Student) -> None:
    """The result is KL(N(mu, exp(logvar)) ‖ N(0, I)) in nats, one number for each image."""
    unwrap(kl_to_standard_normal)(student)  # the same exercise again, one chapter later


def loss_reference(
    x: Tensor, x_hat: Tensor, mu: Tensor, logvar: Tensor, variance: Tensor
) -> Tensor:
    """Return the correct loss in nats per image: the Gaussian reconstruction error plus the KL."""
    error = ((x - x_hat) ** 2).sum(1) / (2 * variance)  # (N,)
    return (error + kl_reference(mu, logvar)).mean()


@dataclass
class LossParts:
    """The loss terms and array sizes from which the losses of typical mistakes are computed."""

    far: Tensor  # (N,) squared distances between images and reconstructions
    error: Tensor  # (N,) the squared distances divided by 2 · variance
    kl: Tensor  # (N,)
    pixels: int
    codes: int


def loss_mistakes(
    x: Tensor, x_hat: Tensor, mu: Tensor, logvar: Tensor, variance: Tensor
) -> dict[str, Tensor]:
    """Return the result of each typical mistake, keyed by a sentence that describes the mistake."""
    far = ((x - x_hat) ** 2).sum(1)
    parts = LossParts(far, far / (2 * variance), kl_reference(mu, logvar), x.shape[1], mu.shape[1])
    each = wrong_factors(parts, variance) | wrong_sums(parts) | wrong_kls(parts, mu, logvar)
    each |= wrong_constants(parts, variance)
    squashed = ((x - x_hat.sigmoid()) ** 2).sum(1) / (2 * variance)
    each["a sigmoid is applied to x_hat, which already contains pixels."] = squashed + parts.kl
    each["the error is not squared."] = (x - x_hat).sum(1) / (2 * variance) + parts.kl
    crossed = binary_cross_entropy(x_hat, x, reduction="none").sum(1)  # (N,)
    says = "the reconstruction is a binary cross-entropy. Divide the squared error by 2 · variance."
    each[says] = crossed + parts.kl
    absolute = (x - x_hat).abs().sum(1) / (2 * variance)
    each["the errors are absolute. Use squared errors."] = absolute + parts.kl
    wrong = {says: value.mean() for says, value in each.items()}
    for says, value in kl_mistakes(mu, logvar).items():
        if value.shape == parts.kl.shape and value.isfinite().all():
            loss = (parts.error + value).mean()
            # of two mistakes that give almost the same number, the one named first is likelier
            if not any(torch.isclose(loss, named, rtol=1e-3) for named in wrong.values()):
                wrong[f"the squared error is right, but in the KL {says}"] = loss
    per_pixel = (x - x_hat) ** 2 / (2 * variance)  # (N, D)
    not_summed = (
        "the result has one squared error per pixel. Sum over pixels and average over images."
    )
    return wrong | {not_summed: per_pixel + parts.kl.mean()} | wrong_shapes(parts)


def wrong_factors(parts: LossParts, v: Tensor) -> dict[str, Tensor]:
    """Return the per-image losses that result from a missing, extra or misplaced factor.

    Each result has the shape (N,).
    """
    far, error, kl = parts.far, parts.error, parts.kl
    return {
        "the squared error is averaged over pixels. Sum over pixels and average over images.": (
            error / parts.pixels + kl
        ),
        "the squared error is averaged over pixels (`mse_loss`) and not divided by 2 · variance.": (
            far / parts.pixels + kl
        ),
        (
            "both parts are averaged over their columns. Sum over pixels and over the dimensions "
            "of z."
        ): error / parts.pixels + kl / parts.codes,
        "the KL is averaged over dimensions. Sum over the dimensions.": error + kl / parts.codes,
        "the factor ½ of the squared error is missing. Divide by 2 · variance.": 2 * error + kl,
        "the factor ½ of the KL is missing.": error + 2 * kl,
        "the factor ½ is missing in both parts.": 2 * error + 2 * kl,
        "the KL is halved twice.": error + kl / 2,
        "the variance is treated as a std and squared. Divide by 2 · variance.": error / v + kl,
        "the square root of the variance is taken. Divide by 2 · variance.": error * v.sqrt() + kl,
        "the error is multiplied by the variance. Divide the squared error by 2 · variance.": (
            error * v**2 + kl
        ),
        "the variance is ignored. Divide the squared error by 2 · variance.": error * v + kl,
        "the squared error is not divided by 2 · variance.": far + kl,
        "the variance is fixed at 0.25. Use the argument `variance`.": 2 * far + kl,
        "the squared error is multiplied by 2 · variance. Divide instead.": far * 2 * v + kl,
        "the KL is divided by 2 · variance as well. Divide only the squared error.": (
            error + kl / (2 * v)
        ),
        "the square root of the squared error is taken. Leave the square root out.": (
            far.sqrt() / (2 * v) + kl
        ),
    }


def wrong_sums(parts: LossParts) -> dict[str, Tensor]:
    """Return the per-image losses that result from a flipped sign, a missing term,
    or a wrong sum or average.

    Each result has the shape (N,).
    """
    n, error, kl = len(parts.error), parts.error, parts.kl
    return {
        "the KL is subtracted. The loss is minus L_b, so both parts are added.": error - kl,
        "the squared error is subtracted. The loss is minus L_b, so both parts are added.": (
            kl - error
        ),
        "the KL is missing.": error,
        "the squared error is missing. The result is the KL alone.": kl,
        "the sign is flipped. The result is L_b, but the loss is −L_b.": -error - kl,
        "the loss is summed over images. Sum over pixels, but average over images.": (
            n * (error + kl)
        ),
        "the loss is averaged over images twice.": (error + kl) / n,
        "the KL is summed over images. Average the KL over images.": error + n * kl,
        "the squared error is summed over images. Average the squared error over images.": (
            n * error + kl
        ),
        "both parts are averaged over their columns and summed over the images.": (
            n * (error / parts.pixels + kl / parts.codes)
        ),
    }


def wrong_kls(parts: LossParts, mu: Tensor, logvar: Tensor) -> dict[str, Tensor]:
    """Return the per-image losses that result from a missing or misinterpreted term of the KL.

    Each result has the shape (N,).
    """
    error, kl = parts.error, parts.kl
    return {
        "logvar is treated as the logarithm of the std.": error + kl_reference(mu, 2 * logvar),
        "the term −logvar of the KL is missing.": error + kl + logvar.sum(1) / 2,
        "the term mu² of the KL is missing.": error + kl - (mu**2).sum(1) / 2,
        "the term −1 of the KL is missing.": error + kl + parts.codes / 2,
        "the variance exp(logvar) is missing in the KL.": error + kl - logvar.exp().sum(1) / 2,
        "mu and logvar are swapped. The first argument is mu.": error + kl_reference(logvar, mu),
    }


def wrong_constants(parts: LossParts, v: Tensor) -> dict[str, Tensor]:
    """Return the per-image losses that result from an extra constant or from the wrong units.

    Each result has the shape (N,).
    """
    error, kl = parts.error, parts.kl
    log_2, log_10 = math.log(2), math.log(10)
    return {
        "the loss contains the constant D/2 · log(2π variance). Leave the constant out.": (
            error + kl + parts.pixels / 2 * (2 * torch.pi * v).log()
        ),
        "the loss contains the constant D/2 · log(variance). Leave the constant out.": (
            error + kl + parts.pixels / 2 * v.log()
        ),
        "the loss is in bits, but it must be in nats. Do not divide by log 2.": (
            (error + kl) / log_2
        ),
        "the KL is in bits and the squared error is in nats. Use nats for both.": (
            error + kl / log_2
        ),
        "the loss uses logarithms to base 10, but it must be in nats. Do not divide by log 10.": (
            (error + kl) / log_10
        ),
    }


def wrong_shapes(parts: LossParts) -> dict[str, Tensor]:
    """Return the results obtained when part of the loss is not averaged over the images.

    Each result has the shape (N,).
    """
    error, kl = parts.error, parts.kl
    return {
        "the average over images is missing. Return one number.": error + kl,
        "the squared error is one number, but there is one KL per image. Average both.": (
            error.mean() + kl
        ),
        "the KL is one number, but there is one squared error per image. Average both.": (
            error + kl.mean()
        ),
    }


def draw_batch(generator: Generator, n: int, pixels: int, d: int) -> dict[str, Tensor]:
    """Draw images, reconstructions, mu, logvar and a variance."""
    x = torch.rand(n, pixels, generator=generator)
    x_hat = torch.rand(n, pixels, generator=generator)
    variance = 0.2 + 0.5 * torch.rand((), generator=generator)
    return {"x": x, "x_hat": x_hat, **draw_codes(generator, n, d), "variance": variance}


def wrong_part(student: Student, inputs: Inputs) -> str:
    """Return a sentence that identifies the wrong part of the loss if exactly one part is wrong.

    Otherwise, the sentence says only that a value is wrong.
    """
    loss = call(student, *inputs.values())
    of_kl = call(student, *{**inputs, "x_hat": inputs["x"]}.values())  # no squared error is left
    if not isinstance(loss, Tensor) or not isinstance(of_kl, Tensor):
        return "a value is wrong."
    kl = kl_reference(inputs["mu"], inputs["logvar"]).mean()
    kl_is_right = agrees(of_kl, kl)
    error_is_right = agrees(loss - of_kl, loss_reference(*inputs.values()) - kl)
    if error_is_right and not kl_is_right:
        again = "If your loss calls the function of exercise 2, run the check of exercise 2 again."
        return f"the squared error is right, but the KL is wrong. {again}"
    if kl_is_right and not error_is_right:
        return "the KL is right, but the squared error is wrong."
    return "a value is wrong."


@exercise
def vae_loss(student: Student) -> None:
    """The loss is ‖x − x_hat‖² / (2 variance) + KL in nats, averaged over images."""
    # three images, four pixels and five dimensions: no average can pass for another or for a ½
    inputs = {
        "x": tensor([[0.0, 0.9, 0.3, 0.6], [1.0, 0.2, 0.7, 0.0], [0.1, 0.8, 0.0, 0.5]]),
        "x_hat": tensor([[0.2, 0.4, 0.3, 1.0], [0.5, 0.3, 0.0, 0.4], [0.3, 0.2, 0.6, 0.1]]),
        "mu": tensor(
            [[0.3, -0.7, 0.5, 0.2, 0.9], [1, -0.2, 0.6, 0.4, -1.1], [0.8, 0.1, -0.5, 0.3, 0.7]]
        ),
        "logvar": tensor(
            [[0.2, -0.5, 1, 0.6, -0.9], [0.4, -0.3, -1.3, 0.7, 0.1], [0.5, 1.2, -0.8, -0.4, 0.9]]
        ),
        "variance": tensor(0.4),
    }
    expect_repeats(student, inputs)
    table = Table.of(inputs, loss_reference, loss_mistakes, differentiable=True)
    loss = call(student, *inputs.values())
    if isinstance(loss, Tensor) and loss.shape == () and not agrees(loss, table.right):
        table.otherwise = wrong_part(student, inputs)
    table.judge(loss)
    other_inputs(student, loss_reference, draw_batch, (3, 4, 5), (5, 6, 2), loss_mistakes)
    extreme_logvar(student, lambda logvar: inputs | {"logvar": logvar}, (3, 5), loss_reference)
    sharp = inputs | {"variance": tensor(1e-10)}
    Table(
        sharp,
        loss_reference(*sharp.values()),
        otherwise=(
            "a value is wrong for variance = 10⁻¹⁰. Is a small number added to the variance, or is "
            "it clamped?"
        ),
        not_finite="Here the variance is 10⁻¹⁰. Do you take its square or its exponential?",
        differentiable=True,
    ).ask(student)
    gradients(student, loss_reference, inputs, ["x_hat", "mu", "logvar"])
