"""Checks for chapter 06: what D learns from and what not, G's step, the best D's value."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn, tensor
from torch.nn.functional import softplus

from course_lib.checks.report import Student, Table, call, exercise, expect, same

REAL, NOISE = tensor([[0.4], [1.3], [-0.6], [2.2]]), tensor([[0.7], [-0.2], [0.9], [-0.8]])  # (N, 1)
RATE, OLD = 0.3, 0.25  # of G's optimizer; the gradient that an earlier step has left in every weight


def players() -> tuple[nn.Linear, nn.Sequential]:
    """G(z) = 1.5·z − 0.4, and a D of one bend, always the same."""
    g, d = nn.Linear(1, 1), nn.Sequential(nn.Linear(1, 1), nn.Tanh(), nn.Linear(1, 1))
    for weight, value in zip((*g.parameters(), *d.parameters()), (1.5, -0.4, 0.8, -0.3, 2, 0.5), strict=True):
        nn.init.constant_(weight, value)
        weight.grad = torch.full_like(weight, OLD)
    return g, d


def yes(a: Tensor) -> Tensor:
    """−mean log D of logits (N, 1): small where D says "real"."""
    return softplus(-a).mean()


def no(a: Tensor) -> Tensor:
    """−mean log(1 − D)."""
    return softplus(a).mean()


@exercise
def discriminator_loss(student: Student) -> None:
    """−mean log D(x) − mean log(1 − D(G(z))), and no gradient of it reaches G."""
    g, d = players()
    value = call(student, d, g, REAL, NOISE)
    real, fake, skipped, twice = (a.detach() for a in (d(REAL), d(g(NOISE)), d(NOISE), d(g(REAL))))
    right = yes(real) + no(fake)
    mistakes = {
        "the labels are swapped: real points want −log D, generated ones −log(1 − D).": no(real) + yes(fake),
        "the sign is turned: this is the value that D raises, its loss is minus that.": -right,
        "both kinds are taken as real: generated points want −log(1 − D).": yes(real) + yes(fake),
        "both kinds are taken as fake: real points want −log D.": no(real) + no(fake),
        "the generated points are missing.": yes(real),
        "the real points are missing.": no(fake),
        "summed over the batch: take means.": right * len(REAL),
        "the mean is taken over both kinds together: add two means.": right / 2,
        "the sigmoid is applied twice: D gives logits.": yes(real.sigmoid()) + no(fake.sigmoid()),
        "this is G's loss, −log D(G(z)): D wants −log(1 − D) of G(z), and −log D of x.": yes(fake),
        "this is G's loss, log(1 − D(G(z))): D pays minus that, and −log D of x.": -no(fake),
        "the logarithms are missing: −log D, −log(1 − D).": ((-real).sigmoid() + fake.sigmoid()).mean(),
        "this is Wasserstein's loss: a logit goes through softplus.": fake.mean() - real.mean(),
        "the real points went through G, too: x are data as they are.": yes(twice) + no(fake),
        "z went to D itself: D sees G(z).": yes(real) + no(skipped),
        "logarithms to base 2: nats are wanted.": right / math.log(2),
    }  # fmt: skip
    logits = "Is this the logarithm of a logit? D gives logits, also below 0: −log D is softplus(−logit)."
    Table({}, right, mistakes, not_finite=logits).judge(value)
    says = "`backward()` is called inside, or gradients are cleared: only return the loss."
    grads = [weight.grad for weight in (*g.parameters(), *d.parameters())]
    expect(all(grad is not None and same(grad, torch.full_like(grad, OLD)) for grad in grads), says)
    expect(
        value.requires_grad, "D cannot learn from it: the gradient is cut, by `no_grad`, `detach` or `item`."
    )
    wanted = torch.autograd.grad(yes(d(REAL)) + no(d(g(NOISE).detach())), [*d.parameters()])
    *slopes, to_g, _ = torch.autograd.grad(value, [*d.parameters(), *g.parameters()], allow_unused=True)
    expect(to_g is None, "a gradient reaches G: it would learn to help D. `g(z).detach()` cuts it off.")
    good = all(a is not None and same(a, b) for a, b in zip(slopes, wanted, strict=True))
    expect(good, "a part of D's gradient is cut: only G's part should be, by `g(z).detach()`.")


@exercise
def generator_step(student: Student) -> None:
    """one step of G down −mean log D(G(z)), with fresh gradients, and D as it was."""
    (g, d), (g_before, d_before) = players(), players()
    seen: set[str] = set()  # whether G was called, and which players a gradient has reached
    g.register_forward_hook(lambda *_: seen.add("called"))
    for weight, name in ((next(g.parameters()), "to G"), (next(d.parameters()), "to D")):
        weight.register_hook(lambda _, name=name: seen.add(name))
    value = call(student, d, g, torch.optim.SGD(g.parameters(), lr=RATE), NOISE)
    after, before = flat(g), flat(g_before)
    mistakes: dict[str, Callable[[Tensor], Tensor]] = {
        "the loss is log(1 − D), which is flat where D is sure: lower −log D.": lambda a: -no(a),
        "generated points are taken as fake: that is D's loss, G wants the opposite.": no,
        "the sign is turned: G climbs where it should go down.": lambda a: -yes(a),
        "summed over the batch: take the mean.": lambda a: softplus(-a).sum(),
        "the sigmoid is applied twice: D gives logits.": lambda a: yes(a.sigmoid()),
        "this is Wasserstein's loss: a logit goes through softplus.": lambda a: -a.mean(),
        "the logarithm is missing: lower −log D.": lambda a: -a.sigmoid().mean(),
    }
    expect(same(flat(d), flat(d_before)), "D's weights have changed: only G's optimizer may step.")
    frozen = "D stays frozen for ever: let its parameters require gradients again after the step."
    expect(all(weight.requires_grad for weight in d.parameters()), frozen)
    expect(not same(after, before), f"G has not moved: {standstill(seen, g)}")
    for says, loss in mistakes.items():
        expect(not same(after, stepped(loss)), says)
    right = stepped(yes)
    says = "earlier gradients count, too: `optimizer.zero_grad()` before `backward()`."
    expect(not same(after, right - RATE * OLD), says)
    says = "the step goes along the old gradients alone: `zero_grad()`, then `backward()`, then `step()`."
    expect(not same(after, before - RATE * OLD), says)
    expect(not same(after, stepped(yes, 2)), "two steps are made: one is wanted.")
    expect(same(after, right), "G's weights are not where one step down −mean log D(G(z)) leads.")
    new = {
        "this is the loss after the step: return the one that was stepped down.": yes(d(g(NOISE))).detach()
    }
    value = torch.tensor(value) if isinstance(value, float) else value  # of `loss.item()`
    Table({}, yes(d_before(g_before(NOISE))).detach(), new).judge(value, "the loss you return")


def standstill(seen: set[str], g: nn.Linear) -> str:
    """Why G has not moved."""
    if "to G" in seen:
        gone = g.weight.grad is None or not g.weight.grad.any()
        order = "`zero_grad()` stands between `backward()` and `step()`: it belongs before `backward()`."
        return order if gone else "`optimizer.step()` is missing."
    if "called" not in seen:
        return "it is not called at all, and the loss is one of `d(g(z))`."
    cut = "the gradient is cut before it reaches G, by `detach` or `no_grad`."
    return cut if "to D" in seen else "`backward()` is missing."


def stepped(loss: Callable[[Tensor], Tensor], steps: int = 1) -> Tensor:
    """G's weights after steps down a loss of D's logits."""
    g, d = players()
    optimizer = torch.optim.SGD(g.parameters(), lr=RATE)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(d(g(NOISE))).backward()
        optimizer.step()
    return flat(g)


def flat(network: nn.Module) -> Tensor:
    """A network's weights in a row."""
    return nn.utils.parameters_to_vector(network.parameters()).detach()


