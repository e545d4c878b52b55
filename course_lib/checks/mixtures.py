"""Checks for “Gaussian mixtures and EM”: responsibilities, the M-step, and ancestral sampling."""

import math
from collections.abc import Callable
from typing import Any

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
    plain,
    same,
    show,
)


def log_densities(x: Tensor, means: Tensor, stds: Tensor) -> Tensor:
    """Return the log-density of each point under each component, of shape (N, K)."""
    return Normal(means, stds).log_prob(x[:, None])  # (N, K)


def resp_reference(x: Tensor, weights: Tensor, means: Tensor, stds: Tensor) -> Tensor:
    """Return the correct responsibilities according to Bayes' rule, of shape (N, K)."""
    return (weights.log() + log_densities(x, means, stds)).softmax(1)  # (N, K)


def resp_mistakes(x: Tensor, weights: Tensor, means: Tensor, stds: Tensor) -> dict[str, Tensor]:
    """Return the result of each typical mistake, keyed by a sentence that describes the mistake."""
    mixture = weights, means, stds
    return wrong_joints(x, *mixture) | wrong_logarithms(x, *mixture)


def wrong_joints(x: Tensor, weights: Tensor, means: Tensor, stds: Tensor) -> dict[str, Tensor]:
    """Return the results obtained with a wrong normalization, weight or density."""
    log_w, log_s = weights.log(), stds.log()  # (K,)
    log_p = log_densities(x, means, stds)  # (N, K)
    square = ((x[:, None] - means) / stds).square()  # (N, K)
    log_joint = log_w + log_p
    joint = log_joint.exp()
    return {
        "the rows are not normalized. Divide each row by its sum.": joint,
        "the result is log P(x, k). Subtract its logsumexp, then take the exponential.": log_joint,
        "the sum is over the points (axis 0). Each row must sum to 1.": log_joint.softmax(0),
        "the result is divided by the total sum. Each row must sum to 1.": joint / joint.sum(),
        "the weights are missing. Multiply each density by its component's weight.": (
            log_p.softmax(1)
        ),
        "the weights are applied twice.": (log_w + log_joint).softmax(1),
        "the densities are divided by the weights. Multiply by the weights.": (
            (log_p - log_w).softmax(1)
        ),
        "the weights are applied after normalizing. Apply them first.": weights * log_p.softmax(1),
        "the std is treated as a variance. Do not take its square root.": (
            resp_reference(x, weights, means, stds.sqrt())
        ),
        "the std is squared, but the std itself is needed (`Normal` takes the std).": (
            resp_reference(x, weights, means, stds**2)
        ),
        "the exponent is divided by std. Divide by std².": (
            (log_w - log_s - square * stds / 2).softmax(1)
        ),
        "the exponent is not divided by std².": (log_w - log_s - square * stds**2 / 2).softmax(1),
        "the factor 1/std of the density is missing.": (log_w - square / 2).softmax(1),
        "the stds are ignored. Each component has its own std.": (
            (log_w - square * stds**2 / 2).softmax(1)
        ),
        "the density is divided by std², not by the std.": (log_joint - log_s).softmax(1),
        "the density is multiplied by the std. Divide by the std.": (
            (log_joint + 2 * log_s).softmax(1)
        ),
        "the factor ½ in the exponent is missing.": (log_w - log_s - square).softmax(1),
        "the square in the exponent is missing.": (log_w - log_s - square.sqrt() / 2).softmax(1),
        "the exponent's sign is flipped. A far component must be improbable.": (
            (log_joint + square).softmax(1)
        ),
    }


