"""Checks for “The evidence lower bound”: the KL, the bound, and the importance-weighted bound."""

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
    """Return the correct closed-form KL of each row in nats (Kingma & Welling 2014, appendix B)."""
    return 0.5 * (logvar.exp() + mu**2 - 1 - logvar).sum(1)  # (N,)


def kl_mistakes(mu: Tensor, logvar: Tensor) -> dict[str, Tensor]:
    """Return the result of each typical mistake, keyed by a sentence that describes the mistake."""
    wrong = wrong_kl_sums(mu, logvar) | misread_logvars(mu, logvar) | wrong_kl_terms(mu, logvar)
    return wrong | other_units(kl_reference(mu, logvar))


def wrong_kl_sums(mu: Tensor, logvar: Tensor) -> dict[str, Tensor]:
    """Return the results obtained by combining the right terms with a wrong sign, factor,
    sum or average.
    """
    each = (logvar.exp() + mu**2 - 1 - logvar) / 2  # (N, D)
    right = each.sum(1)
    return {
        "the sign is flipped. A KL divergence is never negative.": -right,
        "the factor ½ is missing. The result is twice the KL.": 2 * right,
        "the result is halved twice. The KL has one factor ½.": right / 2,
        "the result is averaged over dimensions. Sum over the dimensions.": each.mean(1),
        "the result is also summed over the rows. Return one number per row.": each.sum(),
        "the result is averaged over the rows. Return one number per row.": right.mean(),
        "the result is averaged over rows and dimensions. Sum over dimensions only.": each.mean(),
        "the result has one number per dimension. Sum over the dimensions of each row.": each,
        "the result is summed over the rows. Sum over the dimensions, axis 1.": each.sum(0),
    }


def misread_logvars(mu: Tensor, logvar: Tensor) -> dict[str, Tensor]:
    """Return the KLs that result from misreading logvar or from reversing the direction of
    the KL.
    """
    square, var = mu**2, logvar.exp()  # (N, D)
    turned_round = (logvar + (1 + square) / var - 1) / 2
    return {
        "logvar is treated as the log-std. The variance is exp(logvar).": (
            (var**2 + square - 1 - 2 * logvar).sum(1) / 2
        ),
        "exp(2 · logvar) and −logvar do not match. The variance is exp(logvar) in both terms.": (
            (var**2 + square - 1 - logvar).sum(1) / 2
        ),
        (
            "the std is used in place of the variance. The variance is exp(logvar), not "
            "exp(logvar / 2)."
        ): (var.sqrt() + square - 1 - logvar).sum(1) / 2,
        (
            "the std is used where the variance belongs, and logvar is halved. Use exp(logvar) "
            "and logvar."
        ): (var.sqrt() + square - 1 - logvar / 2).sum(1) / 2,
        "logvar is halved. log σ² is logvar itself.": (var + square - 1 - logvar / 2).sum(1) / 2,
        "−logvar is not halved. With the factor ½ outside, log σ becomes logvar / 2.": (
            (var + square - 1 - 2 * logvar).sum(1) / 2
        ),
        "the direction is reversed. The result is KL(p‖q) instead of KL(q‖p).": turned_round.sum(1),
        "logvar is treated as the variance itself. Take the exponential of logvar.": (
            (logvar + square - 1 - logvar.log()).sum(1) / 2
        ),
        "logvar is used in place of the variance. Take the exponential of logvar.": (
            (logvar + square - 1 - logvar).sum(1) / 2
        ),
    }


