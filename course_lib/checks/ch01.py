"""Checks for chapter 01: responsibilities, the M-step, ancestral sampling."""

import torch
from torch import Tensor, tensor
from torch.distributions import Normal

from course_lib.checks.report import Student, Table, call, draws, exercise, expect


@exercise
def responsibilities(student: Student) -> None:
    """Bayes' rule from x (N,), weights, means, stds (K,) to resp (N, K); rows sum to 1, however far x is."""
    w, m, s = tensor([0.5, 0.3, 0.2]), tensor([-1.0, 1.0, 3.0]), tensor([0.8, 2.0, 1.0])
    inputs = {"x": tensor([-2.0, 0.5, 1.5, 3.8]), "weights": w, "means": m, "stds": s}
    z, log_w, log_s = (inputs["x"][:, None] - m) / s, w.log(), s.log()  # (N, K), (K,), (K,)
    log_p = Normal(0, 1).log_prob(z) - log_s  # (N, K)
    joint, right = (log_p + log_w).exp(), (log_p + log_w).softmax(1)
    mistakes = {
        "not normalised: each row must sum to 1, so divide by the row's sum.": joint,
        "normalised over the points (axis 0): the sum over components must be 1.": joint / joint.sum(0),
        "the weights are forgotten: multiply each density by its component's weight.": log_p.softmax(1),
        "std is read as a variance: take no root.": (log_w - log_s / 2 - z**2 * s / 2).softmax(1),
        "the density's factor 1/std is missing.": (log_w - z**2 / 2).softmax(1),
        "the factor ½ in the exponent is missing.": (log_w - log_s - z**2).softmax(1),
        "these are log-responsibilities: take the exponential.": right.log(),
        "hard labels: a responsibility is a probability, not the winner.": right.round(),
        "the weight is added to a log-density: add its logarithm.": (log_p + w).softmax(1),
    }
    laws = {"each row must sum to 1.": lambda resp: (resp.sum(1) - 1).abs() < 1e-4}
    Table(inputs, right, mistakes, laws).ask(student)
    right = tensor([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])  # far away the widest component takes all
    why = "Far away all densities round to 0, and 0/0 is NaN: keep logs and subtract `logsumexp`."
    hidden = {"a small number in the denominator hides that all densities round to 0: keep logs.": 0 * right}
    Table(inputs | {"x": tensor([300.0, -300.0])}, right, hidden, laws, why).ask(student)


@exercise
def m_step(student: Student) -> None:
    """x (N, D) and resp (N, K) give weights (K,), means (K, D) and centred covariances (K, D, D)."""
    x = tensor([[0, 1], [2, -1], [3, 2], [-1, 4], [5, 0], [1, 2.5], [4, 4]])
    resp = tensor([[7, 1, 2], [2, 5, 3], [1, 8, 1], [5, 2, 3], [0, 7, 3], [6, 2, 2], [3, 3, 4]]) / 10
    size, means = resp.sum(0)[:, None, None], resp.T @ x / resp.sum(0)[:, None]  # (K, 1, 1), (K, D)
    covs = torch.stack([torch.cov(x.T, aweights=r, correction=0) for r in resp.T])  # (K, D, D)
    away, d = means - x.mean(0), x[:, None] - means  # (K, D), (N, K, D)
    weights = {"the weights are not divided by N: they must sum to 1.": resp.sum(0)}
    centres = {
        "the means are divided by N: divide by N_k, the component's sum of resp.": resp.T @ x / 7,
        "the means are not divided by N_k, the component's sum of resp.": resp.T @ x,
        "all means are the mean of the data: weight each point by its resp.": means - away,
    }
    covariances = {
        "the covariances are not centred: subtract the means.": covs + means[:, :, None] * means[:, None],
        "centred at the mean of all data: use the component's mean.": covs + away[:, :, None] * away[:, None],
        "the covariances are divided by N: divide by N_k.": covs * size / 7,
        "the covariances are divided by N_k − 1, not by N_k.": covs * size / (size - 1),
        "resp is squared: weight only one factor.": torch.einsum("nk,nki,nkj->kij", resp**2, d, d) / size,
        "only variances: the entries off the diagonal are missing.": covs * torch.eye(2),
    }
    answer = call(student, x, resp)
    expect(isinstance(answer, tuple | list) and len(answer) == 3, "return weights, means, covariances.")
    Table({}, resp.mean(0), weights).judge(answer[0], "your weights")
    Table({}, means, centres).judge(answer[1], "your means")
    Table({}, covs, covariances).judge(answer[2], "your covariances")


@exercise
def sample_mixture(student: Student) -> None:
    """n draws (n,) from weights, means, stds (K,): a component by its weight, then that Gaussian."""
    n, w, m, s = 20_000, tensor([0.55, 0.3, 0.15]), tensor([-4.0, 1.0, 7.0]), tensor([0.4, 2.0, 0.7])
    x = draws(student, {}, (n,), n, w, m, s).sort().values
    expect(x.unique().numel() > n / 2, "few different values: draw component and noise for each sample.")

    def apart(w: Tensor, m: Tensor, s: Tensor) -> Tensor:  # Kolmogorov–Smirnov distance to this mixture
        return ((w * Normal(m, s).cdf(x[:, None])).sum(1) - torch.arange(1, n + 1) / n).abs().max()

    one, mean, total = tensor([1.0]), (w * m).sum(0, True), (w * s).square().sum(0, True).sqrt()
    mistakes = {
        "the weights are ignored: pick each component with its own probability.": (0 * w + 1 / 3, m, s),
        "std is read as a variance: multiply the noise by std itself.": (w, m, s.sqrt()),
        "std is squared: multiply the noise by std itself.": (w, m, s**2),
        "the noise has scale 1: multiply it by the component's std.": (w, m, 0 * s + 1),
        "weighted draws are added up into one bump: pick one component per sample.": (one, mean, total),
    }
    mistakes |= {f"component {k} makes all samples: pick anew for each.": (one, m[k], s[k]) for k in range(3)}
    limit = 2.7 / n**0.5  # a right sampler passes it once in a million draws
    for says, wrong in mistakes.items():
        expect(apart(*wrong) > limit, says)
    says = f"your histogram is not the mixture's: its mean is {x.mean():.3f}, expected {mean.item():.3f}."
    expect(apart(w, m, s) <= limit, says)
