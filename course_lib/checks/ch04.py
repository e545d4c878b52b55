"""Checks for chapter 04: log P(x|z) of black and white pixels, new images, the bound on the NLL."""

import torch
from torch import Tensor, tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid, softplus

from course_lib.checks.report import Student, Table, call, exercise, expect, expect_gaussian, numbers


@exercise
def log_bernoulli(student: Student) -> None:
    """logits and x (N, D) give log P(x|z) (N,) in nats: summed over pixels, for any logit."""
    a, x = tensor([[0.7, -1.1, 2.2], [-0.4, 1.3, -2.6]]), tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    p, each = a.sigmoid(), -binary_cross_entropy_with_logits(a, x, reduction="none")  # (N, D)
    right = each.sum(1)
    mistakes = {
        "averaged over pixels (784 times too small for MNIST): sum over them.": each.mean(1),
        "the sigmoid is applied twice: `..._with_logits` does it already.": (x * p - softplus(p)).sum(1),
        "the sign is turned: the logarithm of a probability is never positive.": -right,
        "the arguments are swapped: the logits come first, then x.": (a * x - softplus(x)).sum(1),
        "only pixels with x = 1 count: (1 − x) · log(1 − p) is missing.": (x * each).sum(1),
        "black and white are swapped: log p goes with x = 1.": logsigmoid((1 - 2 * x) * a).sum(1),
        "summed over the batch too: one number per image is wanted.": each.sum(),
        "these are bits: use the natural logarithm, `torch.log`.": right / tensor(2.0).log(),
        "a logit is no probability, its logarithm is NaN: take the sigmoid first.": right * torch.nan,
    }
    laws = {"the logarithm of a probability is never positive.": lambda log_p: log_p <= 0}
    Table({"logits": a, "x": x}, right, mistakes, laws).ask(student)
    far = {"logits": tensor([[200.0, -200.0, 150.0]]), "x": tensor([[0.0, 1.0, 1.0]])}
    clamp = {"`binary_cross_entropy` cuts off at 100 nats a pixel: use `..._with_logits`.": tensor([-200.0])}
    why = "The sigmoid of a large logit rounds to 0 or 1, whose log is −∞: work with the logits."
    Table(far, tensor([-400.0]), clamp, {why: lambda log_p: log_p < -390}, why).ask(student)


@exercise
def generate(student: Student) -> None:
    """z (n, d) drawn from the prior N(0, I) is decoded to logits, and their sigmoid is the image."""
    n, weight, seen = 20_000, tensor([[1.1, -0.6, 0.3, 0.9], [0.4, 0.8, -1.2, 0.2]]), []

    def decode(z: Tensor) -> Tensor:
        seen.append(numbers(z, "the z that you decode", (n, 2)).float())
        return seen[-1] @ weight + 0.3  # (n, D)

    images = [call(student, decode, n, 2) for _ in range(2)]
    expect(len(seen) == 2, "`decode` must be called once: decode(z) turns all n codes into logits.")
    expect(seen[0].any(), "z is 0, so nothing is drawn: z comes from the prior N(0, I).")
    expect(not torch.equal(*seen), "a second call draws the same z: is a seed set inside your function?")
    expect_gaussian(seen[0], torch.zeros(2), torch.ones(2), {})
    pixels = (logits := seen[0] @ weight + 0.3).sigmoid()  # (n, D)
    mistakes = {
        "the sigmoid is forgotten: these are logits, and pixels lie in [0, 1].": logits,
        "the sigmoid is applied twice: all pixels lie between ½ and 0.73.": pixels.sigmoid(),
        "clamped to [0, 1]: take the sigmoid.": logits.clamp(0, 1),
        "a threshold: return each pixel's mean, the sigmoid of its logit.": pixels.round(),
    }
    laws = {"these are draws of 0 and 1: return each pixel's mean.": lambda x: (x != 0) & (x != 1)}
    Table({}, pixels, mistakes, laws).judge(images[0], "your images")


@exercise
def nll_bound(student: Student) -> None:
    """minus the log of the mean of k weights P(x|z) P(z) / q(z|x), averaged over images, in nats."""
    px, pz = tensor([[-2, -3.5], [-1.2, -4], [-2.8, -3.1]]), tensor([[-1, -0.8], [-1.7, -1.1], [-0.6, -2]])
    qz = tensor([[-0.4, -0.9], [-0.7, 0.3], [-1.5, -0.2]])  # (k, N), as are px and pz
    log_w, log_k = px + pz - qz, tensor(3.0).log()
    right = log_k - log_w.logsumexp(0).mean()
    mistakes = {
        "a mean of logs: this is the ELBO's, take the log of the mean weight.": -log_w.mean(),
        "log k is forgotten: a mean of k weights is their sum divided by k.": right - log_k,
        "averaged over images inside the logarithm: each has its own.": -log_w.exp().mean().log(),
        "reduced over the images (axis 1): the k draws are axis 0.": -log_w.exp().mean(1).log().mean(),
        "the sign is turned: this bounds log P(x), the NLL is minus that.": -right,
        "summed over the images: average over them.": 2 * right,
        "the average over images is missing: one number is wanted.": log_k - log_w.logsumexp(0),
    }
    weights = {
        "the prior's sign is turned: add log_pz.": px - pz - qz,
        "q's sign is turned: subtract log_qz.": px + pz + qz,
        "q is forgotten: z was drawn from q, so divide by it.": px + pz,
        "the prior is forgotten: add log_pz.": px - qz,
    }
    mistakes |= {says: log_k - wrong.logsumexp(0).mean() for says, wrong in weights.items()}
    Table({"log_px_z": px, "log_pz": pz, "log_qz": qz}, right, mistakes).ask(student)
    zero, why = torch.zeros(3, 2), "exp of −1000 is 0, of 900 infinity: use `logsumexp`."
    far = {"log_px_z": zero + tensor([-1000.0, 900.0]), "log_pz": zero, "log_qz": zero}
    Table(far, tensor(50.0), {}, {why: lambda nll: (nll - 50).abs() < 1}, why).ask(student)