def wrong_kl_terms(mu: Tensor, logvar: Tensor) -> dict[str, Tensor]:
    """Return the values that result from a missing or wrong term, or from an extra square root."""
    square, var = mu**2, logvar.exp()  # (N, D)
    right = (var + square - 1 - logvar).sum(1) / 2
    return {
        "mu is not squared.": (var + mu - 1 - logvar).sum(1) / 2,
        "the absolute value of mu is used. Square mu instead.": (
            (var + mu.abs() - 1 - logvar).sum(1) / 2
        ),
        "the term mu² is missing. A code far from 0 must have a cost.": (
            (var - 1 - logvar).sum(1) / 2
        ),
        "the term mu² is subtracted. Add it instead.": (var - square - 1 - logvar).sum(1) / 2,
        "the term −logvar is missing. Without it, zero variance is cheapest.": (
            (var + square - 1).sum(1) / 2
        ),
        "the sign of logvar is flipped. Subtract logvar.": (var + square - 1 + logvar).sum(1) / 2,
        "the term −1 is missing. The KL must be 0 at mu = logvar = 0.": (
            (var + square - logvar).sum(1) / 2
        ),
        "the sign of the term −1 is flipped. The KL must be 0 at mu = logvar = 0.": (
            (var + square + 1 - logvar).sum(1) / 2
        ),
        "1 is subtracted once per row, not once per dimension.": (
            ((var + square - logvar).sum(1) - 1) / 2
        ),
        "the variance is missing. Add exp(logvar).": (square - 1 - logvar).sum(1) / 2,
        "the sign of the variance is flipped. Add exp(logvar).": (
            (-var + square - 1 - logvar).sum(1) / 2
        ),
        "the term mu² is not halved. The factor ½ applies to all terms.": (
            (var + 2 * square - 1 - logvar).sum(1) / 2
        ),
        "mu and logvar are swapped. The first argument is mu.": (
            (mu.exp() + logvar**2 - 1 - mu).sum(1) / 2
        ),
        "the square root of the KL is returned. Leave the square root out.": right.sqrt(),
        "only log σ² is in bits. Use the natural logarithm for log σ² as well.": (
            (var + square - 1 - logvar / math.log(2)).sum(1) / 2
        ),
    }


def draw_codes(generator: Generator, n: int, d: int) -> dict[str, Tensor]:
    """Draw mu and logvar, each of shape (N, D), with no value near 0."""
    mu = 0.5 + 1.5 * torch.rand(n, d, generator=generator)
    logvar = 0.3 + 1.2 * torch.rand(n, d, generator=generator)
    signs = 2 * torch.randint(0, 2, (2, n, d), generator=generator) - 1
    return {"mu": mu * signs[0], "logvar": logvar * signs[1]}


@exercise
def kl_to_standard_normal(student: Student) -> None:
    """The result is KL(N(mu, exp(logvar)) ‖ N(0, I)) in nats, one number for each row."""
    inputs = {
        "mu": tensor([[1.0, -0.5, 0.3], [0.2, 2.0, -1.5]]),
        "logvar": tensor([[0.4, -1.0, 0.7], [-0.6, 0.3, 1.1]]),
    }
    expect_repeats(student, inputs)
    laws = {"a KL divergence is never negative.": lambda kl: kl >= 0}
    Table.of(inputs, kl_reference, kl_mistakes, laws=laws).ask(student)
    other_inputs(student, kl_reference, draw_codes, (2, 3), (5, 4), kl_mistakes)
    extreme_logvar(student, lambda logvar: inputs | {"logvar": logvar}, (2, 3), kl_reference)
    gradients(student, kl_reference, inputs, ["mu", "logvar"])


def expect_repeats(student: Student, inputs: Inputs) -> None:
    """Raise Mistake if a second call with the same inputs returns different numbers."""
    first, second = (call(student, *inputs.values()) for _ in range(2))
    are_tensors = isinstance(first, Tensor) and isinstance(second, Tensor)
    if not are_tensors or not first.is_floating_point():
        return  # the check says later what is wrong with such a result
    repeats = first.shape != second.shape or torch.allclose(first, second.to(first), equal_nan=True)
    says = (
        "a second call with the same inputs gives other numbers, so the result depends on random "
        "draws."
    )
    expect(repeats, f"{says} The KL of two Gaussians has a formula, which needs no draws.")


