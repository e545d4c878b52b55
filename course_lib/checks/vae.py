"""Checks of the two chapters on VAEs for digits: log P(x|z), new images, the NLL, and how sure it is."""

import math

import torch
from torch import Generator, Tensor, tensor

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
    """The right answer: log P(x | z) of each image in nats, from logits and x (N, D): (N,)."""
    return -pixel_nats(logits, x).sum(1)  # (N,)


def bernoulli_mistakes(logits: Tensor, x: Tensor) -> dict[str, Tensor]:
    """What each typical mistake returns, by the sentence that names it."""
    each, p = -pixel_nats(logits, x), logits.sigmoid()  # (N, D)
    right = each.sum(1)
    wrong = {}
    wrong["averaged over pixels (784 times too small for MNIST): sum over them."] = each.mean(1)
    wrong["the sigmoid is applied twice: `..._with_logits` does it already."] = bernoulli_reference(p, x)
    wrong["the sigmoid is missing: the logits are taken as logarithms of probabilities."] = (x * logits).sum(
        1
    )
    wrong["the sign is flipped: the logarithm of a probability is never positive."] = -right
    wrong["the arguments are swapped: the logits come first, then x."] = bernoulli_reference(x, logits)
    wrong["only pixels with x = 1 count: (1 − x) · log(1 − p) is missing."] = (x * each).sum(1)
    wrong["only pixels with x = 0 count: x · log p is missing."] = ((1 - x) * each).sum(1)
    wrong["black and white are swapped: log p goes with x = 1."] = bernoulli_reference(logits, 1 - x)
    wrong["summed over the batch too: one number per image is wanted."] = each.sum()
    wrong["averaged over the batch too: one number per image is wanted."] = right.mean()
    wrong["averaged over all pixels of all images: one sum per image is wanted."] = each.mean()
    wrong["summed over the images: sum over the pixels, axis 1."] = each.sum(0)
    wrong["one number per pixel: sum over the pixels of each image."] = each
    wrong["one number per pixel, and the sign is flipped."] = -each
    wrong["the logarithm is missing: this is the probability of the image."] = right.exp()
    wrong["the logarithm is missing: this is a sum of the pixels' probabilities."] = each.exp().sum(1)
    wrong["this is the squared error, not a log-probability."] = (p - x).square().sum(1)
    wrong["this is minus the squared error, not a log-probability."] = -(p - x).square().sum(1)
    wrong["this is minus half the squared error, a Gaussian's log-probability."] = (
        -(p - x).square().sum(1) / 2
    )
    wrong["a logit is not a probability: its logarithm is NaN. Take the sigmoid first."] = right * torch.nan
    return wrong | other_units(right)


def draw_pixels(generator: Generator, n: int, d: int) -> dict[str, Tensor]:
    """Logits and x, zeros and ones, (N, D)."""
    inputs = draw_logits(generator, n, d)
    return {"logits": inputs["logits"], "x": inputs["targets"]}


@exercise
def log_bernoulli(student: Student) -> None:
    """logits and x (N, D) give log P(x|z) (N,) in nats: summed over pixels, for any logit."""
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
    """A decoder z (..., d) to logits (..., D) that takes one code, some rows or all, also inside vmap."""

    def __init__(self, n: int, weight: Tensor, bias: float) -> None:
        self.n, self.weight, self.bias = n, weight, bias
        self.seen: list[Tensor] = []

    def __call__(self, z: object) -> Tensor:
        d = self.weight.shape[0]
        if not isinstance(z, Tensor) or z.is_complex():
            raise Mistake(f"the z that you decode: a {type(z).__name__}, but a torch tensor is wanted.")
        fits = z.ndim > 0 and z.shape[-1] == d
        expect(fits, f"the z that you decode: shape {tuple(z.shape)}, expected ({self.n}, {d}).")
        expect(
            z.is_floating_point(), f"the z that you decode: dtype {z.dtype}, but a floating type is wanted."
        )
        self.seen.append(z.detach())
        return self.logits(z)

    def logits(self, z: Tensor) -> Tensor:
        """One logit a pixel for codes z (..., d): (..., D)."""
        return z.to(self.weight.dtype) @ self.weight + self.bias

    def codes_seen(self) -> Tensor | None:
        """The codes (n, d) as they came, in one call or in many; None if it is not n of them."""
        if sum(z.shape[:-1].numel() for z in self.seen) != self.n:
            return None
        try:
            return torch.cat([z.reshape(-1, len(self.weight)).to(self.weight.dtype) for z in self.seen])
        except RuntimeError:  # a code that was seen inside vmap cannot be read afterwards
            return None

    def codes_of(self, images: Tensor) -> Tensor | None:
        """The codes (n, d) of images (n, D), as a linear decoder can be turned round; None if none fit."""
        # with the sigmoid, without it, and with two: which of the three it is will be said later
        for logits in (images.logit(), images, images.logit().logit()):
            z = (logits - self.bias) @ torch.linalg.pinv(self.weight)  # (n, d)
            if (self.logits(z) - logits).abs().max() < 1e-2:
                return z
        return None


