"""Checks for the two chapters on VAEs for digits.

The exercises are about log P(x|z), new images, the NLL, the standard error of a difference between
two NLLs, and the gain from a second draw.
"""

import math

import torch
from torch import Generator, Tensor, tensor
from torch.nn.functional import softplus

from course_lib.checks.bound import extreme_weights
from course_lib.checks.report import (
    OTHER_SIZE,
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
    other_units,
)
from course_lib.checks.start import draw_logits, large_logits, pixel_nats


def bernoulli_reference(logits: Tensor, x: Tensor) -> Tensor:
    """Return the correct log P(x|z) of each image in nats."""
    return -pixel_nats(logits, x).sum(1)  # (N,)


def bernoulli_mistakes(logits: Tensor, x: Tensor) -> dict[str, Tensor]:
    """Return the result of each typical mistake, keyed by a sentence that describes the mistake."""
    each, p = -pixel_nats(logits, x), logits.sigmoid()  # (N, D)
    log_p = -pixel_nats(logits, torch.ones_like(x))  # (N, D)
    right = each.sum(1)
    wrong = {
        (
            "the result is averaged over pixels (784 times too small for MNIST). Sum over the "
            "pixels."
        ): each.mean(1),
        "the sigmoid is applied twice. The `..._with_logits` function already applies it.": (
            bernoulli_reference(p, x)
        ),
        "the sigmoid is missing, so the logits are treated as logarithms of probabilities.": (
            (x * logits).sum(1)
        ),
        "the sign is flipped. The logarithm of a probability is never positive.": -right,
        "the arguments are swapped. The logits come first, then x.": bernoulli_reference(x, logits),
        "only pixels with x = 1 count. The term (1 − x) · log(1 − p) is missing.": (
            (x * each).sum(1)
        ),
        "only pixels with x = 0 count. The term x · log p is missing.": ((1 - x) * each).sum(1),
        "log p is used for every pixel. For a pixel that is 0, use log(1 − p).": log_p.sum(1),
        "log(1 − p) is used for every pixel. For a pixel that is 1, use log p.": (
            (log_p - logits).sum(1)
        ),
        "1 − log p is used in place of log(1 − p).": (x * log_p + (1 - x) * (1 - log_p)).sum(1),
        (
            "the log-probabilities of the pixels are multiplied. Probabilities multiply, "
            "logarithms add."
        ): each.prod(1),
        "black and white are swapped. The term log p belongs to x = 1.": (
            bernoulli_reference(logits, 1 - x)
        ),
        "the result is also summed over the batch. Return one number per image.": each.sum(),
        "the result is also averaged over the batch. Return one number per image.": right.mean(),
        "the result is averaged over all pixels of all images. Return one sum per image.": (
            each.mean()
        ),
        "the result is summed over the images. Sum over the pixels, axis 1.": each.sum(0),
        "the result has one number per pixel. Sum over the pixels of each image.": each,
        "the result has one number per pixel, and the sign is flipped.": -each,
        "the logarithm is missing. The result is the probability of the image.": right.exp(),
        "the logarithm is missing. The result is the sum of the pixels' probabilities.": (
            each.exp().sum(1)
        ),
        "the result is the squared error, not a log-probability.": (p - x).square().sum(1),
        "the result is minus the squared error, not a log-probability.": -(p - x).square().sum(1),
        "the result is minus half the squared error, the log-probability of a Gaussian.": (
            -(p - x).square().sum(1) / 2
        ),
        "a logit is not a probability, so its logarithm can be NaN. Apply the sigmoid first.": (
            right * torch.nan
        ),
    }
    return wrong | other_units(right)


def draw_pixels(generator: Generator, n: int, d: int) -> dict[str, Tensor]:
    """Draw logits and binary pixels x, each of shape (N, D)."""
    inputs = draw_logits(generator, n, d)
    return {"logits": inputs["logits"], "x": inputs["targets"]}