def extreme_logvar(
    student: Student,
    inputs: Callable[[Tensor], Inputs],
    shape: tuple[int, int],
    reference: Reference,
) -> None:
    """Raise Mistake unless the result is right for log-variances of −60 and 60.

    The corresponding variances are about 9e-27 and 1e26.
    inputs: a function that takes logvar, of shape (N, d), and returns the inputs of the exercise.
    """
    small = (
        "Is a small number added before the logarithm, or is the variance clamped? log σ² is "
        "logvar itself."
    )
    large = "Is logvar clamped, or does something overflow? exp(60) is an ordinary number."
    for value, why in ((-60.0, small), (60.0, large)):
        there = inputs(torch.full(shape, value))
        Table(
            there,
            reference(*there.values()),
            otherwise=f"a value is wrong for logvar = {value:.0f}. {why}",
            not_finite=f"Here logvar is {value:.0f}. {why}",
            differentiable=True,
        ).ask(student)


def bound_reference(log_joint: Tensor, q: Tensor) -> Tensor:
    """Return the correct bound for each row in nats: E_q[log P(x, z)] plus the entropy of q."""
    return (q * log_joint - torch.xlogy(q, q)).sum(1)  # (N,)


def bound_mistakes(log_joint: Tensor, q: Tensor) -> dict[str, Tensor]:
    """Return the result of each typical mistake, keyed by a sentence that describes the mistake."""
    log_q = q.log()
    terms, log_px = q * (log_joint - log_q), log_joint.logsumexp(1)  # (N, K), (N,)
    cross, entropy = (q * log_joint).sum(1), -(q * log_q).sum(1)  # (N,)
    right = terms.sum(1)
    wrong = {
        "the sign is flipped. Add log P(x, z) and subtract log q.": -right,
        "the term −log q is missing. The bound includes the entropy of q.": cross,
        "the term log P(x, z) is missing. The result is the entropy of q alone.": entropy,
        "the sign of log q is flipped. Subtract log q.": cross - entropy,
        "the result is log P(x) itself, whatever q is. Average the logarithms under q.": log_px,
        "the result is the gap, log P(x) − L_b.": log_px - right,
        "the result is L_b − log P(x), minus the gap. Do not normalize log_joint.": right - log_px,
        "the logarithm is taken after the sum over z. Average log P(x, z) under q.": (
            (q * log_joint.exp()).sum(1).log()
        ),
        "the terms are not weighted by q. Multiply each term by q.": (log_joint - log_q).sum(1),
        "log P(x, z) is not weighted by q. Average log P(x, z) under q.": (
            log_joint.sum(1) + entropy
        ),
        "log q is not weighted by q. Average log q under q.": cross - log_q.sum(1),
        "the result is averaged over z. The weights are already in q, so take the sum.": (
            terms.mean(1)
        ),
        "the result is also summed over the rows. Return one number per row.": terms.sum(),
        "the result is averaged over the rows. Return one number per row.": right.mean(),
        "the result is summed over the rows, but z is axis 1.": terms.sum(0),
        "the sum over z is missing. Return one number per row.": terms,
        "log P(x, z) is exponentiated. Average the logarithms under q.": (
            (q * log_joint.exp()).sum(1) + entropy
        ),
        "q itself is subtracted. Subtract the logarithm of q.": (q * (log_joint - q)).sum(1),
        "log P(x, z) is divided by log q. Subtract log q instead.": (q * log_joint / log_q).sum(1),
        "the terms are weighted by P(z|x). Average them under q.": (
            (log_joint.softmax(1) * (log_joint - log_q)).sum(1)
        ),
        "a softmax is applied to q, which is already a distribution.": (
            bound_reference(log_joint, q.softmax(1))
        ),
        "the arguments are swapped. The first argument is log_joint.": (
            bound_reference(q, log_joint)
        ),
        "log q is in bits, and log P(x, z) is in nats. Use the natural logarithm.": (
            cross + entropy / math.log(2)
        ),
        "log q is to base 10, and log P(x, z) is in nats. Use the natural logarithm.": (
            cross + entropy / math.log(10)
        ),
        "the entropy is halved.": cross + entropy / 2,
    }
    return wrong | other_units(right)