@exercise
def best_value(student: Student) -> None:
    """∫ p·log D* + q·log(1 − D*) with D* = p/(p + q): −log 4 + 2·JSD, in nats."""
    p, q = tensor([0.3, 1.0, 1.6, 0.8, 0.3]), tensor([1.8, 1.2, 0.4, 0.3, 0.3])  # each adds up to 1/dx
    dx, log_d, log_not = tensor(0.25), (p / (p + q)).log(), (q / (p + q)).log()
    right = dx * (p * log_d + q * log_not).sum()
    mistakes = {
        "dx is missing: an integral is a sum over cells times their width.": right / dx,
        "dx is there twice: each cell counts once times its width.": right * dx,
        "the mean over cells is taken: sum, times dx.": right / dx / len(p),
        "D* is turned round: it is high where p is, p/(p + q).": dx * (p * log_not + q * log_d).sum(),
        "this is the JSD: the value is −log 4 + 2·JSD.": (right + math.log(4)) / 2,
        "−log 4 is missing: D* is p/(p + q), not p over their mean.": right + math.log(4),
        "the sign is turned: this is D's loss.": -right,
        "q's part is missing.": dx * (p * log_d).sum(),
        "p's part is missing.": dx * (q * log_not).sum(),
        "the densities do not weigh: p·log D* + q·log(1 − D*).": dx * (log_d + log_not).sum(),
        "both parts are weighed by p: the second one by q.": dx * (p * (log_d + log_not)).sum(),
        "logarithms to base 2: nats are wanted.": right / math.log(2),
        "logarithms to base 10: nats are wanted.": right / math.log(10),
        "the logarithms are missing.": dx * ((p * p + q * q) / (p + q)).sum(),
        "this is a KL, ∫ p·log(p/q).": dx * (p * (p / q).log()).sum(),
        "halved: the value is the whole integral.": right / 2,
        "one number is wanted: sum over the cells.": dx * (p * log_d + q * log_not),
    }
    Table({"p": p, "q": q, "dx": dx}, right, mistakes).ask(student)
