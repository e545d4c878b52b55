"""Chapter 02's checks: the reference solutions pass, and each typical wrong answer is named."""

import math

import pytest
import torch
from torch.distributions import Categorical, Distribution, Independent, Normal, kl_divergence

from course_lib import checks
from course_lib.elbo import LatentModel, elbo
from course_lib.elbo import importance_weighted_bound as package_importance_weighted_bound
from course_lib.gaussians import kl_diag


def kl_to_standard_normal(mu, logvar):
    """Reference solution."""
    return 0.5 * (logvar.exp() + mu**2 - 1 - logvar).sum(dim=1)


def lower_bound(log_joint, q):
    """Reference solution."""
    return (q * log_joint - torch.xlogy(q, q)).sum(dim=1)


def importance_weighted_bound(log_w):
    """Reference solution."""
    return torch.logsumexp(log_w, dim=0) - math.log(log_w.shape[0])


def half(total):
    return 0.5 * total.sum(1)


KL = {
    "sign is turned": lambda mu, logvar: half(1 + logvar - mu**2 - logvar.exp()),
    "½ is missing": lambda mu, logvar: 2 * kl_to_standard_normal(mu, logvar),
    "averaged over dimensions": lambda mu, logvar: 0.5 * (logvar.exp() + mu**2 - 1 - logvar).mean(1),
    "which axis": lambda mu, logvar: 0.5 * (logvar.exp() + mu**2 - 1 - logvar).sum(0),
    "summed over the rows too": lambda mu, logvar: 0.5 * (logvar.exp() + mu**2 - 1 - logvar).sum(),
    "read as log-std": lambda mu, logvar: half((2 * logvar).exp() + mu**2 - 1 - 2 * logvar),
    "direction is turned": lambda mu, logvar: half(logvar + (1 + mu**2) / logvar.exp() - 1),
    "mu is not squared": lambda mu, logvar: half(logvar.exp() + mu - 1 - logvar),
    "−1 is missing": lambda mu, logvar: half(logvar.exp() + mu**2 - logvar),
    "never negative": lambda mu, logvar: -5 * kl_to_standard_normal(mu, logvar),
    "a wrong shape": lambda mu, logvar: 0.5 * (logvar.exp() + mu**2 - 1 - logvar),
    "the axes are not": lambda mu, logvar: 0.5 * (logvar.exp() + mu**2 - 1 - logvar).sum(1, keepdim=True),
    "a wrong value": lambda mu, logvar: half(mu**2),
    "your result: NaN or infinity": lambda mu, logvar: half(logvar.log()),
}
LOWER_BOUND = {
    "sign is turned": lambda log_joint, q: -lower_bound(log_joint, q),
    "−log q is forgotten": lambda log_joint, q: (q * log_joint).sum(1),
    "sign of log q": lambda log_joint, q: (q * (log_joint + q.log())).sum(1),
    "log P(x) itself": lambda log_joint, q: log_joint.logsumexp(1),
    "log P(x) itself, whatever": lambda log_joint, q: (q * (log_joint.exp() / q)).sum(1).log(),
    "the gap": lambda log_joint, q: (q * (q.log() - log_joint.log_softmax(1))).sum(1),
    "log of a sum in place of a sum of logs": lambda log_joint, q: (q * log_joint.exp()).sum(1).log(),
    "does not weight": lambda log_joint, q: (log_joint - q.log()).sum(1),
    "averaged over z": lambda log_joint, q: (q * (log_joint - q.log())).mean(1),
    "which axis": lambda log_joint, q: (q * (log_joint - q.log())).sum(0),
    "summed over the rows too": lambda log_joint, q: lower_bound(log_joint, q).sum(),
    "above log P(x)": lambda log_joint, q: -torch.xlogy(q, q).sum(1),
    "0 · log 0": lambda log_joint, q: (q * (log_joint - q.log())).sum(1),
    "a wrong value": lambda log_joint, q: lower_bound(log_joint, q) - 0.1,
}
IMPORTANCE = {
    "mean of logs": lambda log_w: log_w.mean(0),
    "log k is forgotten": lambda log_w: log_w.logsumexp(0),
    "divided by k": lambda log_w: log_w.logsumexp(0) / len(log_w),
    "logs are summed": lambda log_w: log_w.sum(0),
    "largest weight": lambda log_w: log_w.max(0).values,
    "logarithm is missing": lambda log_w: log_w.exp().mean(0),
    "reduced over the images": lambda log_w: log_w.exp().mean(1).log(),
    "which axis do": lambda log_w: importance_weighted_bound(log_w).mean(),
    "exp of 900 is infinity": lambda log_w: log_w.exp().mean(0).log(),
    "a wrong shape": lambda log_w: log_w.flatten().logsumexp(0) - math.log(log_w.numel()),
    "a wrong value": lambda log_w: log_w.logsumexp(0) - 1,
}


def with_torch_distributions(mu, logvar):
    q = Independent(Normal(mu, (logvar / 2).exp()), 1)
    return kl_divergence(q, Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1))


class Fixed(Distribution):
    """Stands for a prior, a q or a likelihood of which only the log-densities matter."""

    has_rsample = False

    def __init__(self, log_probs, batch_shape=(), draw=None):
        super().__init__(batch_shape, (), validate_args=False)
        self.log_probs, self.draw = log_probs, draw

    def log_prob(self, value):
        return self.log_probs

    def sample(self, shape=()):
        return self.draw


def with_package_elbo(log_joint, q):
    n, k = log_joint.shape
    # under a uniform prior over z, the likelihood is what is left of the joint
    likelihood = Fixed(log_joint.T + math.log(k))  # (K, N)
    model = LatentModel(Categorical(torch.ones(k)), lambda z: likelihood)
    return elbo(model, Categorical(q), torch.zeros(n)).elbo


def with_package_bound(log_w):
    k, n = log_w.shape
    silent = torch.zeros(k, n)  # prior and q say nothing, so that the likelihood is the weight
    model = LatentModel(Fixed(silent), lambda z: Fixed(log_w))
    return package_importance_weighted_bound(model, Fixed(silent, (n,), silent), torch.zeros(n), k)


@pytest.mark.parametrize(
    ("check", "solution"),
    [
        (checks.kl_to_standard_normal, kl_to_standard_normal),
        (checks.kl_to_standard_normal, with_torch_distributions),
        (checks.kl_to_standard_normal, kl_diag),
        (checks.lower_bound, lower_bound),
        (checks.lower_bound, with_package_elbo),
        (checks.lower_bound, lambda log_joint, q: (q * (log_joint - (q + 1e-12).log())).sum(1)),
        (checks.lower_bound, lambda log_joint, q: lower_bound(log_joint.float(), q.float())),
        (checks.importance_weighted_bound, importance_weighted_bound),
        (checks.importance_weighted_bound, with_package_bound),
        (
            checks.importance_weighted_bound,
            lambda log_w: log_w.amax(0) + (log_w - log_w.amax(0)).exp().mean(0).log(),
        ),
    ],
)
def test_right_answers_pass(check, solution):
    assert check(solution).status == "correct"


@pytest.mark.parametrize(
    ("check", "words", "wrong"),
    [(checks.kl_to_standard_normal, *pair) for pair in KL.items()]
    + [(checks.lower_bound, *pair) for pair in LOWER_BOUND.items()]
    + [(checks.importance_weighted_bound, *pair) for pair in IMPORTANCE.items()],
)
def test_wrong_answers_are_named(check, words, wrong):
    result = check(wrong)
    assert result.status == "mistake"
    assert words in result.message
