"""Checks for “The evidence lower bound”: the closed-form KL, the bound, the importance-weighted bound."""

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Generator, Tensor, tensor
from torch.distributions import Categorical

from course_lib.checks.report import (
    Inputs,
    Reference,
    Student,
    Table,
    agrees,
    call,
    exercise,
    expect,
    gradients,
    other_inputs,
    other_units,
    weighted_gradients,
)


def kl_reference(mu: Tensor, logvar: Tensor) -> Tensor:
    """The right answer in closed form, in nats: (N,). Kingma & Welling 2014, appendix B."""
    return 0.5 * (logvar.exp() + mu**2 - 1 - logvar).sum(1)  # (N,)


def kl_mistakes(mu: Tensor, logvar: Tensor) -> dict[str, Tensor]:
    """What each typical mistake returns, by the sentence that names it."""
    square, var = mu**2, logvar.exp()  # (N, D)
    each = (var + square - 1 - logvar) / 2  # (N, D)
    turned_round = (logvar + (1 + square) / var - 1) / 2
    right = each.sum(1)
    wrong = {}
    wrong["the sign is flipped: a KL is never negative."] = -right
    wrong["the factor ½ is missing. This is the lecture's T, twice the KL."] = 2 * right
    wrong["halved twice: the KL has one factor ½."] = right / 2
    wrong["averaged over dimensions: sum over them."] = each.mean(1)
    wrong["summed over the rows too: one number per row is wanted."] = each.sum()
    wrong["averaged over the rows: one number per row is wanted."] = right.mean()
    wrong["averaged over rows and dimensions: sum over the dimensions of each row."] = each.mean()
    wrong["one number per dimension: sum over the dimensions of each row."] = each
    wrong["summed over the rows: sum over the dimensions, axis 1."] = each.sum(0)
    wrong["logvar is read as log-std: the variance is exp(logvar)."] = (var**2 + square - 1 - 2 * logvar).sum(
        1
    ) / 2
    wrong["exp(2 · logvar) beside −logvar: both must mean the variance, exp(logvar)."] = (
        var**2 + square - 1 - logvar
    ).sum(1) / 2
    wrong["the std stands for the variance: it is exp(logvar), not exp(logvar / 2)."] = (
        var.sqrt() + square - 1 - logvar
    ).sum(1) / 2
    wrong["logvar is halved: log σ² is logvar itself."] = (var + square - 1 - logvar / 2).sum(1) / 2
    wrong["the direction is reversed, KL(p‖q) in place of KL(q‖p)."] = turned_round.sum(1)
    wrong["logvar is taken for the variance itself: take its exponential."] = (
        logvar + square - 1 - logvar.log()
    ).sum(1) / 2
    wrong["logvar stands where the variance belongs: take its exponential."] = (
        logvar + square - 1 - logvar
    ).sum(1) / 2
    wrong["mu is not squared."] = (var + mu - 1 - logvar).sum(1) / 2
    wrong["this is the absolute value of mu: square it."] = (var + mu.abs() - 1 - logvar).sum(1) / 2
    wrong["mu² is missing: a code far from 0 must cost something."] = (var - 1 - logvar).sum(1) / 2
    wrong["mu² is subtracted: add it."] = (var - square - 1 - logvar).sum(1) / 2
    wrong["−logvar is missing: without it noise 0 is the cheapest."] = (var + square - 1).sum(1) / 2
    wrong["the sign of logvar is flipped: subtract it."] = (var + square - 1 + logvar).sum(1) / 2
    wrong["the −1 is missing: KL must be 0 at mu = 0, logvar = 0."] = (var + square - logvar).sum(1) / 2
    wrong["the sign of the 1 is flipped: KL must be 0 at mu = 0, logvar = 0."] = (
        var + square + 1 - logvar
    ).sum(1) / 2
    wrong["the 1 is subtracted once per row, not per dimension."] = ((var + square - logvar).sum(1) - 1) / 2
    wrong["the variance is missing: exp(logvar) must be added."] = (square - 1 - logvar).sum(1) / 2
    wrong["the sign of the variance is flipped: add exp(logvar)."] = (-var + square - 1 - logvar).sum(1) / 2
    wrong["mu is not halved: the factor ½ goes with every term."] = (var + 2 * square - 1 - logvar).sum(1) / 2
    wrong["mu and logvar are swapped: mu comes first."] = (mu.exp() + logvar**2 - 1 - mu).sum(1) / 2
    wrong["the root of the KL: leave it out."] = right.sqrt()
    wrong["only log σ² is in bits: use the natural logarithm for it, too."] = (
        var + square - 1 - logvar / math.log(2)
    ).sum(1) / 2
    return wrong | other_units(right)


