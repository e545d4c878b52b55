"""Chapter 04's checks: the reference solutions pass, and each typical wrong answer is named."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Bernoulli, MultivariateNormal, Normal

from course_lib import checks


def log_bernoulli(logits, x):
    """Reference solution."""
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(dim=1)


def generate(decode, n, d):
    """Reference solution."""
    z = torch.randn(n, d)
    return decode(z).sigmoid()


def nll_bound(log_px_z, log_pz, log_qz):
    """Reference solution."""
    log_w = log_px_z + log_pz - log_qz  # (k, N)
    return -(torch.logsumexp(log_w, dim=0) - math.log(len(log_w))).mean()


def of_probabilities(p, x):
    return (x * p.log() + (1 - x) * (1 - p).log()).sum(1)


def each(logits, x):
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none")


LOG_BERNOULLI = {
    "averaged over pixels": lambda logits, x: each(logits, x).mean(1),
    "sigmoid is applied twice": lambda logits, x: log_bernoulli(logits.sigmoid(), x),
    "sign is turned": lambda logits, x: -log_bernoulli(logits, x),
    "arguments are swapped": lambda logits, x: log_bernoulli(x, logits),
    "only pixels with x = 1": lambda logits, x: (x * logits.sigmoid().log()).sum(1),
    "black and white are swapped": lambda logits, x: log_bernoulli(logits, 1 - x),
    "summed over the batch too": lambda logits, x: each(logits, x).sum(),
    "these are bits": lambda logits, x: log_bernoulli(logits, x) / math.log(2),
    "its logarithm is NaN": of_probabilities,
    "log is −∞": lambda logits, x: of_probabilities(logits.sigmoid(), x),
    "cuts off at 100": lambda logits, x: (
        -F.binary_cross_entropy(logits.sigmoid(), x, reduction="none").sum(1)
    ),
    "rounds to 0 or 1": lambda logits, x: of_probabilities(logits.sigmoid().clamp(1e-6, 1 - 1e-6), x),
    "is never positive": lambda logits, x: (logits * x).sum(1),
    "which axis": lambda logits, x: each(logits, x).sum(0),
    "wrong shape": each,
    "the axes are not": lambda logits, x: log_bernoulli(logits, x)[:, None],
    "a wrong value": lambda logits, x: -((logits.sigmoid() - x) ** 2).sum(1) / 2,
}


def seeded(decode, n, d):
    torch.manual_seed(0)
    return generate(decode, n, d)


def from_z(z):
    """Right but for the z that it decodes."""
    return lambda decode, n, d: decode(z(n, d)).sigmoid()


def sampled(decode, n, d):
    return torch.bernoulli(generate(decode, n, d))


GENERATE = {
    "sigmoid is forgotten": lambda decode, n, d: decode(torch.randn(n, d)),
    "sigmoid is applied twice": lambda decode, n, d: generate(decode, n, d).sigmoid(),
    "a threshold": lambda decode, n, d: (generate(decode, n, d) > 0.5).float(),
    "a threshold:": lambda decode, n, d: generate(decode, n, d).round(),
    "draws of 0 and 1": sampled,
    "not Gaussian": from_z(torch.rand),
    "`torch.rand` is uniform": from_z(lambda n, d: 2 * torch.rand(n, d) - 1),
    "z is 0": from_z(torch.zeros),
    "all rows get the same noise": from_z(lambda n, d: torch.randn(d).expand(n, d)),
    "one noise serves all dimensions": from_z(lambda n, d: torch.randn(n, 1).expand(n, d)),
    "a second call": seeded,
    "shape (20000,), expected (20000, 2)": from_z(lambda n, d: torch.randn(n)),
    "shape (2,), expected": from_z(lambda n, d: torch.randn(d)),
    "shape (2, 20000), expected": from_z(lambda n, d: torch.randn(d, n)),
    "the z that you decode: a Size": lambda decode, n, d: decode(torch.Size((n, d))).sigmoid(),
    "of z has mean": from_z(lambda n, d: 2 * torch.randn(n, d)),
    "expected 0.000 and 1.000": from_z(lambda n, d: 1 + torch.randn(n, d)),
    "must be called once": lambda decode, n, d: torch.rand(n, 4),
    "a wrong value": lambda decode, n, d: decode(torch.randn(n, d)).tanh().abs(),
    "your images: a wrong shape": lambda decode, n, d: generate(decode, n, d).mean(0),
    "the axes are not": lambda decode, n, d: generate(decode, n, d).T,
}
NLL = {
    "a mean of logs": lambda px, pz, qz: -(px + pz - qz).mean(),
    "log k is forgotten": lambda px, pz, qz: -torch.logsumexp(px + pz - qz, 0).mean(),
    "inside the logarithm": lambda px, pz, qz: -(px + pz - qz).exp().mean().log(),
    "inside the logarithm:": lambda px, pz, qz: -torch.logsumexp(px + pz - qz, (0, 1)) + math.log(px.numel()),
    "reduced over the images": lambda px, pz, qz: nll_bound(px.T, pz.T, qz.T),
    "prior's sign": lambda px, pz, qz: nll_bound(px, -pz, qz),
    "q's sign": lambda px, pz, qz: nll_bound(px, pz, -qz),
    "q is forgotten": lambda px, pz, qz: nll_bound(px, pz, 0 * qz),
    "prior is forgotten": lambda px, pz, qz: nll_bound(px, 0 * pz, qz),
    "yours is 2.6324, expected": lambda px, pz, qz: nll_bound(px, 0 * pz, 0 * qz),
    "sign is turned": lambda px, pz, qz: -nll_bound(px, pz, qz),
    "summed over the images": lambda px, pz, qz: 2 * nll_bound(px, pz, qz),
    "average over images is missing": lambda px, pz, qz: math.log(len(px)) - torch.logsumexp(px + pz - qz, 0),
    "exp of −1000 is 0": lambda px, pz, qz: -(px + pz - qz).exp().mean(0).log().mean(),
    "exp of −1000 is 0, of": lambda px, pz, qz: (
        -((px + pz - qz).max() + (px + pz - qz - (px + pz - qz).max()).exp().mean(0).log()).mean()
    ),
    "of 900 infinity: use": lambda px, pz, qz: nll_bound((px + pz - qz).clamp(-80, 80), 0 * pz, 0 * qz),
    "a wrong value. For log_px_z": lambda px, pz, qz: -(px + pz - qz).amax(0).mean(),
    "a wrong value": lambda px, pz, qz: nll_bound(px, pz, qz) / math.log(2),
    ": a float, but": lambda px, pz, qz: nll_bound(px, pz, qz).item(),
}


def from_torch_distributions(decode, n, d):
    return Bernoulli(logits=decode(MultivariateNormal(torch.zeros(d), torch.eye(d)).sample((n,)))).mean


@pytest.mark.parametrize(
    ("check", "solution"),
    [
        (checks.log_bernoulli, log_bernoulli),
        (checks.log_bernoulli, lambda logits, x: Bernoulli(logits=logits).log_prob(x).sum(1)),
        (
            checks.log_bernoulli,
            lambda logits, x: (x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits)).sum(1),
        ),
        (checks.generate, generate),
        (checks.generate, from_torch_distributions),
        (checks.generate, from_z(lambda n, d: Normal(0.0, 1.0).sample((n, d)).double())),
        (checks.generate, torch.no_grad()(generate)),
        (checks.nll_bound, nll_bound),
        (checks.nll_bound, lambda *given: nll_bound(*(value.double() for value in given))),
        (
            checks.nll_bound,
            lambda px, pz, qz: (math.log(len(px)) - torch.logsumexp(px + pz - qz, 0)).mean(),
        ),
    ],
)
def test_right_answers_pass(check, solution):
    assert check(solution).status == "correct"


@pytest.mark.parametrize(
    ("check", "words", "wrong"),
    [(checks.log_bernoulli, *pair) for pair in LOG_BERNOULLI.items()]
    + [(checks.generate, *pair) for pair in GENERATE.items()]
    + [(checks.nll_bound, *pair) for pair in NLL.items()],
)
def test_wrong_answers_are_named(check, words, wrong):
    result = check(wrong)
    assert result.status == "mistake"
    assert words in result.message
    assert "Mistake" not in result.message  # what our networks say is passed on as it is