def images_and_codes(student: Student, decoder: Decoder) -> tuple[object, Tensor]:
    """What the student's function returns, and the codes (n, d) that it has decoded."""
    d, pixels = decoder.weight.shape
    decoder.seen = []
    answer = call(student, decoder, decoder.n, d)
    expect(decoder.seen, "`decode` must be called: decode(z) turns codes into logits.")
    codes = decoder.codes_seen()
    if codes is not None:
        return answer, codes
    images = numbers(answer, "your images", (decoder.n, pixels)).to(decoder.weight.dtype)
    is_binary = ((images == 0) | (images == 1)).all()
    expect(not is_binary, "these are draws of 0 and 1, or a threshold: return each pixel's mean.")
    codes = decoder.codes_of(images)
    if codes is None:
        raise Mistake("your images are not the sigmoid of what `decode` gives.")
    return answer, codes


def pixel_mistakes(logits: Tensor) -> dict[str, Tensor]:
    """What typical mistakes make of the decoder's logits (n, D)."""
    pixels = logits.sigmoid()
    low, high = logits.min(), logits.max()
    wrong = {}
    wrong["the sigmoid is forgotten: these are logits, and pixels lie in [0, 1]."] = logits
    wrong["the sigmoid is applied twice: all pixels lie between ½ and 0.73."] = pixels.sigmoid()
    wrong["clamped to [0, 1]: take the sigmoid."] = logits.clamp(0, 1)
    wrong["scaled to [0, 1] by the smallest and the largest logit: take the sigmoid."] = (logits - low) / (
        high - low
    )
    wrong["a threshold: return each pixel's mean, the sigmoid of its logit."] = pixels.round()
    wrong["black and white are swapped: return the sigmoid of +logit."] = 1 - pixels
    wrong["a softmax over the pixels: each pixel has its own sigmoid."] = logits.softmax(1)
    wrong["the exponential of the logits is odds, p / (1 − p): take the sigmoid."] = logits.exp()
    wrong["the tanh of the logits lies in [−1, 1]: take the sigmoid."] = logits.tanh()
    wrong["(1 + tanh) / 2 of the logits is the sigmoid of twice the logits."] = (2 * logits).sigmoid()
    wrong["the logarithm of the pixels: return the sigmoid itself."] = pixels.log()
    return wrong


@exercise
def generate(student: Student) -> None:
    """z (n, d) drawn from the prior N(0, I) is decoded to logits, and their sigmoid is the image."""
    decoder = Decoder(4000, tensor([[1.1, -0.6, 0.3, 0.9], [0.4, 0.8, -1.2, 0.2]]), 0.3)
    answer, codes = images_and_codes(student, decoder)
    _, codes_again = images_and_codes(student, decoder)
    expect(codes.any(), "z is 0, so nothing is drawn: z comes from the prior N(0, I).")
    repeated = torch.equal(codes, codes_again)
    expect(
        not repeated,
        "a second call draws the same z: is a seed set inside your function, or is z not random?",
    )
    expect_gaussian(codes, torch.zeros(2), torch.ones(2), {})
    logits = decoder.logits(codes)
    laws = {"these are draws of 0 and 1: return each pixel's mean.": lambda x: (x != 0) & (x != 1)}
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
            raise Mistake(f"{OTHER_SIZE} There {stopped}") from None
        expect(agrees(images, decoder.logits(codes).sigmoid()), OTHER_SIZE)


def nll_reference(log_px_z: Tensor, log_pz: Tensor, log_qz: Tensor) -> Tensor:
    """The right answer: −log of the mean importance weight, averaged over images, in nats: ()."""
    log_w = log_px_z + log_pz - log_qz  # (k, N)
    return math.log(len(log_w)) - log_w.logsumexp(0).mean()