def draw_codes(generator: Generator, n: int, d: int) -> dict[str, Tensor]:
    """mu and logvar (N, D), away from 0."""
    mu = 0.5 + 1.5 * torch.rand(n, d, generator=generator)
    logvar = 0.3 + 1.2 * torch.rand(n, d, generator=generator)
    signs = 2 * torch.randint(0, 2, (2, n, d), generator=generator) - 1
    return {"mu": mu * signs[0], "logvar": logvar * signs[1]}


@exercise
def kl_to_standard_normal(student: Student) -> None:
    """mu and logvar (N, D) give KL(N(mu, exp(logvar)) ‖ N(0, I)), one number per row (N,), in nats."""
    inputs = {
        "mu": tensor([[1.0, -0.5, 0.3], [0.2, 2.0, -1.5]]),
        "logvar": tensor([[0.4, -1.0, 0.7], [-0.6, 0.3, 1.1]]),
    }
    laws = {"a KL is never negative.": lambda kl: kl >= 0}
    Table.of(inputs, kl_reference, kl_mistakes, laws=laws).ask(student)
    other_inputs(student, kl_reference, draw_codes, (2, 3), (5, 4), kl_mistakes)
    extreme_logvar(student, lambda logvar: inputs | {"logvar": logvar}, (2, 3), kl_reference)
    gradients(student, kl_reference, inputs, ["mu", "logvar"])


def extreme_logvar(
    student: Student, inputs: Callable[[Tensor], Inputs], shape: tuple[int, int], reference: Reference
) -> None:
    """Raise Mistake unless right for log-variances of ±60, where exp is 9e-27 and 1e26.

    inputs: gives the exercise's inputs with this logvar, of this shape (N, d).
    """
    small = "Is a small number added before the logarithm, or the variance clamped? log σ² is logvar itself."
    large = "Is logvar clamped, or does something overflow? exp(60) is an ordinary number."
    for value, why in ((-60.0, small), (60.0, large)):
        there = inputs(torch.full(shape, value))
        Table(
            there,
            reference(*there.values()),
            otherwise=f"a wrong value for logvar = {value:.0f}. {why}",
            not_finite=f"Here logvar is {value:.0f}. {why}",
            differentiable=True,
        ).ask(student)


def bound_reference(log_joint: Tensor, q: Tensor) -> Tensor:
    """The right answer: E_q[log P(x, z)] plus the entropy of q, in nats: (N,)."""
    return (q * log_joint - torch.xlogy(q, q)).sum(1)  # (N,)


def bound_mistakes(log_joint: Tensor, q: Tensor) -> dict[str, Tensor]:
    """What each typical mistake returns, by the sentence that names it."""
    log_q = q.log()
    terms, log_px = q * (log_joint - log_q), log_joint.logsumexp(1)  # (N, K), (N,)
    cross, entropy = (q * log_joint).sum(1), -(q * log_q).sum(1)  # (N,)
    right = terms.sum(1)
    wrong = {}
    wrong["the sign is flipped: log P(x, z) has a plus, log q a minus."] = -right
    wrong["−log q is forgotten: the entropy of q belongs to the bound."] = cross
    wrong["log P(x, z) is forgotten: this is the entropy of q alone."] = entropy
    wrong["the sign of log q is flipped: subtract it."] = cross - entropy
    wrong["this is log P(x) itself, whatever q is: average the logs under q."] = log_px
    wrong["this is the gap, log P(x) − L_b."] = log_px - right
    wrong["this is L_b − log P(x), minus the gap: do not normalize log_joint."] = right - log_px
    wrong["log of a sum in place of a sum of logs: average log P(x, z) under q."] = (
        (q * log_joint.exp()).sum(1).log()
    )
    wrong["q does not weight the terms: multiply each by q."] = (log_joint - log_q).sum(1)
    wrong["q does not weight log P(x, z): average it under q."] = log_joint.sum(1) + entropy
    wrong["q does not weight log q: average it under q."] = cross - log_q.sum(1)
    wrong["averaged over z: q is the weight already, so sum."] = terms.mean(1)
    wrong["summed over the rows too: one number per row is wanted."] = terms.sum()
    wrong["averaged over the rows: one number per row is wanted."] = right.mean()
    wrong["summed over the rows: z is axis 1."] = terms.sum(0)
    wrong["the sum over z is missing: one number per row is wanted."] = terms
    wrong["log P(x, z) is exponentiated: average the logarithms under q."] = (q * log_joint.exp()).sum(
        1
    ) + entropy
    wrong["q itself is subtracted: subtract its logarithm."] = (q * (log_joint - q)).sum(1)
    wrong["log P(x, z) is divided by log q: subtract the logarithms."] = (q * log_joint / log_q).sum(1)
    wrong["weighted by P(z|x), not by q: average under q."] = (
        log_joint.softmax(1) * (log_joint - log_q)
    ).sum(1)
    wrong["a softmax is taken of q: it is a distribution already."] = bound_reference(log_joint, q.softmax(1))
    wrong["the arguments are swapped: log_joint comes first."] = bound_reference(q, log_joint)
    wrong["log q is in bits, log P(x, z) in nats: use the natural logarithm."] = cross + entropy / math.log(2)
    wrong["log q is to base 10, log P(x, z) in nats: use the natural logarithm."] = (
        cross + entropy / math.log(10)
    )
    wrong["the entropy is halved."] = cross + entropy / 2
    return wrong | other_units(right)