@exercise
def log_bernoulli(student: Student) -> None:
    """The result is log P(x|z) of each image in nats, summed over pixels,
    and the logits may be of any magnitude.
    """
    inputs = {
        "logits": tensor([[0.7, -1.1, 2.2], [-0.4, 1.3, -2.6]]),
        "x": tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]),
    }
    laws = {"the logarithm of a probability is never positive.": lambda log_p: log_p <= 0}
    Table.of(inputs, bernoulli_reference, bernoulli_mistakes, laws=laws).ask(student)
    other_inputs(student, bernoulli_reference, draw_pixels, (2, 3), (5, 7), bernoulli_mistakes)
    large_logits(student, lambda nats: -nats.sum(1), ("logits", "x"))
    gradients(student, bernoulli_reference, inputs, ["logits"])


class Decoder:
    """A linear decoder that maps codes z of shape (..., d) to logits of shape (..., D).

    The decoder accepts a single code, some of the codes or all of them, even inside
    `torch.func.vmap`.
    """

    def __init__(self, n: int, weight: Tensor, bias: float) -> None:
        self.n, self.weight, self.bias = n, weight, bias
        self.seen: list[Tensor] = []

    def __call__(self, z: object) -> Tensor:
        d = self.weight.shape[0]
        if not isinstance(z, Tensor) or z.is_complex():
            raise Mistake(
                f"the z that you decode must be a torch tensor, but got {type(z).__name__}."
            )
        says = f"the z that you decode must have shape ({self.n}, {d}), not {tuple(z.shape)}."
        expect(z.ndim > 0 and z.shape[-1] == d, says)
        says = f"the z that you decode must have a floating-point dtype, not {z.dtype}."
        expect(z.is_floating_point(), says)
        self.seen.append(z.detach())
        return self.logits(z)

    def logits(self, z: Tensor) -> Tensor:
        """Return one logit per pixel for each of the codes z."""
        return z.to(self.weight.dtype) @ self.weight + self.bias

    def codes_seen(self) -> Tensor | None:
        """Return the codes decoded in all calls,
        or None if there are not exactly n codes or they cannot be read.
        """
        if sum(z.shape[:-1].numel() for z in self.seen) != self.n:
            return None
        d, dtype = len(self.weight), self.weight.dtype
        try:
            return torch.cat([z.reshape(-1, d).to(dtype) for z in self.seen])
        except RuntimeError:  # a code from inside vmap cannot be read afterwards
            return None

    def codes_of(self, images: Tensor) -> Tensor | None:
        """Return the codes of the images, found by inverting the linear decoder,
        or None if no codes fit.
        """
        # the images may have passed through one sigmoid, none, or two; a later check tells which
        for logits in (images.logit(), images, images.logit().logit()):
            z = (logits - self.bias) @ torch.linalg.pinv(self.weight)  # (n, d)
            if (self.logits(z) - logits).abs().max() < 1e-2:
                return z
        return None


def images_and_codes(student: Student, decoder: Decoder) -> tuple[object, Tensor]:
    """Return the result of the student's function and the codes that it decoded.

    The codes have the shape (n, d).
    """
    d, pixels = decoder.weight.shape
    decoder.seen = []
    answer = call(student, decoder, decoder.n, d)
    expect(decoder.seen, "`decode` is never called. Call decode(z) to turn codes into logits.")
    codes = decoder.codes_seen()
    if codes is not None:
        return answer, codes
    images = numbers(answer, "your images", (decoder.n, pixels)).to(decoder.weight.dtype)
    is_binary = ((images == 0) | (images == 1)).all()
    expect(
        not is_binary,
        "the pixels are all 0 or 1, from a random draw or a threshold. Return each pixel's mean.",
    )
    codes = decoder.codes_of(images)
    if codes is None:
        raise Mistake("your images are not the sigmoid of the logits that `decode` returns.")
    return answer, codes