def draw_joint(generator: Generator, n: int, k: int) -> dict[str, Tensor]:
    """Draw random values of log P(x, z) and q(z|x), each of shape (N, K)."""
    log_joint = -0.5 - 4 * torch.rand(n, k, generator=generator)
    q = torch.randn(n, k, generator=generator).softmax(1)
    return {"log_joint": log_joint, "q": q}


@exercise
def lower_bound(student: Student) -> None:
    """The result is L_b in nats for each row.
    It never exceeds log P(x) and is finite even where q is 0.
    """
    log_joint = tensor([[-1.2, -2.5, -3.0], [-4.0, -0.9, -2.2]])
    q = tensor([[0.5, 0.2, 0.3], [0.1, 0.3, 0.6]])
    log_px = log_joint.logsumexp(1)
    laws = {"a lower bound cannot exceed log P(x).": lambda bound: bound <= log_px + 1e-6}
    inputs = {"log_joint": log_joint, "q": q}
    Table.of(inputs, bound_reference, bound_mistakes, laws=laws).ask(student)
    other_inputs(student, bound_reference, draw_joint, (2, 3), (4, 5), bound_mistakes)
    sure = tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]])
    Table(
        {"log_joint": log_joint, "q": sure},
        bound_reference(log_joint, sure),
        otherwise=(
            "a value is wrong where q is 0. Terms with q = 0 contribute nothing. Is q clamped?"
        ),
        not_finite=(
            "0 · log 0 counts as 0, but floating-point arithmetic gives NaN. Use `torch.xlogy` or "
            "`torch.where`."
        ),
    ).ask(student)
    far = log_joint - 1000
    why = "exp(−1000) rounds to 0. Use log P(x, z) directly, and do not exponentiate it."
    Table(
        {"log_joint": far, "q": q},
        bound_reference(far, q),
        otherwise=f"a value is wrong for log P(x, z) near −1000. Is something clamped? {why}",
        not_finite=f"Here log P(x, z) is near −1000. {why}",
    ).ask(student)
    gradients(of_softmax(student), of_softmax(bound_reference), inputs, inputs)
    clamp_of_q(student)


def of_softmax(answer: Callable[..., Any]) -> Callable[..., Any]:
    """Return a version of `answer` that normalizes q before it computes the bound.

    In this form, answers that normalize q themselves have the same gradients as those that do not.
    """

    @wraps(answer)
    def bound(log_joint: Tensor, q: Tensor) -> object:
        return answer(log_joint, q / q.sum(1, keepdim=True))

    return bound


def clamp_of_q(student: Student) -> None:
    """Raise Mistake if the gradient is wrong where q is tiny.

    The gradient is wrong there if q is clamped or if a number is added to q. The class
    `torch.distributions.Categorical` clamps probabilities at the machine epsilon of their dtype,
    but answers that use this class are accepted.
    """

    def slopes(answer: Student) -> Tensor:
        """Return the gradient with respect to q along the directions that keep q normalized.

        The result has the shape (N, K).
        """
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
    says = (
        "the value is right, but the gradient is wrong where q is tiny. Is q clamped, or is a "
        "small number added?"
    )
    expect(agrees(yours, good), f"{says} `torch.xlogy(q, q)` needs neither.")


def weights_reference(log_w: Tensor) -> Tensor:
    """Return the correct bound in nats: the log of each image's mean weight.

    Source: Burda et al. 2016, eq. 8.
    """
    return log_w.logsumexp(0) - math.log(len(log_w))  # (N,)


def weights_mistakes(log_w: Tensor) -> dict[str, Tensor]:
    """Return the result of each typical mistake, keyed by a sentence that describes the mistake."""
    wrong = wrong_log_means(log_w) | wrong_axes_and_weights(log_w)
    return wrong | other_units(weights_reference(log_w))


