"""Checks for chapter 02: the KL term in closed form, the lower bound, the importance-weighted bound."""

from torch import tensor
from torch.distributions import Normal, kl_divergence

from course_lib.checks.report import Student, Table, exercise


@exercise
def kl_to_standard_normal(student: Student) -> None:
    """mu and logvar (N, D) give KL(N(mu, exp(logvar)) ‖ N(0, I)), one number per row (N,), in nats."""
    mu, logvar = tensor([[1.0, -0.5, 0.3], [0.2, 2.0, -1.5]]), tensor([[0.4, -1.0, 0.7], [-0.6, 0.3, 1.1]])
    q, p, square, var = Normal(mu, (logvar / 2).exp()), Normal(0 * mu, 1 + 0 * mu), mu**2, logvar.exp()
    kl = kl_divergence(q, p)  # (N, D)
    mistakes = {
        "the sign is turned: a KL is never negative.": -kl.sum(1),
        "the factor ½ is missing. This is the lecture's T, twice the KL.": 2 * kl.sum(1),
        "averaged over dimensions: sum over them.": kl.mean(1),
        "summed over the rows too: one number per row is wanted.": kl.sum(),
        "logvar is read as log-std: the variance is exp(logvar).":
            (var**2 + square - 1 - 2 * logvar).sum(1) / 2,
        "the direction is turned, KL(p‖q) in place of KL(q‖p).": kl_divergence(p, q).sum(1),
        "mu is not squared.": (var + mu - 1 - logvar).sum(1) / 2,
        "this is the absolute value of mu: square it.": (var + mu.abs() - 1 - logvar).sum(1) / 2,
        "mu² is missing: a code far from 0 must cost something.": (var - 1 - logvar).sum(1) / 2,
        "−logvar is missing: without it noise 0 is the cheapest.": (var + square - 1).sum(1) / 2,
        "the −1 is missing: KL must be 0 at mu = 0, logvar = 0.": (var + square - logvar).sum(1) / 2,
    }  # fmt: skip
    laws = {"a KL is never negative.": lambda kl: kl >= 0}
    Table({"mu": mu, "logvar": logvar}, kl.sum(1), mistakes, laws).ask(student)


@exercise
def lower_bound(student: Student) -> None:
    """log P(x, z) and q, both (N, K), give L_b (N,) in nats, never above log P(x), also where q is 0."""
    log_joint = tensor([[-1.2, -2.5, -3.0], [-4.0, -0.9, -2.2]])
    q = tensor([[0.5, 0.2, 0.3], [0.1, 0.3, 0.6]])
    terms, log_px = q * (log_joint - q.log()), log_joint.logsumexp(1)  # (N, K), (N,)
    mistakes = {
        "the sign is turned: log P(x, z) counts plus, log q counts minus.": -terms.sum(1),
        "−log q is forgotten: the entropy of q belongs to the bound.": (q * log_joint).sum(1),
        "the sign of log q is turned: subtract it.": (q * (log_joint + q.log())).sum(1),
        "this is log P(x) itself, whatever q is: average the logs under q.": log_px,
        "this is the gap, log P(x) − L_b.": log_px - terms.sum(1),
        "log of a sum in place of a sum of logs: average log P(x, z) under q.":
            (q * log_joint.exp()).sum(1).log(),
        "q does not weight the terms: multiply each by q.": (log_joint - q.log()).sum(1),
        "averaged over z: q is the weight already, so sum.": terms.mean(1),
        "summed over the rows too: one number per row is wanted.": terms.sum(),
    }  # fmt: skip
    laws = {"a lower bound cannot lie above log P(x).": lambda bound: bound <= log_px + 1e-6}
    Table({"log_joint": log_joint, "q": q}, terms.sum(1), mistakes, laws).ask(student)
    q = tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]])  # entropies 0 and log 2
    right = (q * log_joint).sum(1) + tensor([0.0, 2.0]).clamp(min=1).log()
    why = "0 · log 0 counts as 0, but a computer says NaN: `torch.xlogy`, or `torch.where`."
    Table({"log_joint": log_joint, "q": q}, right, not_finite=why).ask(student)


@exercise
def importance_weighted_bound(student: Student) -> None:
    """log_w (k, N) gives the log of the mean weight (N,) in nats, safe for any size of log_w."""
    log_w = tensor([[-1.0, -4.0], [-2.5, -0.5], [0.3, -2.0]])
    total = log_w.logsumexp(0)  # (N,)
    right = total - tensor(3.0).log()
    mistakes = {
        "a mean of logs in place of the log of a mean: this is the ordinary bound.": log_w.mean(0),
        "log k is forgotten: a mean of k weights is their sum divided by k.": total,
        "divided by k after the logarithm: subtract log k.": total / 3,
        "the logs are summed: exponentiate, average, then take the logarithm.": log_w.sum(0),
        "this is the largest weight only: `logsumexp` adds them all.": log_w.amax(0),
        "the logarithm is missing: this is the mean weight.": right.exp(),
        "reduced over the images (axis 1): the k samples are axis 0.": log_w.logsumexp(1) - tensor(2.0).log(),
    }
    Table({"log_w": log_w}, right, mistakes).ask(student)
    why = "exp of 900 is infinity, of −1000 it is 0: use `logsumexp`, which subtracts the maximum first."
    far = tensor([[-1000.0, 900.0], [-1000.0, 900.0]])
    Table({"log_w": far}, far[0], not_finite=why).ask(student)
