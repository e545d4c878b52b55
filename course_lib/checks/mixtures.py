"""Checks for “Gaussian mixtures and EM”: responsibilities, the M-step, ancestral sampling."""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor, tensor
from torch.distributions import Normal

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
    numbers,
    other_inputs,
    parts,
)


def log_densities(x: Tensor, means: Tensor, stds: Tensor) -> Tensor:
    """log N(x; mean, std²) of each point under each component: (N, K)."""
    return Normal(means, stds).log_prob(x[:, None])  # (N, K)


def resp_reference(x: Tensor, weights: Tensor, means: Tensor, stds: Tensor) -> Tensor:
    """The right answer by Bayes' rule: responsibilities (N, K)."""
    return (weights.log() + log_densities(x, means, stds)).softmax(1)  # (N, K)


def resp_mistakes(x: Tensor, weights: Tensor, means: Tensor, stds: Tensor) -> dict[str, Tensor]:
    """What each typical mistake returns, by the sentence that names it."""
    log_w, log_s, log_p = weights.log(), stds.log(), log_densities(x, means, stds)  # (K,), (K,), (N, K)
    square = ((x[:, None] - means) / stds).square()  # (N, K)
    log_joint = log_w + log_p
    joint, right = log_joint.exp(), log_joint.softmax(1)
    wrong = {}
    wrong["not normalized: each row must sum to 1, so divide by the row's sum."] = joint
    wrong["this is log P(x, k): subtract its logsumexp, then take the exponential."] = log_joint
    wrong["normalized over the points (axis 0): the sum over components must be 1."] = log_joint.softmax(0)
    wrong["divided by the sum over all points and components: each row must sum to 1."] = joint / joint.sum()
    wrong["the weights are forgotten: multiply each density by its component's weight."] = log_p.softmax(1)
    wrong["the weights count twice."] = (log_w + log_joint).softmax(1)
    wrong["divided by the weights: multiply by them."] = (log_p - log_w).softmax(1)
    wrong["multiplied by the weights after normalizing: multiply first."] = weights * log_p.softmax(1)
    wrong["std is read as a variance: take no root."] = resp_reference(x, weights, means, stds.sqrt())
    wrong["std is squared where std itself is wanted (`Normal` takes the std)."] = resp_reference(
        x, weights, means, stds**2
    )
    wrong["the exponent divides by std: divide by std²."] = (log_w - log_s - square * stds / 2).softmax(1)
    wrong["the exponent is not divided by std²."] = (log_w - log_s - square * stds**2 / 2).softmax(1)
    wrong["the density's factor 1/std is missing."] = (log_w - square / 2).softmax(1)
    wrong["the density is divided by std², not by std."] = (log_joint - log_s).softmax(1)
    wrong["the density is multiplied by std: divide by it."] = (log_joint + 2 * log_s).softmax(1)
    wrong["the factor ½ in the exponent is missing."] = (log_w - log_s - square).softmax(1)
    wrong["the exponent's square is missing."] = (log_w - log_s - square.sqrt() / 2).softmax(1)
    wrong["the exponent's sign is flipped: a far component must be improbable."] = (
        log_joint + square
    ).softmax(1)
    wrong["these are log-responsibilities: take the exponential."] = right.log()
    wrong["these are log-responsibilities in bits: use `log`, then take the exponential."] = right.log2()
    wrong["hard labels: a responsibility is a probability, not the winner."] = right.round()
    wrong["these are the winners' numbers: return all K probabilities of each point."] = right.argmax(1)
    wrong["the weight is added to a log-density: add its logarithm."] = (log_p + weights).softmax(1)
    wrong["the log-density is multiplied by the weight: add the logarithm of the weight."] = (
        weights * log_p
    ).softmax(1)
    wrong["the softmax of densities is taken: it wants their logarithms."] = joint.softmax(1)
    wrong["the softmax is taken twice."] = right.softmax(1)
    wrong["logarithms to base 2 of the weights beside natural log-densities: use `log` for both."] = (
        weights.log2() + log_p
    ).softmax(1)
    wrong["logarithms to base 10 of the weights beside natural log-densities: use `log` for both."] = (
        weights.log10() + log_p
    ).softmax(1)
    wrong["logarithms to base 2 (bits) and `exp` do not fit together: use `log`, in nats."] = (
        log_joint / math.log(2)
    ).softmax(1)
    return wrong