def wrong_log_means(log_w: Tensor) -> dict[str, Tensor]:
    """Return the results obtained by computing the logarithm of the mean weight incorrectly."""
    k, n = log_w.shape
    total = log_w.logsumexp(0)  # (N,)
    return {
        (
            "the mean of the logs is taken instead of the log of the mean. The result is the "
            "ordinary bound."
        ): log_w.mean(0),
        "log k is not subtracted. The mean of k weights is their sum divided by k.": total,
        "log k is added. Subtract it instead.": total + math.log(k),
        "the result is divided by k after the logarithm. Subtract log k.": total / k,
        "k itself is subtracted. Subtract log k.": total - k,
        "the result is divided by log k. Subtract log k.": total / math.log(k),
        "log N is subtracted. The mean is over the k samples, axis 0.": total - math.log(n),
        "the logs are summed. Exponentiate, average, then take the logarithm.": log_w.sum(0),
        "only the largest weight counts. Use `logsumexp` to add all weights.": log_w.amax(0),
        "only the largest weight, divided by k, counts. Use `logsumexp` to add all weights.": (
            log_w.amax(0) - math.log(k)
        ),
        "the logarithm is missing. The result is the mean weight.": weights_reference(log_w).exp(),
        "the logarithm is missing. The result is the sum of the weights.": total.exp(),
    }


def wrong_axes_and_weights(log_w: Tensor) -> dict[str, Tensor]:
    """Return the results obtained with a wrong sign or axis, wrong weights, or mixed units."""
    k, n = log_w.shape
    total, right = log_w.logsumexp(0), weights_reference(log_w)  # (N,) each
    return {
        "the sign is flipped. The result is minus the bound.": -right,
        "the result is reduced over the images (axis 1). The k samples are along axis 0.": (
            weights_reference(log_w.T)
        ),
        "the result is reduced over the images (axis 1), and log k belongs to axis 0.": (
            log_w.logsumexp(1) - math.log(k)
        ),
        "the result is also averaged over the images. Return one number per image.": right.mean(),
        "the result is also summed over the images. Return one number per image.": right.sum(),
        "all samples of all images are averaged together. Return one number per image.": (
            log_w.logsumexp((0, 1)) - math.log(k * n)
        ),
        "a weighted mean of the logs is taken. Take the log of the mean weight.": (
            (log_w.softmax(0) * log_w).sum(0)
        ),
        (
            "the result contains the logarithms of normalized weights. Add the weights up before "
            "normalizing."
        ): log_w.log_softmax(0),
        "the weights are squared.": (2 * log_w).logsumexp(0) - math.log(k),
        "log k is in bits, and the rest is in nats. Use the natural logarithm.": (
            total - math.log2(k)
        ),
        "log k is to base 10, and the rest is in nats. Use the natural logarithm.": (
            total - math.log10(k)
        ),
        "2 is raised to the power of log w, but log w is in nats. Use `exp`.": (
            (log_w * math.log(2)).logsumexp(0) - math.log(k)
        ),
    }


def draw_log_weights(generator: Generator, k: int, n: int) -> dict[str, Tensor]:
    """Draw moderate log-weights of shape (k, N); numerical stability is tested on other inputs."""
    return {"log_w": 6 * torch.rand(k, n, generator=generator) - 5}


@exercise
def importance_weighted_bound(student: Student) -> None:
    """The result is the log of each image's mean weight in nats,
    however large or small log_w is.
    """
    inputs = {"log_w": tensor([[-1.0, -4.0], [-2.5, -0.5], [0.3, -2.0]])}
    Table.of(inputs, weights_reference, weights_mistakes).ask(student)
    other_inputs(student, weights_reference, draw_log_weights, (3, 2), (4, 6), weights_mistakes)
    extreme_weights(student, lambda log_w: {"log_w": log_w}, weights_reference)
    gradients(student, weights_reference, inputs, ["log_w"])