def pixel_mistakes(logits: Tensor) -> dict[str, Tensor]:
    """Return the images that typical mistakes produce from the decoder's logits."""
    pixels = logits.sigmoid()
    low, high = logits.min(), logits.max()
    return {
        "the sigmoid is missing. The result contains logits, but pixels must be in [0, 1].": logits,
        "the sigmoid is applied twice, so all pixels are between ½ and 0.73.": pixels.sigmoid(),
        "the logits are clamped to [0, 1]. Apply the sigmoid.": logits.clamp(0, 1),
        "the logits are scaled to [0, 1] by their smallest and largest value. Apply the sigmoid.": (
            (logits - low) / (high - low)
        ),
        "a threshold is applied. Return each pixel's mean, the sigmoid of its logit.": (
            pixels.round()
        ),
        "black and white are swapped. Return the sigmoid of +logit.": 1 - pixels,
        "a softmax over the pixels is applied. Apply the sigmoid to each pixel.": logits.softmax(1),
        "the exponential of a logit is the odds, p / (1 − p). Apply the sigmoid.": logits.exp(),
        "the tanh of a logit is in [−1, 1]. Apply the sigmoid.": logits.tanh(),
        "(1 + tanh) / 2 of the logits is the sigmoid of twice the logits.": (2 * logits).sigmoid(),
        "the logarithm of the pixels is returned. Return the sigmoid itself.": pixels.log(),
    }


def expect_no_sigmoid(codes: Tensor) -> None:
    """Raise Mistake if the codes are the sigmoid of standard Gaussian noise."""
    noise = codes.logit()  # NaN for a code outside [0, 1]; std 1.8 for uniform codes
    is_squashed = noise.isfinite().all() and (noise.std() - 1).abs() < 0.1
    says = "a sigmoid is applied to z. Decode z itself, and apply the sigmoid to the logits."
    expect(not is_squashed, says)


@exercise
def generate(student: Student) -> None:
    """The function draws z from the prior N(0, I) and returns the sigmoid of the decoded logits."""
    decoder = Decoder(4000, tensor([[1.1, -0.6, 0.3, 0.9], [0.4, 0.8, -1.2, 0.2]]), 0.3)
    answer, codes = images_and_codes(student, decoder)
    _, codes_again = images_and_codes(student, decoder)
    expect(codes.any(), "z is 0, so nothing is drawn. Draw z from the prior N(0, I).")
    repeated = torch.equal(codes, codes_again)
    expect(
        not repeated,
        "a second call draws the same z. Is a seed set inside your function, or is z not random?",
    )
    expect_no_sigmoid(codes)
    expect_gaussian(codes, torch.zeros(2), torch.ones(2), {})
    logits = decoder.logits(codes)
    laws = {
        "the pixels are random draws of 0 and 1. Return each pixel's mean.": lambda x: (
            (x != 0) & (x != 1)
        )
    }
    Table({}, logits.sigmoid(), pixel_mistakes(logits), laws).judge(answer, "your images")
    generator = fresh_generator()
    for n, d, pixels in ((1500, 3, 6), (1, 4, 5)):
        decoder = Decoder(n, 0.6 * torch.randn(d, pixels, generator=generator), -0.2)
        try:
            answer, codes = images_and_codes(student, decoder)
            images = numbers(answer, "your images", (n, pixels))
            if n > 1:
                expect_gaussian(codes, torch.zeros(d), torch.ones(d), {})
        except Mistake as stopped:
            raise Mistake(f"{OTHER_SIZE} On that input, {stopped}") from None
        expect(agrees(images, decoder.logits(codes).sigmoid()), OTHER_SIZE)


def nll_reference(log_px_z: Tensor, log_pz: Tensor, log_qz: Tensor) -> Tensor:
    """Return the correct NLL in nats: −log of the mean importance weight, averaged over images."""
    log_w = log_px_z + log_pz - log_qz  # (k, N)
    return math.log(len(log_w)) - log_w.logsumexp(0).mean()


def nll_mistakes(log_px_z: Tensor, log_pz: Tensor, log_qz: Tensor) -> dict[str, Tensor]:
    """Return the result of each typical mistake, keyed by a sentence that describes the mistake."""
    logs = log_px_z, log_pz, log_qz
    return wrong_means(*logs) | wrong_weights(*logs) | other_units(nll_reference(*logs))