def draw_mixture(generator: Generator, k: int) -> dict[str, Tensor]:
    """Weights, means and stds (K,), with no weight or std near 0."""
    weights = 0.2 + torch.rand(k, generator=generator)
    means = 3 * torch.randn(k, generator=generator)
    stds = 0.5 + 1.5 * torch.rand(k, generator=generator)
    return {"weights": weights / weights.sum(), "means": means, "stds": stds}


def draw_points(generator: Generator, n: int, k: int) -> dict[str, Tensor]:
    """A mixture of k components and n points that lie near one of them."""
    mixture = draw_mixture(generator, k)
    # Components within each other's reach: two log-densities of a point then differ by about ½(8 + 2)² = 50
    # at most, and exp overflows beyond 88. What overflows is named where the check asks about far points.
    mixture["means"] = mixture["means"].clamp(-4, 4)
    mixture["stds"] = mixture["stds"].clamp(min=1)
    # near a component, so that plain densities do not round to 0 yet
    z = torch.randint(0, k, (n,), generator=generator)
    x = mixture["means"][z] + mixture["stds"][z] * (2 * torch.rand(n, generator=generator) - 1)
    return {"x": x, **mixture}


@exercise
def responsibilities(student: Student) -> None:
    """Bayes' rule from x (N,), weights, means, stds (K,) to resp (N, K); rows sum to 1, however far x is."""
    inputs = {
        "x": tensor([-2.0, 0.5, 1.5, 3.8]),
        "weights": tensor([0.5, 0.3, 0.2]),
        "means": tensor([-1.0, 1.0, 3.0]),
        "stds": tensor([0.8, 2.0, 1.3]),
    }
    laws = {"each row must sum to 1.": lambda resp: (resp.sum(1) - 1).abs() < 1e-4}
    Table.of(inputs, resp_reference, resp_mistakes, laws=laws).ask(student)
    other_inputs(student, resp_reference, draw_points, (4, 3), (6, 5), resp_mistakes)
    hidden = "Perhaps a clamp or a small number hides that far away all densities round to 0: keep logs."
    overflow = "or `exp` overflows, because something else than the row's largest logarithm was subtracted"
    # one far point at a time: no other row can help or harm
    for far in (300.0, -300.0):
        there = inputs | {"x": tensor([far])}
        Table(
            there,
            resp_reference(*there.values()),
            otherwise=f"a wrong value for a far point. {hidden}",
            not_finite=f"Far away all densities round to 0, and 0/0 is NaN; {overflow}. Keep logs.",
        ).ask(student)
    there = inputs | {"x": tensor([0.5, 300.0, -2000.0, 1.5])}
    Table(
        there,
        resp_reference(*there.values()),
        otherwise=f"a wrong value where near and far points come together. {hidden}",
        not_finite="Near and far points come together: subtract each row's own `logsumexp`, not one number.",
    ).ask(student)