def extreme_weights(
    student: Student, inputs: Callable[[Tensor], Inputs], reference: Reference
) -> None:
    """Raise Mistake unless the result is right for log-weights between about −5000 and 3000.

    Each of the five images is first tried on its own, and then all five are tried together.
    inputs: a function that takes log-weights of shape (k, N) and returns the inputs of the
    exercise.
    """
    clamped = "Is a small number added, or is something clamped? `logsumexp` needs neither."
    own = "Subtract each image's own largest log-weight first, as `logsumexp` does"
    # three log-weights for each image: the largest, the smallest or the middle one comes first
    alone = [(-5000.0, -5001.0, -5002.0), (3000.0, 3001.0, 2999.0)]
    alone += [(0.0, -3000.0, -2000.0), (-3000.0, -2000.0, 0.0), (-2000.0, 0.0, -3000.0)]
    for column in alone:
        there = inputs(tensor(column)[:, None])
        low, high = min(column), max(column)
        Table(
            there,
            reference(*there.values()),
            otherwise=f"a value is wrong for log-weights from {low:.0f} to {high:.0f}. {clamped}",
            not_finite=f"exp(3000) overflows, and exp(−3000) rounds to 0. {own}.",
            differentiable=True,
        ).ask(student)
    there = inputs(tensor(alone).T)
    Table(
        there,
        reference(*there.values()),
        otherwise=(
            f"a value is wrong if a batch contains both small and large log-weights. {clamped}"
        ),
        not_finite=(
            f"Here one image has log-weights near −5000, and another near 3000. {own}, not one "
            "number for all images."
        ),
        differentiable=True,
    ).ask(student)


def lowest_change(value: Any, before: tuple[float, float], after: tuple[float, float]) -> str:
    """Return a message that compares a student's lower bound on the change in log P(x)
    with the actual change in one step that changes only P.

    The message helps students judge their answer to the last exercise of the chapter. `value` is
    the result of the student's formula, or None if the exercise has not been started.
    before, after: log P(x) and L_b before and after the step, in nats.
    """
    if value is None:
        return "Write your formula in the cell above."
    try:
        yours = float(value)
    except (TypeError, ValueError, RuntimeError):
        return f"Your formula must give one number, not {type(value).__name__}."
    if not math.isfinite(yours):
        return f"Your formula must give a finite number, but it gives {yours}."
    rise, gap_before, gap_after = after[1] - before[1], before[0] - before[1], after[0] - after[1]
    fall, lowest = after[0] - before[0], rise - gap_before
    if math.isclose(yours, lowest, abs_tol=1e-8):
        return (
            "It agrees with the trap. In a step that ends with a closed gap, log P(x) falls "
            "exactly this far."
        )
    mistakes = {
        (
            "The sign is flipped. In line 3, subtract log P(x) before the step from log P(x) "
            "after it."
        ): -lowest,
        "This is the change in L_b. The change in the gap is missing.": rise,
        "This is minus the change in L_b, and the change in the gap is missing.": -rise,
        "This would be right if L_b stayed the same, but L_b changes by `rise`.": -gap_before,
        "This is the gap before the step. If the step closes the gap, how does log P(x) change?": (
            gap_before
        ),
        "The gap has the wrong sign. If L_b stays the same and the gap closes, log P(x) falls.": (
            rise + gap_before
        ),
        "`rise` has the wrong sign. If the gap stays the same, log P(x) rises with L_b.": (
            -rise - gap_before
        ),
        (
            "This is the change in the trap, but another step with the same `rise` may close the "
            "gap."
        ): fall,
        "This is the change in the gap. The change in L_b is missing.": gap_after - gap_before,
    }
    says = (
        f"Your formula gives {yours:+.2f} nats, and in the trap log P(x) changes by {fall:+.2f} "
        "nats."
    )
    for named, wrong in mistakes.items():
        if math.isclose(yours, wrong, abs_tol=1e-8):
            return f"{says} {named}"
    if yours > fall:
        return f"{says} So log P(x) falls farther than your formula allows."
    return (
        f"{says} Your formula is too low: log P(x) never falls that far, even if the step closes "
        "the gap."
    )