def draw_joint(generator: Generator, n: int, k: int) -> dict[str, Tensor]:
    """log P(x, z) and q(z|x), (N, K)."""
    log_joint = -0.5 - 4 * torch.rand(n, k, generator=generator)
    q = torch.randn(n, k, generator=generator).softmax(1)
    return {"log_joint": log_joint, "q": q}


@exercise
def lower_bound(student: Student) -> None:
    """log P(x, z) and q, both (N, K), give L_b (N,) in nats, never above log P(x), also where q is 0."""
    log_joint = tensor([[-1.2, -2.5, -3.0], [-4.0, -0.9, -2.2]])
    q = tensor([[0.5, 0.2, 0.3], [0.1, 0.3, 0.6]])
    log_px = log_joint.logsumexp(1)
    laws = {"a lower bound cannot lie above log P(x).": lambda bound: bound <= log_px + 1e-6}
    inputs = {"log_joint": log_joint, "q": q}
    Table.of(inputs, bound_reference, bound_mistakes, laws=laws).ask(student)
    other_inputs(student, bound_reference, draw_joint, (2, 3), (4, 5), bound_mistakes)
    sure = tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]])
    Table(
        {"log_joint": log_joint, "q": sure},
        bound_reference(log_joint, sure),
        otherwise="a wrong value where q is 0. Terms with q = 0 add nothing; is q clamped?",
        not_finite="0 · log 0 counts as 0, but a computer says NaN: `torch.xlogy`, or `torch.where`.",
    ).ask(student)
    far = log_joint - 1000
    why = "exp(−1000) is 0: stay with log P(x, z), and do not exponentiate it."
    Table(
        {"log_joint": far, "q": q},
        bound_reference(far, q),
        otherwise=f"a wrong value for log P(x, z) near −1000. Is something clamped? {why}",
        not_finite=f"Here log P(x, z) is near −1000. {why}",
    ).ask(student)
    gradients(of_softmax(student), of_softmax(bound_reference), inputs, inputs)
    clamp_of_q(student)


def of_softmax(answer: Callable[..., Any]) -> Callable[..., Any]:
    """The bound with q normalized first, so that an answer may normalize it once more."""

    @wraps(answer)
    def bound(log_joint: Tensor, q: Tensor) -> object:
        return answer(log_joint, q / q.sum(1, keepdim=True))

    return bound


def clamp_of_q(student: Student) -> None:
    """Raise Mistake if a clamp of q, or a number added to it, changes the gradient where q is small.

    torch's own Categorical clamps at the precision of its dtype: an answer that uses it is right.
    """

    def slopes(answer: Student) -> Tensor:
        """The gradient with respect to q along distributions, (N, K)."""
        log_joint = tensor([[-1.2, -2.5, -3.0, -0.7, -1.9]])
        q = tensor([[1.0, 1e-30, 1e-12, 1e-8, 2e-7]]).requires_grad_()
        (slope,) = weighted_gradients(call(answer, log_joint, q), {"q": q}, ["q"])
        return slope - (q.detach() * slope).sum(1, keepdim=True)

    def with_entropy(log_joint: Tensor, q: Tensor) -> Tensor:
        return (q * log_joint).sum(1) + Categorical(q).entropy()

    def with_log_prob(log_joint: Tensor, q: Tensor) -> Tensor:
        log_q = Categorical(q).logits
        return (log_q.exp() * (log_joint - log_q)).sum(1)

    yours = slopes(student)
    good = slopes(bound_reference)
    for library in (with_entropy, with_log_prob):
        for dtype in (torch.float32, torch.float64):
            if agrees(yours, slopes(lambda a, q, f=library, t=dtype: f(a.to(t), q.to(t)))):
                return
    says = "the value is right, but not its gradient where q is tiny: is q clamped, or a small number added?"
    expect(agrees(yours, good), f"{says} `torch.xlogy(q, q)` needs neither.")


def weights_reference(log_w: Tensor) -> Tensor:
    """The right answer: the logarithm of the mean weight, in nats: (N,). Burda et al. 2016, (8)."""
    return log_w.logsumexp(0) - math.log(len(log_w))  # (N,)