def wrong_means(px: Tensor, pz: Tensor, qz: Tensor) -> dict[str, Tensor]:
    """Return the results obtained by incorrectly averaging over the draws or the images."""
    log_w = px + pz - qz  # (k, N)
    (k, n), log_k = log_w.shape, math.log(len(log_w))
    total = log_w.logsumexp(0)  # (N,)
    right = log_k - total.mean()
    return {
        "the mean of the logs is taken, which gives the ELBO. Take the log of the mean weight.": (
            -log_w.mean()
        ),
        (
            "the mean of the logs is taken, and the sign is flipped. Return minus the log of the "
            "mean weight."
        ): log_w.mean(),
        "log k is missing. The mean of k weights is their sum divided by k.": right - log_k,
        "the sign of log k is flipped. Minus the log of (sum / k) is log k − logsumexp.": (
            right - 2 * log_k
        ),
        "the result is divided by k after the logarithm. Subtract log k.": -(total / k).mean(),
        "log N is used in place of log k. The mean is over the k draws.": (
            right - log_k + math.log(n)
        ),
        (
            "the average over images is inside the logarithm. Take the logarithm for each image "
            "first."
        ): -log_w.exp().mean().log(),
        "the average over images is inside the logarithm, and log k is missing.": (
            -log_w.logsumexp((0, 1))
        ),
        "the result is reduced over the images (axis 1). The k draws are along axis 0.": (
            nll_reference(px.T, pz.T, qz.T)
        ),
        "only the largest weight counts. Use `logsumexp` to add all weights.": (
            -log_w.amax(0).mean()
        ),
        "only the largest weight, divided by k, counts. Use `logsumexp` to add all weights.": (
            log_k - log_w.amax(0).mean()
        ),
        "the sign is flipped. The result bounds log P(x), but the NLL is minus that.": -right,
        "the result is summed over the images. Average over the images.": n * right,
        "the average over images is missing. Return one number.": log_k - total,
        "the average over images is missing, and the sign is flipped.": total - log_k,
        "the logarithm is missing. The result is minus the mean weight.": (
            -(total - log_k).exp().mean()
        ),
        "the logarithm is missing. The result is the mean weight.": (total - log_k).exp().mean(),
    }


def wrong_weights(px: Tensor, pz: Tensor, qz: Tensor) -> dict[str, Tensor]:
    """Return the results obtained with wrong weights, a weighted mean, or mixed units."""
    log_w = px + pz - qz  # (k, N)
    k, log_k = len(log_w), math.log(len(log_w))
    right, zero = nll_reference(px, pz, qz), 0 * px
    return {
        "the sign of the prior is flipped. Add log_pz.": nll_reference(px, -pz, qz),
        "the sign of q is flipped. Subtract log_qz.": nll_reference(px, pz, -qz),
        "q is missing. The samples z were drawn from q, so divide by q.": (
            nll_reference(px, pz, zero)
        ),
        "the prior is missing. Add log_pz.": nll_reference(px, zero, qz),
        "the prior and q are swapped. Add log_pz and subtract log_qz.": nll_reference(px, qz, pz),
        "the prior and q are both missing. The weight is P(x|z) P(z) / q(z|x).": (
            nll_reference(px, zero, zero)
        ),
        "P(x|z) is missing. The weight is P(x|z) P(z) / q(z|x).": nll_reference(zero, pz, qz),
        "the sign of log P(x|z) is flipped. Add log P(x|z).": nll_reference(-px, pz, qz),
        "the weight is inverted. It must be P(x|z) P(z) / q(z|x).": nll_reference(-px, -pz, -qz),
        "a weighted mean of the logs is taken. Take the log of the mean weight.": (
            -(log_w.softmax(0) * log_w).sum(0).mean()
        ),
        "log k is in bits, and the rest is in nats. Use the natural logarithm.": (
            right - log_k + math.log2(k)
        ),
        "log k is to base 10, and the rest is in nats. Use the natural logarithm.": (
            right - log_k + math.log10(k)
        ),
    }


def draw_logs(generator: Generator, k: int, n: int) -> dict[str, Tensor]:
    """Draw moderate values of log P(x|z), log P(z) and log q(z|x), each of shape (k, N).

    Numerical stability is tested on other inputs.
    """
    log_px_z, log_pz, log_qz = 3 * torch.rand(3, k, n, generator=generator) - 3
    return {"log_px_z": log_px_z - 1, "log_pz": log_pz, "log_qz": log_qz}


