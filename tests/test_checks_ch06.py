"""Chapter 06's checks: the reference solutions pass, and each typical wrong answer is named."""

import math

import pytest
import torch
import torch.nn.functional as F

from course_lib import checks


def discriminator_loss(d, g, x, z):
    """Reference solution."""
    fake = g(z).detach()  # (N, 1)
    return F.softplus(-d(x)).mean() + F.softplus(d(fake)).mean()


def generator_step(d, g, optimizer, z):
    """Reference solution."""
    loss = F.softplus(-d(g(z))).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def best_value(p, q, dx):
    """Reference solution."""
    best = p / (p + q)  # (G,)
    return (p * best.log() + q * (1 - best).log()).sum() * dx


def bce(logits, label):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def without_gradient(d, g, x, z):
    with torch.no_grad():
        return discriminator_loss(d, g, x, z)


def with_backward(d, g, x, z):
    loss = discriminator_loss(d, g, x, z)
    loss.backward()
    return loss


def real_part_cut(d, g, x, z):
    return F.softplus(-d(x).detach()).mean() + F.softplus(d(g(z).detach())).mean()


DISCRIMINATOR = {
    "a gradient reaches G": lambda d, g, x, z: bce(d(x), 1.0) + bce(d(g(z)), 0.0),
    "labels are swapped": lambda d, g, x, z: bce(d(x), 0.0) + bce(d(g(z).detach()), 1.0),
    "sign is turned": lambda *given: -discriminator_loss(*given),
    "sign is turned:": lambda d, g, x, z: (
        d(x).sigmoid().log().mean() + (1 - d(g(z).detach()).sigmoid()).log().mean()
    ),
    "both kinds are taken as real": lambda d, g, x, z: bce(d(x), 1.0) + bce(d(g(z).detach()), 1.0),
    "both kinds are taken as fake": lambda d, g, x, z: bce(d(x), 0.0) + bce(d(g(z).detach()), 0.0),
    "generated points are missing": lambda d, g, x, z: bce(d(x), 1.0),
    "real points are missing": lambda d, g, x, z: bce(d(g(z).detach()), 0.0),
    "take means": lambda d, g, x, z: F.softplus(-d(x)).sum() + F.softplus(d(g(z).detach())).sum(),
    "add two means": lambda d, g, x, z: F.binary_cross_entropy_with_logits(
        d(torch.cat([x, g(z).detach()])), torch.tensor([[1.0]] * 4 + [[0.0]] * 4)
    ),
    "sigmoid is applied twice": lambda d, g, x, z: (
        bce(d(x).sigmoid(), 1.0) + bce(d(g(z).detach()).sigmoid(), 0.0)
    ),
    "G's loss, −log D(G(z))": lambda d, g, x, z: bce(d(g(z)), 1.0),
    "G's loss, log(1 − D": lambda d, g, x, z: -bce(d(g(z)), 0.0),
    "logarithms are missing": lambda d, g, x, z: (
        (1 - d(x).sigmoid()).mean() + d(g(z).detach()).sigmoid().mean()
    ),
    "Wasserstein": lambda d, g, x, z: d(g(z).detach()).mean() - d(x).mean(),
    "real points went through G": lambda d, g, x, z: discriminator_loss(d, g, g(x), z),
    "z went to D itself": lambda d, g, x, z: bce(d(x), 1.0) + bce(d(z), 0.0),
    "base 2": lambda *given: discriminator_loss(*given) / math.log(2),
    "D cannot learn": without_gradient,
    "D cannot learn from it": lambda *given: discriminator_loss(*given).detach(),
    "part of D's gradient is cut": real_part_cut,
    ": a float, but": lambda *given: discriminator_loss(*given).item(),
    "expected ()": lambda d, g, x, z: F.softplus(-d(x)) + F.softplus(d(g(z).detach())),
    "a wrong value": lambda d, g, x, z: bce(d(x), 0.9) + bce(d(g(z).detach()), 0.0),
    "stops in": lambda d, g, x, z: d(x) @ d(z),
    "logarithm of a logit": lambda d, g, x, z: -d(x).log().mean() - (1 - d(g(z).detach())).log().mean(),
    "`backward()` is called inside": with_backward,
}


def stepping(loss, *, zero="before", steps=1, cut=False, value=None):
    """A step of G with one thing otherwise."""

    def step(d, g, optimizer, z):
        for _ in range(steps):
            points = g(z).detach().requires_grad_() if cut else g(z)
            made = loss(d(points))
            if zero == "before":
                optimizer.zero_grad()
            made.backward()
            if zero == "after":
                optimizer.zero_grad()
            optimizer.step()
        return made.detach() if value is None else value(d, g, z)

    return step


def d_of_z(d, g, optimizer, z):
    loss = yes(d(z))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def zeroed_only(d, g, optimizer, z):
    optimizer.zero_grad()
    optimizer.step()
    return yes(d(g(z))).detach()


def yes(a):
    return F.softplus(-a).mean()


def both_step(d, g, optimizer, z):
    other = torch.optim.SGD([*d.parameters(), *g.parameters()], lr=0.3)
    return generator_step(d, g, other, z)


def frozen_for_ever(d, g, optimizer, z):
    d.requires_grad_(False)
    return generator_step(d, g, optimizer, z)


def frozen_and_freed(d, g, optimizer, z):
    loss = frozen_for_ever(d, g, optimizer, z)
    d.requires_grad_(True)
    return loss