def m_step_reference(x: Tensor, resp: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The right answer: weights (K,), means (K, D), covariances (K, D, D). Bishop 2006, (9.24) to (9.26)."""
    n_k = resp.sum(0)  # (K,)
    means = resp.T @ x / n_k[:, None]  # (K, D)
    centred = x[:, None] - means  # (N, K, D)
    covariances = torch.einsum("nk,nki,nkj->kij", resp, centred, centred) / n_k[:, None, None]
    return n_k / len(x), means, covariances


def draw_resp(generator: Generator, n: int, d: int, k: int) -> dict[str, Tensor]:
    """Points (N, D) and responsibilities (N, K)."""
    x = 1 + 2 * torch.randn(n, d, generator=generator)
    resp = torch.randn(n, k, generator=generator).softmax(1)
    return {"x": x, "resp": resp}


@exercise
def m_step(student: Student) -> None:
    """x (N, D) and resp (N, K) give weights (K,), means (K, D) and centred covariances (K, D, D)."""
    x = tensor([[0, 1], [2, -1], [3, 2], [-1, 4], [5, 0], [1, 2.5], [4, 4]])
    resp = tensor([[7, 1, 2], [2, 5, 3], [1, 8, 1], [5, 2, 3], [0, 7, 3], [6, 2, 2], [3, 3, 4]]) / 10
    names = ("weights", "means", "covariances")
    right = m_step_reference(x, resp)
    answer = parts(call(student, x, resp), names, right)
    mistakes = m_step_mistakes(x, resp)
    for yours, name, good, wrong in zip(answer, names, right, mistakes, strict=True):
        Table({}, good, wrong).judge(yours, f"your {name}")
    other_inputs(student, m_step_reference, draw_resp, (7, 2, 3), (11, 4, 5))
    # the second component holds little, and has its own mean and covariance all the same
    faint = torch.stack([1 - 0.01 * resp[:, 0], 0.01 * resp[:, 0]], 1)
    right = m_step_reference(x, faint)
    answer = parts(call(student, x, faint), names, right)
    small = "a wrong value where N_k is 0.02. Is a small number added to N_k, or is N_k clamped?"
    for yours, name, good in zip(answer, names, right, strict=True):
        Table({}, good, otherwise=small).judge(yours, f"your {name}")


def m_step_mistakes(x: Tensor, resp: Tensor) -> tuple[dict[str, Tensor], ...]:
    """What typical mistakes give as weights, means and covariances."""
    n, d = x.shape
    weights, means, covs = m_step_reference(x, resp)
    n_k = resp.sum(0)  # (K,)
    size = n_k[:, None, None]  # (K, 1, 1)
    away = means - x.mean(0)  # (K, D)
    centred = x[:, None] - means  # (N, K, D)
    of_weights = {}
    of_weights["the weights are not divided by N: they must sum to 1."] = n_k
    of_weights["the weights are all equal: which part of the points does each component hold?"] = (
        torch.full_like(n_k, 1 / len(n_k))
    )
    of_weights["this is a sum over the components: sum resp over the points (axis 0)."] = resp.mean(1)
    of_weights["the weights are divided by K, not by N."] = n_k / len(n_k)

    of_means = {}
    of_means["the means are divided by N: divide by N_k, the component's sum of resp."] = resp.T @ x / n
    of_means["the means are not divided by N_k, the component's sum of resp."] = resp.T @ x
    of_means["all means are the mean of the data: weight each point by its resp."] = means - away
    of_means["the means are divided by the weights N_k / N: divide by N_k."] = resp.T @ x / weights[:, None]
    of_means["the winner takes the whole point: weight each point by its resp."] = hard_means(x, resp)

    outer = centred[:, :, :, None] * centred[:, :, None]  # (N, K, D, D)
    squared_resp = resp.square()[:, :, None, None]
    variances = covs.diagonal(dim1=1, dim2=2)  # (K, D)
    wrong = {}
    wrong["the covariances are not centred: subtract the means."] = covs + means[:, :, None] * means[:, None]
    wrong["centred at the mean of all data: use the component's mean."] = (
        covs + away[:, :, None] * away[:, None]
    )
    wrong["the covariances are divided by N: divide by N_k."] = covs * size / n
    wrong["the covariances are not divided by N_k."] = covs * size
    wrong["the covariances are divided by N_k − 1, not by N_k."] = covs * size / (size - 1)
    wrong["the covariances are divided by N − 1: divide by N_k."] = covs * size / (n - 1)
    wrong["resp is squared: weight only one factor."] = (squared_resp * outer).sum(0) / size
    wrong["resp is missing: weight each point's outer product by its resp."] = outer.sum(0) / size
    wrong["resp is missing, and the mean over all points is taken."] = outer.mean(0)
    wrong["all covariances are the covariance of the data: weight each point by its resp."] = torch.cov(
        x.T, correction=0
    ).expand_as(covs)
    wrong["only variances: the entries off the diagonal are missing."] = covs * torch.eye(d)
    wrong["only variances, (K, D): covariances are wanted, (K, D, D)."] = variances
    wrong["these are standard deviations, (K, D): covariances are wanted, (K, D, D)."] = variances.sqrt()
    wrong["these are correlations: do not divide by the standard deviations."] = (
        covs / (variances[:, :, None] * variances[:, None]).sqrt()
    )
    wrong["these are precisions, the inverses of the covariances."] = torch.linalg.inv(covs)
    wrong["these are Cholesky factors of the covariances."] = torch.linalg.cholesky(covs)
    wrong["the sign is flipped: a variance is never negative."] = -covs
    return of_weights, of_means, wrong


def hard_means(x: Tensor, resp: Tensor) -> Tensor:
    """Each component's mean if every point belongs wholly to the winner, (K, D)."""
    winner = torch.nn.functional.one_hot(resp.argmax(1), resp.shape[1]).to(x.dtype)  # (N, K)
    return winner.T @ x / winner.sum(0)[:, None]


Distribution = Callable[[Tensor], Tensor]  # a cumulative distribution function


def mixture_cdf(w: Tensor, m: Tensor, s: Tensor) -> Distribution:
    """P(draw ≤ x) of a mixture."""
    return lambda x: (w * Normal(m, s).cdf(x[:, None])).sum(1)


def uniform_cdf(w: Tensor, m: Tensor, s: Tensor, low: float, width: float) -> Distribution:
    """The same with noise that is uniform from `low`."""
    return lambda x: (w * (((x[:, None] - m) / s - low) / width).clamp(0, 1)).sum(1)


def apart(x: Tensor, cdf: Distribution) -> float:
    """√n times the largest distance of the draws x (n,) to a distribution, after Kolmogorov and Smirnov."""
    x = x.sort().values
    n = len(x)
    return float((cdf(x) - torch.arange(1, n + 1) / n).abs().max()) * n**0.5


LIMIT = 3.2  # of that statistic: a right sampler passes it once in 400 million times


@exercise
def sample_mixture(student: Student) -> None:
    """n draws (n,) from weights, means, stds (K,): a component by its weight, then that Gaussian."""
    # components that do not overlap, so that each draw shows where it came from
    n, w, m, s = 6000, tensor([0.55, 0.3, 0.15]), tensor([-20.0, 1.0, 22.0]), tensor([0.4, 2.0, 0.7])
    x = draws(student, {}, (n,), n, w, m, s)
    expect(x.unique().numel() > n / 2, "few different values: draw component and noise for each sample.")

    wrong = wrong_components(w, m, s) | wrong_noise(w, m, s)
    is_right = apart(x, mixture_cdf(w, m, s)) <= LIMIT
    nearest = min(wrong, key=lambda says: apart(x, wrong[says]))
    expect(is_right or apart(x, wrong[nearest]) > LIMIT, nearest)
    expect_moments(x, w, m, s)
    says = "your histogram is not the mixture's: the components have the right shape, but not their weights."
    expect(is_right, says)
    says = "the draws are not independent: a draw tells which component the next one has. Pick anew for each."
    z = (x - x.mean()) / x.std()
    expect((z[1:] * z[:-1]).mean().abs() < 6 / n**0.5, says)

    expect_other_mixtures(student, n)
    expect_varying_counts(student, w, m, s)
    alone = call(student, 1, w, m, s, torch.Generator().manual_seed(1))
    says = "for n = 1 the result must have the shape (1,): `squeeze` is the usual cause."
    expect(isinstance(alone, Tensor) and alone.shape == (1,), says)


def expect_varying_counts(student: Student, w: Tensor, m: Tensor, s: Tensor) -> None:
    """Raise Mistake if every call draws equally many from a component, apart from rounding.

    Of 40 independent draws the first component gets 22 ± 3, so twenty calls agree by chance less than once
    in 10¹⁰ times.
    """
    counts = []
    for seed in range(20):
        x = numbers(call(student, 40, w, m, s, torch.Generator().manual_seed(seed)), "your draws", (40,))
        counts.append(int((x < (m[0] + m[1]) / 2).sum()))
    says = "each component gets the same number of draws in every call: let each draw pick its own component."
    expect(max(counts) - min(counts) > 1, says)


def wrong_components(w: Tensor, m: Tensor, s: Tensor) -> dict[str, Distribution]:
    """The distributions that come out when a draw's component, its mean or its spread is a wrong one."""
    cdf, k = mixture_cdf, len(w)
    everywhere = 0 * s  # (K,)
    wrong = {
        "the weights are ignored: pick each component with its own probability.": cdf(0 * w + 1 / k, m, s),
        "the weights go through a softmax: they are probabilities already.": cdf(w.softmax(0), m, s),
        "std is read as a variance: multiply the noise by std itself.": cdf(w, m, s.sqrt()),
        "std is squared: multiply the noise by std itself.": cdf(w, m, s**2),
        "the noise has scale 1: multiply it by the component's std.": cdf(w, m, everywhere + 1),
        "all components get the same spread: index `stds` with the component of each draw.": cdf(
            w, m, everywhere + s.mean()
        ),
        "mean and std come from two components: pick one component, use it for both.": cdf(
            (w[:, None] * w).flatten(), m.repeat_interleave(k), s.repeat(k)
        ),
        "the means are missing: add the mean of each draw's component.": cdf(w, 0 * m, s),
    }
    for j in range(k):
        wrong[f"component {j} makes all samples: pick anew for each."] = cdf(tensor([1.0]), m[j], s[j])
    return wrong


def wrong_noise(w: Tensor, m: Tensor, s: Tensor) -> dict[str, Distribution]:
    """The distributions that come out when draws are averaged, or when the noise is not Gaussian."""
    one = tensor([1.0])
    mean, spread = mixture_moments(w, m, s)  # (1,) each
    added = (w * s).square().sum(0, True).sqrt()  # std of a weighted sum of independent draws
    added_one_noise = (w * s).sum(0, True)
    root = 3**0.5  # uniform noise on ±√3 has variance 1
    single = "pick one component per sample"
    return {
        f"weighted draws are added up into one bump: {single}.": mixture_cdf(one, mean, added),
        f"weighted means and stds make one Gaussian: {single}.": mixture_cdf(one, mean, added_one_noise),
        f"this is one Gaussian with the mixture's mean and spread: {single}.": mixture_cdf(one, mean, spread),
        "the noise is uniform on [0, 1): use `torch.randn`.": uniform_cdf(w, m, s, 0, 1),
        "the noise is uniform on [−1, 1): use `torch.randn`.": uniform_cdf(w, m, s, -1, 2),
        "the noise is uniform, though of variance 1: use `torch.randn`.": uniform_cdf(
            w, m, s, -root, 2 * root
        ),
    }


def mixture_moments(w: Tensor, m: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of a mixture: (1,) each."""
    mean = (w * m).sum(0, True)
    return mean, ((w * (s.square() + m.square())).sum(0, True) - mean**2).sqrt()


def expect_moments(x: Tensor, w: Tensor, m: Tensor, s: Tensor) -> None:
    """The draws' mean, and mean, spread and shape of what each component adds to its own mean.

    Six standard errors: a right answer fails once in 10⁹ times.
    """
    n = len(x)
    right_mean, right_spread = (moment.item() for moment in mixture_moments(w, m, s))
    near = (x.mean() - right_mean).abs() < 6 * max(right_spread, x.std().item()) / n**0.5
    yours = f"its mean is {x.mean():.3f}, expected {right_mean:.3f}"
    expect(near, f"your histogram is not the mixture's: {yours}.")
    nearest_component = (x[:, None] - m).abs().argmin(1)  # (n,)
    noise = (x - m[nearest_component]) / s[nearest_component]  # (n,)
    says = f"(x − mean) / std of the draws' own components averages {noise.mean():.3f}, expected 0."
    expect(noise.mean().abs() < 6 * max(1.0, noise.std().item()) / n**0.5, f"a wrong mean: {says}")
    says = f"(x − mean) / std of the draws' own components has the spread {noise.std():.3f}, expected 1."
    expect((noise.std() - 1).abs() < 6 / (2 * n) ** 0.5, f"the means are right, but not the spread: {says}")
    says = "the noise is not Gaussian: use `torch.randn`."
    expect(apart(noise, Normal(0, 1).cdf) <= LIMIT, says)


def expect_other_mixtures(student: Student, n: int) -> None:
    """The same for parameters drawn anew, of the same size and of another."""
    for k, size, says in ((3, n, OTHER_NUMBERS), (5, 4000, OTHER_SIZE)):
        there = draw_mixture(fresh_generator(), k)
        # side by side, so that a component that is left out is missed, whatever its weight
        there["means"] = 8.0 * torch.arange(k) + there["means"].clamp(-2, 2)
        try:
            answer = call(student, size, *there.values(), fresh_generator())
            x = numbers(answer, "your draw", (size,))
        except Mistake as stopped:
            raise Mistake(f"{says} There {stopped}") from None
        expect(apart(x, mixture_cdf(*there.values())) <= LIMIT, says)