@exercise
def nll_bound(student: Student) -> None:
    """The result is minus the log of the mean weight P(x|z) P(z) / q(z|x) in nats,
    averaged over images.
    """
    inputs = {  # (k, N) each
        "log_px_z": tensor([[-2, -3.5], [-1.2, -4], [-2.8, -3.1]]),
        "log_pz": tensor([[-1, -0.8], [-1.7, -1.1], [-0.6, -2]]),
        "log_qz": tensor([[-0.4, -0.9], [-0.7, 0.3], [-1.5, -0.2]]),
    }
    Table.of(inputs, nll_reference, nll_mistakes, differentiable=True).ask(student)
    other_inputs(student, nll_reference, draw_logs, (3, 2), (4, 6), nll_mistakes)

    def as_likelihood(log_w: Tensor) -> dict[str, Tensor]:
        zero = torch.zeros_like(log_w)
        return {"log_px_z": log_w, "log_pz": zero, "log_qz": zero}

    extreme_weights(student, as_likelihood, nll_reference)
    gradients(student, nll_reference, inputs, inputs)


def paired_reference(nll_a: Tensor, nll_b: Tensor) -> Tensor:
    """Return the correct standard error of the mean difference nll_a − nll_b over the images."""
    difference = nll_a - nll_b  # (N,)
    return difference.std() / math.sqrt(len(difference))


def paired_mistakes(nll_a: Tensor, nll_b: Tensor) -> dict[str, Tensor]:
    """Return the result of each typical mistake, keyed by a sentence that describes the mistake."""
    difference, n = nll_a - nll_b, len(nll_a)
    unpaired = ((nll_a.var() + nll_b.var()) / n).sqrt()
    square = difference.square().sum()
    uncentred = (
        "the mean difference is not subtracted before squaring. Use the standard deviation of the "
        "differences."
    )
    interval = "Return the standard error itself, not the half-width of a 95 % interval."
    return {
        "the two models are treated as independent. Take the difference for each image first.": (
            unpaired
        ),
        "the two standard errors are added. Take the difference for each image first.": (
            (nll_a.std() + nll_b.std()) / math.sqrt(n)
        ),
        "the result is the standard deviation of one image. Divide by √N for the standard error.": (
            difference.std()
        ),
        "the result is a variance. Take its square root.": difference.var() / n,
        "the variance is divided by N. The mean is also estimated, so divide by N − 1.": (
            difference.std(correction=0) / math.sqrt(n)
        ),
        "the result is divided by N. The standard error of a mean of N images shrinks with √N.": (
            difference.std() / n
        ),
        (
            "the standard deviation is divided by √(N − 1), but `std` already contains this "
            "correction. Divide by √N."
        ): difference.std() / math.sqrt(n - 1),
        uncentred: (square / n).sqrt() / math.sqrt(n),
        f"{uncentred} Dividing by N − 1 does not replace this step.": (square / (n - 1) / n).sqrt(),
        f"the standard error is multiplied by 1.96. {interval}": (
            1.96 * paired_reference(nll_a, nll_b)
        ),
        f"the standard error is doubled. {interval}": 2 * paired_reference(nll_a, nll_b),
        "the sign of the differences is lost. Do not take absolute values.": (
            difference.abs().std() / math.sqrt(n)
        ),
        "the result is the mean difference, not its standard error.": difference.mean(),
    } | errors_of_single_models(nll_a, nll_b)


def errors_of_single_models(nll_a: Tensor, nll_b: Tensor) -> dict[str, Tensor]:
    """Return the results obtained from the standard errors of the two models,
    each error alone and their difference.
    """
    error_a, error_b = (nll.std() / math.sqrt(len(nll)) for nll in (nll_a, nll_b))
    first = "Take the difference for each image first."
    return {
        f"the standard error of nll_b is subtracted from that of nll_a. {first}": error_a - error_b,
        f"the standard error of nll_a is subtracted from that of nll_b. {first}": error_b - error_a,
        f"the result is the standard error of nll_a alone. {first}": error_a,
        f"the result is the standard error of nll_b alone. {first}": error_b,
    }