def no_backward(d, g, optimizer, z):
    optimizer.step()
    return yes(d(g(z)))


def no_step(d, g, optimizer, z):
    loss = yes(d(g(z)))
    loss.backward()
    return loss.detach()


GENERATOR = {
    "D's weights have changed": both_step,
    "D stays frozen for ever": frozen_for_ever,
    "lower −log D": stepping(lambda a: -F.softplus(a).mean()),
    "lower −log D.": stepping(lambda a: (1 - a.sigmoid()).log().mean()),
    "G wants the opposite": stepping(lambda a: bce(a, 0.0)),
    "G climbs": stepping(lambda a: -yes(a)),
    "take the mean": stepping(lambda a: F.softplus(-a).sum()),
    "sigmoid is applied twice": stepping(lambda a: bce(a.sigmoid(), 1.0)),
    "Wasserstein": stepping(lambda a: -a.mean()),
    "logarithm is missing": stepping(lambda a: (1 - a.sigmoid()).mean()),
    "`optimizer.step()` is missing": no_step,
    "cut before it reaches G": stepping(yes, cut=True),
    "stands between `backward()` and `step()`": stepping(yes, zero="after"),
    "`backward()` is missing": zeroed_only,
    "not called at all": d_of_z,
    "earlier gradients count": stepping(yes, zero="never"),
    "along the old gradients": no_backward,
    "two steps": stepping(yes, steps=2),
    "loss after the step": stepping(yes, value=lambda d, g, z: yes(d(g(z))).detach()),
    "the loss you return": stepping(yes, value=lambda d, g, z: d(g(z)).detach()),
    "not where one step": stepping(lambda a: bce(a, 0.9)),
    "returns None": stepping(yes, value=lambda d, g, z: None),
}
VALUE = {
    "dx is missing": lambda p, q, dx: best_value(p, q, 1),
    "dx is there twice": lambda p, q, dx: best_value(p, q, dx) * dx,
    "base 10": lambda p, q, dx: best_value(p, q, dx) / math.log(10),
    "mean over cells": lambda p, q, dx: best_value(p, q, 1) / len(p),
    "D* is turned round": lambda p, q, dx: (p * (q / (p + q)).log() + q * (p / (p + q)).log()).sum() * dx,
    "this is the JSD": lambda p, q, dx: (best_value(p, q, dx) + math.log(4)) / 2,
    "−log 4 is missing": lambda p, q, dx: (
        (p * (2 * p / (p + q)).log() + q * (2 * q / (p + q)).log()).sum() * dx
    ),
    "this is D's loss": lambda p, q, dx: -best_value(p, q, dx),
    "q's part": lambda p, q, dx: (p * (p / (p + q)).log()).sum() * dx,
    "p's part": lambda p, q, dx: (q * (q / (p + q)).log()).sum() * dx,
    "do not weigh": lambda p, q, dx: ((p / (p + q)).log() + (q / (p + q)).log()).sum() * dx,
    "weighed by p": lambda p, q, dx: (p * (p / (p + q)).log() + p * (q / (p + q)).log()).sum() * dx,
    "base 2": lambda p, q, dx: best_value(p, q, dx) / math.log(2),
    "logarithms are missing": lambda p, q, dx: (p * p / (p + q) + q * q / (p + q)).sum() * dx,
    "this is a KL": lambda p, q, dx: (p * (p / q).log()).sum() * dx,
    "halved": lambda p, q, dx: best_value(p, q, dx) / 2,
    "sum over the cells": lambda p, q, dx: (p * (p / (p + q)).log() + q * (q / (p + q)).log()) * dx,
    "NaN or infinity": lambda p, q, dx: (p * (p / q).log() + q * (1 - p / q).log()).sum() * dx,
    ": a float, but": lambda p, q, dx: best_value(p, q, dx).item(),
}


@pytest.mark.parametrize(
    ("check", "solution"),
    [
        (checks.discriminator_loss, discriminator_loss),
        (checks.discriminator_loss, lambda d, g, x, z: bce(d(x), 1.0) + bce(d(g(z).detach()), 0.0)),
        (
            checks.discriminator_loss,
            lambda d, g, x, z: -(F.logsigmoid(d(x)) + F.logsigmoid(-d(g(z).detach()))).mean(),
        ),
        (checks.generator_step, generator_step),
        (checks.generator_step, lambda *given: generator_step(*given).item()),
        (checks.generator_step, stepping(lambda a: bce(a, 1.0))),
        (checks.generator_step, frozen_and_freed),
        (checks.best_value, best_value),
        (checks.best_value, lambda p, q, dx: -(p * (1 + q / p).log() + q * (1 + p / q).log()).sum() * dx),
    ],
)
def test_right_answers_pass(check, solution):
    assert check(solution).status == "correct"


@pytest.mark.parametrize(
    ("check", "words", "wrong"),
    [(checks.discriminator_loss, *pair) for pair in DISCRIMINATOR.items()]
    + [(checks.generator_step, *pair) for pair in GENERATOR.items()]
    + [(checks.best_value, *pair) for pair in VALUE.items()],
)
def test_wrong_answers_are_named(check, words, wrong):
    result = check(wrong)
    assert result.status == "mistake"
    assert words in result.message


@pytest.mark.parametrize("check", [checks.discriminator_loss, checks.generator_step, checks.best_value])
def test_a_stub_is_not_started(check):
    def stub(*given):
        raise NotImplementedError

    assert check(stub).status == "not started"