def weights_mistakes(log_w: Tensor) -> dict[str, Tensor]:
    """What each typical mistake returns, by the sentence that names it."""
    k, n = log_w.shape
    total = log_w.logsumexp(0)  # (N,)
    right = weights_reference(log_w)
    wrong = {}
    wrong["a mean of logs in place of the log of a mean: this is the ordinary bound."] = log_w.mean(0)
    wrong["log k is forgotten: a mean of k weights is their sum divided by k."] = total
    wrong["log k is added: subtract it."] = total + math.log(k)
    wrong["divided by k after the logarithm: subtract log k."] = total / k
    wrong["k is subtracted: subtract log k."] = total - k
    wrong["divided by log k: subtract it."] = total / math.log(k)
    wrong["log N is subtracted: the mean is over the k samples, axis 0."] = total - math.log(n)
    wrong["the logs are summed: exponentiate, average, then take the logarithm."] = log_w.sum(0)
    wrong["this is the largest weight only: `logsumexp` adds them all."] = log_w.amax(0)
    wrong["this is the largest weight divided by k: `logsumexp` adds them all."] = log_w.amax(0) - math.log(k)
    wrong["the logarithm is missing: this is the mean weight."] = right.exp()
    wrong["the logarithm is missing: this is the sum of the weights."] = total.exp()
    wrong["the sign is flipped: this is minus the bound."] = -right
    wrong["reduced over the images (axis 1): the k samples are axis 0."] = weights_reference(log_w.T)
    wrong["reduced over the images (axis 1), and log k taken of axis 0."] = log_w.logsumexp(1) - math.log(k)
    wrong["averaged over the images too: one number per image is wanted."] = right.mean()
    wrong["summed over the images too: one number per image is wanted."] = right.sum()
    wrong["all samples of all images in one mean: one number per image is wanted."] = log_w.logsumexp(
        (0, 1)
    ) - math.log(k * n)
    wrong["a weighted mean of the logs: take the log of the mean weight."] = (log_w.softmax(0) * log_w).sum(0)
    wrong["these are the normalized weights' logarithms: add up before normalizing."] = log_w.log_softmax(0)
    wrong["the weights are squared."] = (2 * log_w).logsumexp(0) - math.log(k)
    wrong["log k is in bits, the rest in nats: use the natural logarithm."] = total - math.log2(k)
    wrong["log k is to base 10, the rest in nats: use the natural logarithm."] = total - math.log10(k)
    wrong["2 to the power of log w is taken: log w is in nats, so use `exp`."] = (
        log_w * math.log(2)
    ).logsumexp(0) - math.log(k)
    return wrong | other_units(right)


def draw_log_weights(generator: Generator, k: int, n: int) -> dict[str, Tensor]:
    """log w (k, N) with plain exponentials: stability is another input's matter."""
    return {"log_w": 6 * torch.rand(k, n, generator=generator) - 5}


@exercise
def importance_weighted_bound(student: Student) -> None:
    """log_w (k, N) gives the log of the mean weight (N,) in nats, safe for any size of log_w."""
    inputs = {"log_w": tensor([[-1.0, -4.0], [-2.5, -0.5], [0.3, -2.0]])}
    Table.of(inputs, weights_reference, weights_mistakes).ask(student)
    other_inputs(student, weights_reference, draw_log_weights, (3, 2), (4, 6), weights_mistakes)
    extreme_weights(student, lambda log_w: {"log_w": log_w}, weights_reference)
    gradients(student, weights_reference, inputs, ["log_w"])


def extreme_weights(student: Student, inputs: Callable[[Tensor], Inputs], reference: Reference) -> None:
    """Raise Mistake unless right for log-weights of −5000 and 3000, alone and side by side.

    inputs: gives the exercise's inputs with these log-weights (k, N).
    """
    clamped = "Is a small number added, or something clamped? `logsumexp` needs neither."
    own = "subtract the image's own largest first, as `logsumexp` does"
    # one image at a time: its three log-weights, with the largest, the smallest and the middle one first
    alone = [(-5000.0, -5001.0, -5002.0), (3000.0, 3001.0, 2999.0)]
    alone += [(0.0, -3000.0, -2000.0), (-3000.0, -2000.0, 0.0), (-2000.0, 0.0, -3000.0)]
    for column in alone:
        there = inputs(tensor(column)[:, None])
        low, high = min(column), max(column)
        Table(
            there,
            reference(*there.values()),
            otherwise=f"a wrong value for log-weights from {low:.0f} to {high:.0f}. {clamped}",
            not_finite=f"exp of 3000 is infinite, of −3000 it is 0: {own}.",
            differentiable=True,
        ).ask(student)
    there = inputs(tensor(alone).T)
    Table(
        there,
        reference(*there.values()),
        otherwise=f"a wrong value for small and large log-weights side by side. {clamped}",
        not_finite=f"Here one image has log-weights near −5000, another near 3000: {own}, not one for all.",
        differentiable=True,
    ).ask(student)