def draw_pairs(generator: Generator, n: int) -> dict[str, Tensor]:
    """Draw random NLLs of two models on n images.

    Both models find the same images hard, and each model is better on at least one image.
    """
    hard = 90 + 25 * torch.rand(n, generator=generator)
    apart = 1 + 4 * torch.rand(n, generator=generator)
    apart[0] = -apart[0]
    return {"nll_a": hard, "nll_b": hard - apart}


@exercise
def paired_error(student: Student) -> None:
    """The standard error of a mean difference is computed from the per-image differences."""
    inputs = {
        # five images, because with four the standard deviation would be twice the standard error
        "nll_a": tensor([92.0, 110.5, 78.3, 101.2, 86.4]),
        "nll_b": tensor([90.1, 109.9, 81.0, 100.4, 85.1]),  # B is worse on only one image
    }
    laws = {"a standard error is never negative.": lambda error: error >= 0}
    Table.of(inputs, paired_reference, paired_mistakes, laws=laws).ask(student)
    other_inputs(student, paired_reference, draw_pairs, (5,), (9,), paired_mistakes)
    expect_stable_variance(student)


def expect_stable_variance(student: Student) -> None:
    """Raise Mistake if the result is wrong when the mean difference is much larger than its spread.

    In single precision, E[d²] − E[d]² is wrong there. All differences are computed exactly.
    """
    nll_a = tensor([92.0, 110.5, 78.25, 101.125, 86.5])
    nll_b = nll_a - tensor([1001.25, 999.5, 1000.75, 998.875, 1002.375])
    why = (
        "The mean difference is about 1000 here, and the spread is about 1, so E[d²] − E[d]² is "
        "lost to rounding. Subtract the mean before squaring, or use `std`."
    )
    Table(
        {"nll_a": nll_a, "nll_b": nll_b},
        paired_reference(nll_a, nll_b),
        otherwise=f"a value is wrong. {why}",
        not_finite=why,
    ).ask(student)


def second_draw_reference(d: Tensor) -> Tensor:
    """Return the correct gain in the bound from a second draw, log cosh(d/2), in nats."""
    return (d / 2).cosh().log()


def second_draw_mistakes(d: Tensor) -> dict[str, Tensor]:
    """Return the result of each typical mistake, keyed by a sentence that describes the mistake."""
    right, two = second_draw_reference(d), math.log(2)
    return {
        "log 2 is missing. The bound with k = 2 contains the mean of the weights, not their sum.": (
            right + two
        ),
        "log 2 is subtracted twice. The mean of two weights is half of their sum.": right - two,
        "the result is d²/8, which is close to the gain only for small d. Return the exact gain.": (
            d**2 / 8
        ),
        "the sign is flipped. Subtract the average for k = 1 from the bound with k = 2.": -right,
        "d is not halved. Half of d is the distance of a from (a + b)/2.": d.cosh().log(),
        "the logarithm is missing. The bounds are logarithms.": (d / 2).cosh(),
        "the average (a + b)/2 is not subtracted, only b.": softplus(d) - two,
        "the average (a + b)/2 is not subtracted, only a.": softplus(-d) - two,
        "the average (a + b)/2 is not subtracted, only b, and log 2 is missing.": softplus(d),
    } | other_units(right)


def draw_differences(generator: Generator, n: int) -> dict[str, Tensor]:
    """Draw moderate differences d of either sign, of shape (N,)."""
    return {"d": 6 * torch.rand(n, generator=generator) - 3}


@exercise
def second_draw(student: Student) -> None:
    """The gain from a second draw is right for every d that was tried."""
    inputs = {"d": tensor([-3.2, 0.5, 5.0])}
    laws = {"the gain is never negative.": lambda gain: gain >= 0}
    Table.of(inputs, second_draw_reference, second_draw_mistakes, laws=laws).ask(student)
    other_inputs(student, second_draw_reference, draw_differences, (3,), (7,), second_draw_mistakes)