def wrong_logarithms(x: Tensor, weights: Tensor, means: Tensor, stds: Tensor) -> dict[str, Tensor]:
    """Return the results obtained by using wrong logarithms
    or by altering the correct responsibilities.
    """
    log_p = log_densities(x, means, stds)  # (N, K)
    log_joint = weights.log() + log_p
    joint, right = log_joint.exp(), log_joint.softmax(1)
    return {
        "the result contains log-responsibilities. Take the exponential.": right.log(),
        "the result contains log-responsibilities to base 2. Use `log` and `exp`.": right.log2(),
        "the result contains hard labels. A responsibility is a probability.": right.round(),
        "the result contains component indices. Return all probabilities of each point.": (
            right.argmax(1)
        ),
        "the weight is added to a log-density. Add its logarithm.": (log_p + weights).softmax(1),
        "the log-density is multiplied by the weight. Add the logarithm of the weight.": (
            (weights * log_p).softmax(1)
        ),
        "the softmax is taken of densities. Take the softmax of log-densities.": joint.softmax(1),
        "the softmax is applied twice.": right.softmax(1),
        (
            "base-2 logarithms of the weights are added to natural log-densities. Use `log` for "
            "both."
        ): (weights.log2() + log_p).softmax(1),
        (
            "base-10 logarithms of the weights are added to natural log-densities. Use `log` for "
            "both."
        ): (weights.log10() + log_p).softmax(1),
        "logarithms to base 2 (bits) do not match `exp`. Use `log`, in nats.": (
            (log_joint / math.log(2)).softmax(1)
        ),
    }


def draw_mixture(generator: Generator, k: int) -> dict[str, Tensor]:
    """Draw the weights, means and stds of k components, with no weight or std near 0."""
    weights = 0.2 + torch.rand(k, generator=generator)
    means = 3 * torch.randn(k, generator=generator)
    stds = 0.5 + 1.5 * torch.rand(k, generator=generator)
    return {"weights": weights / weights.sum(), "means": means, "stds": stds}


def draw_points(generator: Generator, n: int, k: int) -> dict[str, Tensor]:
    """Draw a mixture of k components and n points that each lie near one component."""
    mixture = draw_mixture(generator, k)
    # the components are close together, so two log-densities of a point differ by at most about
    # ½(8 + 2)² = 50; exp overflows beyond 88, and the check with far points names such an overflow
    mixture["means"] = mixture["means"].clamp(-4, 4)
    mixture["stds"] = mixture["stds"].clamp(min=1)
    # each point is near a component, so that plain densities do not round to 0
    z = torch.randint(0, k, (n,), generator=generator)
    x = mixture["means"][z] + mixture["stds"][z] * (2 * torch.rand(n, generator=generator) - 1)
    return {"x": x, **mixture}


@exercise
def responsibilities(student: Student) -> None:
    """The responsibilities follow Bayes' rule, and each row sums to 1."""
    inputs = {
        "x": tensor([-2.0, 0.5, 1.5, 3.8]),
        "weights": tensor([0.5, 0.3, 0.2]),
        "means": tensor([-1.0, 1.0, 3.0]),
        "stds": tensor([0.8, 2.0, 1.3]),
    }
    laws = {"each row must sum to 1.": lambda resp: (resp.sum(1) - 1).abs() < 1e-4}
    Table.of(inputs, resp_reference, resp_mistakes, laws=laws).ask(student)
    other_inputs(student, resp_reference, draw_points, (4, 3), (6, 5), resp_mistakes)
    hidden = (
        "Perhaps a clamp or a small added number hides that all densities round to 0 far away. "
        "Use logarithms."
    )
    overflow = "`exp` overflows if anything other than the row's largest logarithm is subtracted"
    # one far point at a time, so that no other row affects the result
    for far in (300.0, -300.0):
        there = inputs | {"x": tensor([far])}
        Table(
            there,
            resp_reference(*there.values()),
            otherwise=f"a value is wrong for a far point. {hidden}",
            not_finite=(
                f"Far away, all densities round to 0, and 0/0 is NaN. Similarly, {overflow}. Use "
                "logarithms."
            ),
        ).ask(student)
    there = inputs | {"x": tensor([0.5, 300.0, -2000.0, 1.5])}
    Table(
        there,
        resp_reference(*there.values()),
        otherwise=f"a value is wrong if a batch contains both near and far points. {hidden}",
        not_finite=(
            "Here a batch contains near and far points. Subtract each row's own `logsumexp`, not "
            "one number."
        ),
    ).ask(student)


