"""Chapter 07's checks: the reference solutions pass, and each typical wrong answer is named."""

import math

import pytest
import torch

from course_lib import checks


def slopes(score, x, of=torch.sum, create_graph=True):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(of(score(x)), x, create_graph=create_graph)[0]


def r1_penalty(score, x):
    """Reference solution."""
    return slopes(score, x).square().sum(1).mean() / 2


def class_kl(labels):
    """Reference solution."""
    shares = torch.bincount(labels, minlength=10) / len(labels)
    return torch.xlogy(shares, 10 * shares).sum()


def radii(points, nth):
    return torch.cdist(points, points).sort(1).values[:, nth]


def precision(real, fake, k):
    """Reference solution."""
    return (torch.cdist(fake, real) <= radii(real, k)).any(1).float().mean()


def only_seen(labels):
    shares = torch.bincount(labels)
    shares = shares[shares > 0] / len(labels)
    return (shares * (shares * len(shares)).log()).sum()


def with_log(labels, combine):
    shares = torch.bincount(labels, minlength=10) / len(labels)
    return combine(shares)


R1 = {
    "factor ½": lambda score, x: 2 * r1_penalty(score, x),
    "summed over the images": lambda score, x: len(x) * r1_penalty(score, x),
    "averaged over the pixels": lambda score, x: slopes(score, x).square().mean() / 2,
    "not squared": lambda score, x: slopes(score, x).norm(dim=1).mean() / 2,
    "the mean is squared": lambda score, x: slopes(score, x).norm(dim=1).mean() ** 2 / 2,
    "gradient of the mean": lambda score, x: slopes(score, x, torch.mean).square().sum(1).mean() / 2,
    "a slope other than 1": lambda score, x: (slopes(score, x).norm(dim=1) - 1).square().mean(),
    "the score itself": lambda score, x: score(x).square().mean() / 2,
    "one value per image": lambda score, x: slopes(score, x).square().sum(1) / 2,
    "one norm for each image": lambda score, x: slopes(score, x).norm() ** 2,
    "D cannot learn from it": lambda score, x: (
        slopes(score, x, create_graph=False).square().sum(1).mean() / 2
    ),
    "whole batch": lambda score, x: torch.stack([r1_penalty(score, row[None]) for row in x]).mean(),
    "wrong value": lambda score, x: r1_penalty(score, x) + 0.1,
    "stops in": lambda score, x: torch.autograd.grad(score(x).sum(), x)[0],
}
KL = {
    "turned round": lambda y: with_log(y, lambda p: (0.1 * (0.1 / p).log()).sum()),
    "0 · log 0": lambda y: with_log(y, lambda p: (p * (10 * p).log()).sum()),
    "bits": lambda y: class_kl(y) / math.log(2),
    "entropy": lambda y: with_log(y, lambda p: -torch.xlogy(p, p).sum()),
    "log 10 is missing": lambda y: with_log(y, lambda p: torch.xlogy(p, p).sum()),
    "not seen count too": only_seen,
    "averaged over the classes": lambda y: with_log(y, lambda p: torch.xlogy(p, 10 * p).mean()),
    "not divided by N": lambda y: with_log(y, lambda p: torch.xlogy(p * len(y), p * len(y) * 10).sum()),
    "without a logarithm": lambda y: with_log(y, lambda p: (p - 0.1).abs().sum()),
    "sign is turned": lambda y: -class_kl(y),
    "torch tensor": lambda y: float(class_kl(y)),
    "wrong value": lambda y: class_kl(y) + 0.2,
}
PRECISION = {
    "recall": lambda real, fake, k: precision(fake, real, k),
    "nearest neighbour is itself": lambda real, fake, k: precision(real, fake, k - 1),
    "too far": lambda real, fake, k: precision(real, fake, k + 1),
    "those of the fake": lambda real, fake, k: (
        (torch.cdist(fake, real) <= radii(fake, k)[:, None]).any(1).float().mean()
    ),
    "`any`": lambda real, fake, k: (torch.cdist(fake, real) <= radii(real, k)).all(1).float().mean(),
    "counts pairs": lambda real, fake, k: (torch.cdist(fake, real) <= radii(real, k)).float().mean(),
    "one radius for all": lambda real, fake, k: (
        (torch.cdist(fake, real) <= radii(real, k).mean()).any(1).float().mean()
    ),
    "number of points": lambda real, fake, k: precision(real, fake, k) * len(fake),
    "outside counts": lambda real, fake, k: (torch.cdist(fake, real) > radii(real, k)).any(1).float().mean(),
    "from far to near": lambda real, fake, k: (
        (torch.cdist(fake, real) <= torch.cdist(real, real).sort(1, descending=True).values[:, k])
        .any(1)
        .float()
        .mean()
    ),
    "cover a fake one": lambda real, fake, k: (
        (torch.cdist(fake, real) <= radii(real, k)).any(0).float().mean()
    ),
    "only the nearest": lambda real, fake, k: (
        (torch.cdist(fake, real).amin(1) <= radii(real, k)[torch.cdist(fake, real).argmin(1)]).float().mean()
    ),
    "one value per point": lambda real, fake, k: (torch.cdist(fake, real) <= radii(real, k)).any(1).float(),
    "squared on one side": lambda real, fake, k: (
        (torch.cdist(fake, real) ** 2 <= radii(real, k)).any(1).float().mean()
    ),
    "k is ignored": lambda real, fake, k: precision(real, fake, 2),
    "wrong value": lambda real, fake, k: precision(real, fake, k) + 0.013,
}
ALL = {"r1_penalty": (r1_penalty, R1), "class_kl": (class_kl, KL), "precision": (precision, PRECISION)}
CASES = [(name, says, wrong) for name, (_, cases) in ALL.items() for says, wrong in cases.items()]


@pytest.mark.parametrize("name", ALL)
def test_the_reference_is_correct(name):
    found = getattr(checks, name)(ALL[name][0])
    assert found.status == "correct", found.message


@pytest.mark.parametrize(("name", "says", "wrong"), CASES, ids=[f"{n}: {s}" for n, s, _ in CASES])
def test_the_mistake_is_named(name, says, wrong):
    found = getattr(checks, name)(wrong)
    assert found.status == "mistake"
    assert says in found.message


@pytest.mark.parametrize("name", ALL)
def test_an_untouched_exercise_is_not_started(name):
    def stub(*args):
        raise NotImplementedError

    assert getattr(checks, name)(stub).status == "not started"