def nll_mistakes(log_px_z: Tensor, log_pz: Tensor, log_qz: Tensor) -> dict[str, Tensor]:
    """What each typical mistake returns, by the sentence that names it."""
    px, pz, qz = log_px_z, log_pz, log_qz
    log_w = px + pz - qz  # (k, N)
    (k, n), log_k = log_w.shape, math.log(len(log_w))
    total = log_w.logsumexp(0)  # (N,)
    right = log_k - total.mean()
    zero = 0 * px
    wrong = {}
    wrong["a mean of logs, which gives the ELBO: take the log of the mean weight."] = -log_w.mean()
    wrong["a mean of logs, and the sign is flipped: take the log of the mean weight, then minus."] = (
        log_w.mean()
    )
    wrong["log k is forgotten: a mean of k weights is their sum divided by k."] = right - log_k
    wrong["log k has the wrong sign: −log of a sum / k is log k − logsumexp."] = right - 2 * log_k
    wrong["divided by k after the logarithm: subtract log k."] = -(total / k).mean()
    wrong["log N is taken in place of log k: the mean is over the k draws."] = right - log_k + math.log(n)
    wrong["averaged over images inside the logarithm: each image has its own."] = -log_w.exp().mean().log()
    wrong["averaged over images inside the logarithm, and log k is forgotten."] = -log_w.logsumexp((0, 1))
    wrong["reduced over the images (axis 1): the k draws are axis 0."] = nll_reference(px.T, pz.T, qz.T)
    wrong["this is the largest weight only: `logsumexp` adds them all."] = -log_w.amax(0).mean()
    wrong["this is the largest weight divided by k: `logsumexp` adds them all."] = (
        log_k - log_w.amax(0).mean()
    )
    wrong["the sign is flipped: this bounds log P(x), the NLL is minus that."] = -right
    wrong["summed over the images: average over them."] = n * right
    wrong["the average over images is missing: one number is wanted."] = log_k - total
    wrong["the average over images is missing, and the sign is flipped."] = total - log_k
    wrong["the logarithm is missing: this is minus the mean weight."] = -(total - log_k).exp().mean()
    wrong["the logarithm is missing: this is the mean weight."] = (total - log_k).exp().mean()
    wrong["the prior's sign is flipped: add log_pz."] = nll_reference(px, -pz, qz)
    wrong["q's sign is flipped: subtract log_qz."] = nll_reference(px, pz, -qz)
    wrong["q is forgotten: z was drawn from q, so divide by it."] = nll_reference(px, pz, zero)
    wrong["the prior is forgotten: add log_pz."] = nll_reference(px, zero, qz)
    wrong["prior and q are swapped: add log_pz, subtract log_qz."] = nll_reference(px, qz, pz)
    wrong["prior and q are both forgotten: the weight is P(x|z) P(z) / q(z|x)."] = nll_reference(
        px, zero, zero
    )
    wrong["P(x|z) is forgotten: the weight is P(x|z) P(z) / q(z|x)."] = nll_reference(zero, pz, qz)
    wrong["the sign of log P(x|z) is flipped: add it."] = nll_reference(-px, pz, qz)
    wrong["the weight is upside down: it is P(x|z) P(z) / q(z|x)."] = nll_reference(-px, -pz, -qz)
    wrong["a weighted mean of the logs: take the log of the mean weight."] = (
        -(log_w.softmax(0) * log_w).sum(0).mean()
    )
    wrong["log k is in bits, the rest in nats: use the natural logarithm."] = right - log_k + math.log2(k)
    wrong["log k is to base 10, the rest in nats: use the natural logarithm."] = right - log_k + math.log10(k)
    return wrong | other_units(right)


def draw_logs(generator: Generator, k: int, n: int) -> dict[str, Tensor]:
    """Three logarithms (k, N) with plain exponentials: stability is another input's matter."""
    log_px_z, log_pz, log_qz = 3 * torch.rand(3, k, n, generator=generator) - 3
    return {"log_px_z": log_px_z - 1, "log_pz": log_pz, "log_qz": log_qz}


@exercise
def nll_bound(student: Student) -> None:
    """minus the log of the mean of k weights P(x|z) P(z) / q(z|x), averaged over images, in nats."""
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
    """The right answer: the standard error of the mean of nll_a − nll_b, over the images (N,): ()."""
    difference = nll_a - nll_b  # (N,)
    return difference.std() / math.sqrt(len(difference))


def paired_mistakes(nll_a: Tensor, nll_b: Tensor) -> dict[str, Tensor]:
    """What each typical mistake returns, by the sentence that names it."""
    difference, n = nll_a - nll_b, len(nll_a)
    unpaired = ((nll_a.var() + nll_b.var()) / n).sqrt()
    wrong = {}
    wrong["the two models are treated as independent: take the difference for each image first."] = unpaired
    wrong["the two standard errors are added: take the difference for each image first."] = (
        nll_a.std() + nll_b.std()
    ) / math.sqrt(n)
    wrong["this is the standard deviation of one image: divide by √N for that of a mean."] = difference.std()
    wrong["this is a variance: take its root."] = difference.var() / n
    wrong["the variance is divided by N: the mean is estimated too, so divide by N − 1."] = difference.std(
        correction=0
    ) / math.sqrt(n)
    wrong["divided by N: the standard error of a mean of N images shrinks with √N."] = difference.std() / n
    wrong["the sign of the differences is lost: take no absolute value."] = (
        difference.abs().std() / math.sqrt(n)
    )
    wrong["this is the mean difference, not its standard error."] = difference.mean()
    return wrong


def draw_pairs(generator: Generator, n: int) -> dict[str, Tensor]:
    """NLLs (N,) of two models that agree on which images are hard. Each is better on some of them."""
    hard = 90 + 25 * torch.rand(n, generator=generator)
    apart = 1 + 4 * torch.rand(n, generator=generator)
    apart[0] = -apart[0]
    return {"nll_a": hard, "nll_b": hard - apart}


@exercise
def paired_error(student: Student) -> None:
    """the standard error of a mean difference, from the differences of the images themselves."""
    inputs = {
        "nll_a": tensor([92.0, 110.5, 78.3, 101.2]),
        "nll_b": tensor([90.1, 109.9, 81.0, 100.4]),  # B is worse on one image only
    }
    laws = {"a standard error is never negative.": lambda error: error >= 0}
    Table.of(inputs, paired_reference, paired_mistakes, laws=laws).ask(student)
    other_inputs(student, paired_reference, draw_pairs, (4,), (9,), paired_mistakes)