def m_step_reference(x: Tensor, resp: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the correct weights, means and covariances (Bishop 2006, eqs. 9.24–9.26)."""
    n_k = resp.sum(0)  # (K,)
    means = resp.T @ x / n_k[:, None]  # (K, D)
    centred = x[:, None] - means  # (N, K, D)
    covariances = torch.einsum("nk,nki,nkj->kij", resp, centred, centred) / n_k[:, None, None]
    return n_k / len(x), means, covariances


def draw_resp(generator: Generator, n: int, d: int, k: int) -> dict[str, Tensor]:
    """Draw n points in d dimensions and the responsibilities of k components for them."""
    x = 1 + 2 * torch.randn(n, d, generator=generator)
    resp = torch.randn(n, k, generator=generator).softmax(1)
    return {"x": x, "resp": resp}


@exercise
def m_step(student: Student) -> None:
    """The weights, means and covariances are accurate,
    even for a component with a small total weight.
    """
    x = tensor([[0, 1], [2, -1], [3, 2], [-1, 4], [5, 0], [1, 2.5], [4, 4]])
    tenths = [[7, 1, 2], [2, 5, 3], [1, 8, 1], [5, 2, 3], [0, 7, 3], [6, 2, 2], [3, 3, 4]]
    resp = tensor(tenths) / 10
    names = ("weights", "means", "covariances")
    right = m_step_reference(x, resp)
    answer = parts(call(student, x, resp), names, right)
    mistakes = m_step_mistakes(x, resp)
    for yours, name, good, wrong in zip(answer, names, right, mistakes, strict=True):
        given = f"a value is wrong for x = {show(x)} and resp = {show(resp)}."
        Table({}, good, wrong, otherwise=given).judge(yours, f"your {name}")
    other_inputs(student, m_step_reference, draw_resp, (7, 2, 3), (11, 4, 5))
    # the second component has a small total weight, but still its own mean and covariance
    faint = torch.stack([1 - 0.01 * resp[:, 0], 0.01 * resp[:, 0]], 1)
    right = m_step_reference(x, faint)
    answer = parts(call(student, x, faint), names, right)
    small = "a value is wrong where N_k is 0.02. Is a small number added to N_k, or is N_k clamped?"
    for yours, name, good in zip(answer, names, right, strict=True):
        Table({}, good, otherwise=small).judge(yours, f"your {name}")
    expect_tiny_covariances(student, x, resp)


def expect_tiny_covariances(student: Student, x: Tensor, resp: Tensor) -> None:
    """Raise Mistake if a small number, such as `reg_covar`, is added to the covariances.

    The points are scaled by a power of two, which causes no rounding errors. The covariances are
    then about 1e-12, so that even adding 1e-15 has a detectable effect.
    """
    scale = 2.0**-20  # about 1e-6
    _, _, right = m_step_reference(x, resp)
    _, _, yours = call(student, scale * x, resp)
    says = (
        "your covariances: a value is wrong for points that are only about 10⁻⁶ apart. Is a small "
        "number, such as `reg_covar`, added to the covariances?"
    )
    expect(same(plain(yours, "your covariances").double() / scale**2, right), says)


def m_step_mistakes(x: Tensor, resp: Tensor) -> tuple[dict[str, Tensor], ...]:
    """Return the results that typical mistakes produce for the weights, means and covariances."""
    weights, means, _ = m_step_reference(x, resp)
    n_k = resp.sum(0)  # (K,)
    of_weights = {
        "the weights are not divided by N. The weights must sum to 1.": n_k,
        "the weights are all equal. What share of the points belongs to each component?": (
            torch.full_like(n_k, 1 / len(n_k))
        ),
        "the sum is over the components. Sum resp over the points (axis 0).": resp.mean(1),
        "the weights are divided by K, not by N.": n_k / len(n_k),
        "each point is assigned to a single component. Sum resp itself over the points.": (
            winners(resp).mean(0)
        ),
    }
    of_means = {
        "the means are divided by N. Divide by N_k, the component's sum of resp.": resp.T
        @ x
        / len(x),
        "the means are not divided by N_k, the component's sum of resp.": resp.T @ x,
        "all means equal the mean of the data. Weight each point by its resp.": (
            x.mean(0).expand_as(means)
        ),
        "the means are divided by the weights N_k / N. Divide by N_k.": (
            resp.T @ x / weights[:, None]
        ),
        "each point is assigned to a single component. Weight each point by its resp.": (
            hard_means(x, resp)
        ),
    }
    return of_weights, of_means, covariance_mistakes(x, resp)


def covariance_mistakes(x: Tensor, resp: Tensor) -> dict[str, Tensor]:
    """Return the results that typical mistakes produce for the covariances."""
    n, d = x.shape
    _, means, covs = m_step_reference(x, resp)
    size = resp.sum(0)[:, None, None]  # (K, 1, 1)
    away = means - x.mean(0)  # (K, D)
    centred = x[:, None] - means  # (N, K, D)
    outer = centred[:, :, :, None] * centred[:, :, None]  # (N, K, D, D)
    squared_resp = resp.square()[:, :, None, None]
    variances = covs.diagonal(dim1=1, dim2=2)  # (K, D)
    # the divisor of `torch.cov`
    corrected = size - resp.square().sum(0)[:, None, None] / size  # (K, 1, 1)
    return {
        "the covariances are not centred. Subtract the means.": (
            covs + means[:, :, None] * means[:, None]
        ),
        "the points are centred at the mean of all data. Use the component's mean.": (
            covs + away[:, :, None] * away[:, None]
        ),
        "the covariances are divided by N. Divide by N_k.": covs * size / n,
        "the covariances are not divided by N_k.": covs * size,
        "the covariances are divided by N_k − 1, not by N_k.": covs * size / (size - 1),
        (
            "the covariances are corrected for bias. Divide by N_k, or pass `correction=0` to "
            "`torch.cov`."
        ): covs * size / corrected,
        "the covariances are divided by N − 1. Divide by N_k.": covs * size / (n - 1),
        "resp is squared. Multiply each outer product by resp only once.": (
            (squared_resp * outer).sum(0) / size
        ),
        "resp is missing. Weight each point's outer product by its resp.": outer.sum(0) / size,
        "resp is missing, and the mean over all points is taken.": outer.mean(0),
        "all covariances equal the covariance of the data. Weight each point by its resp.": (
            torch.cov(x.T, correction=0).expand_as(covs)
        ),
        "each point is assigned to a single component. Weight each outer product by its resp.": (
            (winners(resp)[:, :, None, None] * outer).sum(0) / winners(resp).sum(0)[:, None, None]
        ),
        "all components share one covariance. Give each component its own.": (
            (size / n * covs).sum(0).expand_as(covs)
        ),
        "the result contains only variances. The off-diagonal entries are missing.": (
            covs * torch.eye(d)
        ),
        "the result contains only variances, (K, D). Return covariances, (K, D, D).": variances,
        "the result contains standard deviations, (K, D). Return covariances, (K, D, D).": (
            variances.sqrt()
        ),
        "the result contains correlations. Do not divide by the standard deviations.": (
            covs / (variances[:, :, None] * variances[:, None]).sqrt()
        ),
        "the result contains precision matrices, the inverses of the covariances.": (
            torch.linalg.inv(covs)
        ),
        "the result contains Cholesky factors of the covariances.": torch.linalg.cholesky(covs),
        "the sign is flipped. A variance is never negative.": -covs,
    }


def winners(resp: Tensor) -> Tensor:
    """Return 1 for each point's most probable component and 0 for the others, of shape (N, K)."""
    return torch.nn.functional.one_hot(resp.argmax(1), resp.shape[1]).to(resp.dtype)


def hard_means(x: Tensor, resp: Tensor) -> Tensor:
    """Assign every point to its most probable component, and return the mean of each component."""
    winner = winners(resp)  # (N, K)
    return winner.T @ x / winner.sum(0)[:, None]


Distribution = Callable[[Tensor], Tensor]  # a cumulative distribution function


def mixture_cdf(w: Tensor, m: Tensor, s: Tensor) -> Distribution:
    """Return the cumulative distribution function of a Gaussian mixture."""
    return lambda x: (w * Normal(m, s).cdf(x[:, None])).sum(1)


def uniform_cdf(w: Tensor, m: Tensor, s: Tensor, low: float, width: float) -> Distribution:
    """Return the CDF of a mixture whose noise is uniform on [low, low + width)."""
    return lambda x: (w * (((x[:, None] - m) / s - low) / width).clamp(0, 1)).sum(1)


def apart(x: Tensor, cdf: Distribution) -> float:
    """Return √n times the largest |F(xᵢ) − i/n| over the sorted samples x, where F is `cdf`.

    The result falls short of √n times the Kolmogorov–Smirnov distance by at most 1/√n.
    """
    x = x.sort().values
    n = len(x)
    return float((cdf(x) - torch.arange(1, n + 1) / n).abs().max()) * n**0.5


# The largest accepted value of `apart`; a correct sampler exceeds it once in 400 million runs.
LIMIT = 3.2


@exercise
def sample_mixture(student: Student) -> None:
    """For each sample, a component is chosen according to the weights,
    and the sample is drawn from that Gaussian.
    """
    # the components do not overlap, so each draw shows which component it came from
    n, w = 6000, tensor([0.55, 0.3, 0.15])
    m, s = tensor([-20.0, 1.0, 22.0]), tensor([0.4, 2.0, 0.7])
    x = draws(student, {}, (n,), n, w, m, s)
    expect(
        x.unique().numel() > n / 2,
        "the draws have few different values. Draw component and noise for each sample.",
    )

    wrong = wrong_components(w, m, s) | wrong_noise(w, m, s)
    is_right = apart(x, mixture_cdf(w, m, s)) <= LIMIT
    nearest = min(wrong, key=lambda says: apart(x, wrong[says]))
    expect(is_right or apart(x, wrong[nearest]) > LIMIT, nearest)
    expect_moments(x, w, m, s)
    says = (
        "your histogram differs from the mixture. Either components are picked with the wrong "
        "probabilities, or component and noise come from the same random number."
    )
    expect(is_right, says)
    says = (
        "each draw predicts the next component, so the draws are not independent. Pick a new "
        "component each time."
    )
    z = (x - x.mean()) / x.std()
    expect((z[1:] * z[:-1]).mean().abs() < 6 / n**0.5, says)

    expect_other_mixtures(student, n)
    expect_varying_counts(student, w, m, s)
    alone = call(student, 1, w, m, s, torch.Generator().manual_seed(1))
    says = "for n = 1, the result must have shape (1,). The usual cause is `squeeze`."
    expect(isinstance(alone, Tensor) and alone.shape == (1,), says)


def expect_varying_counts(student: Student, w: Tensor, m: Tensor, s: Tensor) -> None:
    """Raise Mistake if the number of draws from the first component hardly varies between calls.

    Of 40 independent draws, 22 ± 3 come from the first component. The counts of all twenty calls
    would lie within 1 of each other by chance in fewer than one in 10¹⁰ runs.
    """
    counts = []
    for seed in range(20):
        answer = call(student, 40, w, m, s, torch.Generator().manual_seed(seed))
        x = numbers(answer, "your draws", (40,))
        counts.append(int((x < (m[0] + m[1]) / 2).sum()))
    says = (
        "each component gets the same number of draws in every call. Let each draw pick its own "
        "component."
    )
    expect(max(counts) - min(counts) > 1, says)


def wrong_components(w: Tensor, m: Tensor, s: Tensor) -> dict[str, Distribution]:
    """Return the distributions of draws with wrong component weights, means or stds."""
    cdf, k = mixture_cdf, len(w)
    everywhere = 0 * s  # (K,)
    wrong = {
        "the weights are ignored. Pick each component with its own probability.": (
            cdf(0 * w + 1 / k, m, s)
        ),
        "a softmax is applied to the weights, which are already probabilities.": (
            cdf(w.softmax(0), m, s)
        ),
        "the std is treated as a variance. Multiply the noise by the std itself.": (
            cdf(w, m, s.sqrt())
        ),
        "the std is squared. Multiply the noise by the std itself.": cdf(w, m, s**2),
        "the noise has scale 1. Multiply the noise by the component's std.": (
            cdf(w, m, everywhere + 1)
        ),
        "all components get the same spread. Index `stds` with the component of each draw.": (
            cdf(w, m, everywhere + s.mean())
        ),
        "mean and std come from two components. Pick one component and use it for both.": (
            cdf((w[:, None] * w).flatten(), m.repeat_interleave(k), s.repeat(k))
        ),
        "the means are missing. Add the mean of each draw's component.": cdf(w, 0 * m, s),
    }
    for j in range(k):
        says = f"component {j} produces all samples. Pick a component for each sample."
        wrong[says] = cdf(tensor([1.0]), m[j], s[j])
    return wrong


def wrong_noise(w: Tensor, m: Tensor, s: Tensor) -> dict[str, Distribution]:
    """Return the distributions obtained if all draws come from a single Gaussian
    or if the noise is not Gaussian.
    """
    one = tensor([1.0])
    mean, spread = mixture_moments(w, m, s)  # (1,) each
    added = (w * s).square().sum(0, True).sqrt()  # the std of a weighted sum of independent draws
    added_one_noise = (w * s).sum(0, True)
    root = 3**0.5  # uniform noise on ±√3 has variance 1
    single = "Pick one component per sample"
    return {
        f"weighted draws are added into a single bump. {single}.": mixture_cdf(one, mean, added),
        f"weighted means and stds make a single Gaussian. {single}.": (
            mixture_cdf(one, mean, added_one_noise)
        ),
        f"the samples come from a single Gaussian with the mixture's mean and spread. {single}.": (
            mixture_cdf(one, mean, spread)
        ),
        "the noise is uniform on [0, 1). Use `torch.randn`.": uniform_cdf(w, m, s, 0, 1),
        "the noise is uniform on [−1, 1). Use `torch.randn`.": uniform_cdf(w, m, s, -1, 2),
        "the noise is uniform with variance 1. Use `torch.randn`.": (
            uniform_cdf(w, m, s, -root, 2 * root)
        ),
    }


def mixture_moments(w: Tensor, m: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and standard deviation of a mixture, each of shape (1,)."""
    mean = (w * m).sum(0, True)
    return mean, ((w * (s.square() + m.square())).sum(0, True) - mean**2).sqrt()


def expect_moments(x: Tensor, w: Tensor, m: Tensor, s: Tensor) -> None:
    """Raise Mistake unless the mean of the draws and the distribution of their noise are right.

    Each mean and std may deviate by up to six standard errors. For a correct answer, each of these
    deviations exceeds the limit about twice in 10⁹ runs.
    """
    n = len(x)
    right_mean, right_spread = (moment.item() for moment in mixture_moments(w, m, s))
    near = (x.mean() - right_mean).abs() < 6 * max(right_spread, x.std().item()) / n**0.5
    yours = f"The mean of the draws is {x.mean():.3f}, but it should be {right_mean:.3f}"
    expect(near, f"your histogram differs from the mixture. {yours}.")
    nearest_component = (x[:, None] - m).abs().argmin(1)  # (n,)
    noise = (x - m[nearest_component]) / s[nearest_component]  # (n,)
    says = (
        f"For each draw's own component, the mean of (x − mean) / std is {noise.mean():.3f}, but "
        "it should be 0."
    )
    limit = 6 * max(1.0, noise.std().item()) / n**0.5
    expect(noise.mean().abs() < limit, f"a mean is wrong. {says}")
    says = (
        f"For each draw's own component, the std of (x − mean) / std is {noise.std():.3f}, but it "
        "should be 1."
    )
    expect(
        (noise.std() - 1).abs() < 6 / (2 * n) ** 0.5,
        f"the means are right, but the spread is wrong. {says}",
    )
    says = "the noise is not Gaussian. Use `torch.randn`."
    expect(apart(noise, Normal(0, 1).cdf) <= LIMIT, says)


def expect_other_mixtures(student: Student, n: int) -> None:
    """Raise Mistake unless samples from two new mixtures are distributed correctly.

    The mixtures have 3 and 5 components.
    """
    for k, size, says in ((3, n, OTHER_NUMBERS), (5, 4000, OTHER_SIZE)):
        there = draw_mixture(fresh_generator(), k)
        # the means are spread out, so that a missing component is noticed whatever its weight
        there["means"] = 8.0 * torch.arange(k) + there["means"].clamp(-2, 2)
        try:
            answer = call(student, size, *there.values(), fresh_generator())
            x = numbers(answer, "your draw", (size,))
        except Mistake as stopped:
            raise Mistake(f"{says} On that input, {stopped}") from None
        expect(apart(x, mixture_cdf(*there.values())) <= LIMIT, says)


def shared_variance(variance: Any, x: Tensor, resp: Tensor) -> str:
    """Return a message that gives the slope of the M-step's objective at the student's variance,
    which all components share.

    The message helps students judge their answer to the last exercise of the chapter. `variance`
    may be a number or a tensor, or None if the exercise has not been started. x: shape (N,). resp:
    shape (N, K).
    """
    if variance is None:
        return "Replace None with your formula first."
    x, resp = x.detach().double(), resp.detach().double()
    try:
        yours = torch.as_tensor(variance, dtype=torch.float64).detach()
    except (TypeError, ValueError, RuntimeError):
        return f"Your formula must give one number, not {type(variance).__name__}."
    if yours.numel() == resp.shape[1] > 1:
        return (
            "Your formula gives one variance for each component, but all components must share "
            "one number."
        )
    if yours.numel() != 1:
        return f"Your formula must give one number, but its shape is {tuple(yours.shape)}."
    value = float(yours)
    if not 0 < value < math.inf:
        return f"A variance must be positive and finite, but yours is {value:.4g}."
    right, mistakes = shared_variances(x, resp)
    slope = len(x) * (right / value - 1) / (2 * value)
    says = f"The slope at your variance is {slope:.3g}"
    if abs(value / right - 1) < 1e-10:
        return f"{says}, which is 0 up to rounding errors."
    if abs(value / right - 1) < 1e-4:
        return (
            f"{says}. That is nearly 0, but more than a rounding error. Do all your numbers come "
            "from the same M-step?"
        )
    for named, wrong in mistakes.items():
        if math.isclose(value, wrong, rel_tol=1e-6):
            return f"{says}. {named}"
    return (
        f"{says}, so the function is larger at a {'larger' if slope > 0 else 'smaller'} variance."
    )


def shared_variances(x: Tensor, resp: Tensor) -> tuple[float, dict[str, float]]:
    """Return the best shared variance, and the values that typical mistakes produce in its place.

    x has the shape (N,), and resp has the shape (N, K).
    """
    n, k = resp.shape
    n_k = resp.sum(0)  # (K,)
    square = (x[:, None] - resp.T @ x / n_k).square()  # (N, K)
    own = (resp * square).sum(0) / n_k  # the variance of each component, (K,)
    total = float((resp * square).sum())
    right = total / n
    common = float((x - x.mean()).square().sum())
    mistakes = {
        "All components count equally, but a component with more points must count more.": (
            float(own.mean())
        ),
        "The variances of the components are added up. Take their weighted average.": (
            float(own.sum())
        ),
        "The sum is not divided by N.": total,
        (
            "The sum is divided by N · K, but the responsibilities of each point already add up "
            "to 1."
        ): right / k,
        "The sum is divided by N − 1, but the maximum of the function needs N.": total / (n - 1),
        "Your result is the standard deviation. The variance is its square.": right**0.5,
        "The distances are those from the mean of all points. Use the mean of each component.": (
            common / n
        ),
        "The distances are those from the mean of all points, and the sum is divided by N − 1.": (
            common / (n - 1)
        ),
        "The responsibilities are missing from the sum.": float(square.sum()) / n,
        "The responsibilities are missing from the mean.": float(square.mean()),
    }
    return right, mistakes
