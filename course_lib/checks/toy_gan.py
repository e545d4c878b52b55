"""Checks for “A GAN in one dimension”: what D learns from and what not, G's step, the best D's value."""

import math
import secrets
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn, tensor
from torch.nn.functional import softplus
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from course_lib.checks.report import (
    Inputs,
    Mistake,
    Student,
    Table,
    agrees,
    call,
    exercise,
    expect,
    number_or_tensor,
    other_inputs,
    other_units,
    plain,
    same,
)
from course_lib.checks.watch import watched

REAL, NOISE = tensor([[0.4], [1.3], [-0.6], [2.2]]), tensor([[0.7], [-0.2], [0.9], [-0.8]])  # (N, 1)
G_WEIGHTS = tensor([1.5, -0.4])  # G(z) = 1.5·z − 0.4
D_WEIGHTS = tensor([0.8, -0.3, 2.0, 0.5])  # D of one bend: its logit is 2·tanh(0.8·x − 0.3) + 0.5
RATE = 0.3  # of G's optimizer
OLD = 0.25  # the gradient that an earlier step has left in every weight
SURE = 1000.0  # the size of a logit whose sigmoid is 0 or 1 in float64, too

LOGITS = "D gives logits: −log D is softplus(−logit), and −log(1 − D) is softplus(logit)."


def player(weights: Tensor, *network: nn.Module) -> nn.Sequential:
    """A network with these weights, each of which has a gradient left over from an earlier step."""
    built = nn.Sequential(*network)
    vector_to_parameters(weights.clone(), built.parameters())
    for weight in built.parameters():
        weight.grad = torch.full_like(weight, OLD)
    return built


def generator(weights: Tensor) -> nn.Sequential:
    """z (N, 1) to points (N, 1)."""
    return player(weights, nn.Linear(1, 1))


def discriminator(weights: Tensor) -> nn.Sequential:
    """Points (N, 1) to logits (N, 1), with one hidden unit for three weights."""
    hidden = len(weights) // 3
    return player(weights, nn.Linear(1, hidden), nn.Tanh(), nn.Linear(hidden, 1))


def shifted(by: float) -> Tensor:
    """D's weights with `by` added to every logit."""
    return D_WEIGHTS + tensor([0.0, 0.0, 0.0, by])


def draw_players(source: torch.Generator, n: int, hidden: int) -> Inputs:
    """Weights of D and G, real points and noise."""
    return {
        "d": torch.randn(3 * hidden + 1, generator=source),
        "g": torch.randn(2, generator=source),
        "x": torch.randn(n, 1, generator=source),
        "z": torch.rand(n, 1, generator=source) * 2 - 1,
    }


def other_size() -> tuple[int, int]:
    """Points and hidden units, both other than in the example."""
    return 6 + secrets.randbelow(4), 3 + secrets.randbelow(3)


def yes(a: Tensor) -> Tensor:
    """−mean log D of logits (N, 1): small where D says "real"."""
    return softplus(-a).mean()


def no(a: Tensor) -> Tensor:
    """−mean log(1 − D)."""
    return softplus(a).mean()


def blame(watch_broken_by: str) -> str:
    """Which operation of a loss breaks at logits of ±1000, in words."""
    if "exp" in watch_broken_by:
        return f"exp of {SURE:.0f} is infinity. {LOGITS}"
    return f"a sigmoid rounds to 0 or to 1 there, and the logarithm of 0 is minus infinity. {LOGITS}"


CUT_OFF = (
    "a clamp, a small number inside the logarithm, or a loss of probabilities cuts it off at large logits. "
    + LOGITS
)


# ---------------------------------------------------------------- D's loss


def d_loss(d: nn.Module, g: nn.Module, x: Tensor, z: Tensor) -> Tensor:
    """What is wanted of `discriminator_loss`."""
    return yes(d(x)) + no(d(g(z).detach()))


@exercise
def discriminator_loss(student: Student) -> None:
    """−mean log D(x) − mean log(1 − D(G(z))), and no gradient of it reaches G."""
    d, g = discriminator(D_WEIGHTS), generator(G_WEIGHTS)
    value = call(student, d, g, REAL, NOISE)
    expect_still_learning(d, g)
    again = call(student, d, g, REAL, NOISE)
    if isinstance(value, Tensor) and isinstance(again, Tensor):
        says = "two calls differ, so noise is drawn: use the `z` that is given."
        expect(same(value.detach(), again.detach()), says)
    with torch.no_grad():
        right, mistakes = d_loss(d, g, REAL, NOISE), wrong_d_losses(d, g)
    says = f"Is this the logarithm of a logit, which may be below 0? {LOGITS}"
    Table({}, right, mistakes | other_units(right), not_finite=says, differentiable=True).judge(value)

    def with_weights(loss: Callable[..., Any]) -> Callable[..., Any]:
        def run(weights_d: Tensor, weights_g: Tensor, x: Tensor, z: Tensor) -> Any:
            return loss(discriminator(weights_d), generator(weights_g), x, z)

        return run

    other_inputs(with_weights(student), with_weights(d_loss), draw_players, (4, 1), other_size())
    expect_d_is_sure(student)
    expect_d_learns(value, d, g)


def wrong_d_losses(d: nn.Module, g: nn.Module) -> dict[str, Tensor]:
    """What typical mistakes give in place of D's loss."""
    real, fake, skipped, twice = d(REAL), d(g(NOISE)), d(NOISE), d(g(REAL))  # (N, 1) each
    says_real, says_fake = real.sigmoid(), fake.sigmoid()
    right = yes(real) + no(fake)
    return {
        "the labels are swapped: real points want −log D, generated ones −log(1 − D).": no(real) + yes(fake),
        "the sign is flipped: this is the value that D raises, its loss is minus that.": -right,
        "both kinds are taken as real: generated points want −log(1 − D).": yes(real) + yes(fake),
        "both kinds are taken as fake: real points want −log D.": no(real) + no(fake),
        "the generated points are missing.": yes(real),
        "the real points are missing.": no(fake),
        "the two means are subtracted: add them.": yes(real) - no(fake),
        "the two means are subtracted, and the sign is flipped: add them.": no(fake) - yes(real),
        "the two means are multiplied: add them.": yes(real) * no(fake),
        "summed over the batch: take means.": right * len(REAL),
        "the real points are summed: take their mean.": yes(real) * len(REAL) + no(fake),
        "the generated points are summed: take their mean.": yes(real) + no(fake) * len(REAL),
        "the mean is taken over both kinds together: add two means.": right / 2,
        "one value for each point: take means.": softplus(-real) + softplus(fake),
        "the sigmoid is applied twice: D gives logits.": yes(says_real) + no(says_fake),
        "this is G's loss, −log D(G(z)): D wants −log(1 − D) of G(z), and −log D of x.": yes(fake),
        "this is G's loss, log(1 − D(G(z))): D pays minus that, and −log D of x.": -no(fake),
        "the logarithms are missing: −log D, −log(1 − D).": (1 - says_real + says_fake).mean(),
        "the logarithm is taken of the mean probability: take the mean of the logarithms.": (
            -says_real.mean().log() - (1 - says_fake.mean()).log()
        ),
        "this is Wasserstein's loss: a logit goes through softplus.": fake.mean() - real.mean(),
        "this is Wasserstein's loss with its sign flipped: a logit goes through softplus.": (
            real.mean() - fake.mean()
        ),
        "this is the hinge loss: −log D is softplus(−logit).": (
            (1 - real).relu().mean() + (1 + fake).relu().mean()
        ),
        "this is the least-squares loss: −log D is softplus(−logit).": (
            (real - 1).square().mean() + fake.square().mean()
        ),
        "this is the squared error of probabilities: −log D is softplus(−logit).": (
            (says_real - 1).square().mean() + says_fake.square().mean()
        ),
        "the label of real points is 0.9: they want 1.": 0.9 * yes(real) + 0.1 * no(real) + no(fake),
        "the real points went through G, too: x are data as they are.": yes(twice) + no(fake),
        "z went to D itself: D sees G(z).": yes(real) + no(skipped),
        "x and z are exchanged: D sees x and G(z).": yes(skipped) + no(twice),
    }


def expect_training_mode(d: nn.Module, g: nn.Module) -> None:
    """Raise Mistake if a player is left in evaluation mode, in which batch normalization learns nothing."""
    for network, name in ((d, "D"), (g, "G")):
        says = f"{name} is left in evaluation mode (`{name.lower()}.eval()`): both players train on."
        expect(network.training, says)


def expect_still_learning(d: nn.Module, g: nn.Module) -> None:
    """Raise Mistake unless the players are as before: their mode, weights, `requires_grad` and gradients."""
    expect_training_mode(d, g)
    for network, name in ((d, "D"), (g, "G")):
        wants = all(weight.requires_grad for weight in network.parameters())
        frozen = f"{name}'s weights are left frozen (`requires_grad_(False)`)"
        says = f"{frozen}: it is enough to cut off the points, `g(z).detach()`."
        expect(wants, says)
    for network, weights, name in ((d, D_WEIGHTS, "D"), (g, G_WEIGHTS, "G")):
        says = f"{name}'s weights have changed: only return the loss, the step is taken elsewhere."
        expect(same(flat(network), weights), says)
    says = "`backward()` is called inside, or gradients are cleared: only return the loss."
    for weight in (*d.parameters(), *g.parameters()):
        expect(weight.grad is not None and same(weight.grad, torch.full_like(weight, OLD)), says)


def expect_d_is_sure(student: Student) -> None:
    """Raise Mistake unless the loss is right where D is sure, and wrong."""
    for kind, sign in (("real", -1), ("generated", 1)):
        d, g = discriminator(shifted(sign * SURE)), generator(G_WEIGHTS)
        value = call(student, d, g, REAL, NOISE)
        right = d_loss(d, g, REAL, NOISE).detach()
        where = f"the loss where D is sure, and wrong, about {kind} points"
        yours = plain(value, where)
        if not yours.isfinite().all():
            watch = watched(partial(student, d, g, REAL.clone(), NOISE.clone()))
            raise Mistake(f"{where} (logits near {sign * SURE:.0f}) is not finite: {blame(watch.broken_by)}")
        Table({}, right, otherwise=CUT_OFF).judge(yours, where)


def expect_d_learns(value: Tensor, d: nn.Module, g: nn.Module) -> None:
    """Raise Mistake unless the loss has D's whole gradient, and none for G."""
    says = "D cannot learn from it: the gradient is cut, by `no_grad`, `detach` or `item`."
    expect(value.requires_grad, says)
    weights = list(d.parameters())
    wanted = torch.autograd.grad(d_loss(d, g, REAL, NOISE), weights)
    found = torch.autograd.grad(value, [*weights, *g.parameters()], allow_unused=True)
    reaches_g = any(slope is not None for slope in found[len(weights) :])
    expect(not reaches_g, "a gradient reaches G: it would learn to help D. `g(z).detach()` cuts it off.")
    says = "a part of D's gradient is cut: only G's part should be, by `g(z).detach()`."
    for slope, good in zip(found[: len(weights)], wanted, strict=True):
        expect(slope is not None and agrees(slope, good), says)


# ---------------------------------------------------------------- G's step


class CountedSGD(torch.optim.SGD):
    """Knows how often it has stepped."""

    steps = 0

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Count the step, then take it."""
        self.steps += 1
        return super().step(closure)


def g_step(d: nn.Module, g: nn.Module, optimizer: torch.optim.Optimizer, z: Tensor) -> Tensor:
    """What is wanted of `generator_step`."""
    loss = yes(d(g(z)))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def outcome(step: Callable[..., object]) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """The returned loss and the weights of G and D after one step."""

    def run(weights_d: Tensor, weights_g: Tensor, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        d, g = discriminator(weights_d), generator(weights_g)
        loss = call(step, d, g, CountedSGD(g.parameters(), lr=RATE), z)
        return number_or_tensor(loss, "the loss you return", False), flat(g), flat(d)

    return run


@exercise
def generator_step(student: Student) -> None:
    """one step of G down −mean log D(G(z)), with fresh gradients, and D as it was."""
    d, g = discriminator(D_WEIGHTS), generator(G_WEIGHTS)
    optimizer = CountedSGD(g.parameters(), lr=RATE)
    seen: set[str] = set()  # whether G was called, and which players a gradient has reached
    g.register_forward_hook(lambda *_: seen.add("called"))
    next(g.parameters()).register_hook(lambda _: seen.add("to G"))
    next(d.parameters()).register_hook(lambda _: seen.add("to D"))
    value = call(student, d, g, optimizer, NOISE)

    expect_training_mode(d, g)
    says = "D's weights have changed: only G's optimizer may step."
    expect(same(flat(d), D_WEIGHTS), says)
    says = "D stays frozen for ever: let its parameters require gradients again after the step."
    expect(all(weight.requires_grad for weight in d.parameters()), says)
    says = "G's weights are left frozen: they must require gradients for the next step."
    expect(all(weight.requires_grad for weight in g.parameters()), says)
    expect(not same(flat(g), G_WEIGHTS), f"G has not moved: {standstill(seen, g, optimizer)}")
    says = "G's weights have moved, but not by `optimizer.step()`: use the optimizer that is given."
    expect(optimizer.steps, says)
    expect(optimizer.steps == 1, f"{optimizer.steps} steps are made: one is wanted.")
    expect_step(flat(g), student)

    logits = d(generator(G_WEIGHTS)(NOISE)).detach()  # (N, 1), before the step
    right = yes(logits)
    returned = {
        "this is the loss after the step: return the one that was stepped down.": yes(d(g(NOISE))).detach(),
        "the step is right, but the loss you return is summed: return its mean.": right * len(NOISE),
        "the step is right, but the mean probability D(G(z)) comes back: return the loss.": (
            logits.sigmoid().mean()
        ),
        "the step is right, but the mean logit comes back: return the loss.": logits.mean(),
        "the step is right, but the loss you return has its sign flipped.": -right,
    }
    Table({}, right, returned | other_units(right)).judge(value, "the loss you return")
    other_inputs(outcome(student), outcome(g_step), draw_players, (4, 1), other_size())
    expect_g_learns_from_a_sure_d(student)


def wrong_g_losses() -> dict[str, Callable[[Tensor], Tensor]]:
    """Losses that students let G go down, as functions of D's logits (N, 1)."""
    return {
        "the loss is log(1 − D), which is flat where D is sure: lower −log D.": lambda a: -no(a),
        "generated points are taken as fake: that is D's loss, G wants the opposite.": no,
        "the sign is flipped: G climbs where it should go down.": lambda a: -yes(a),
        "summed over the batch: take the mean.": lambda a: softplus(-a).sum(),
        "the loss is halved: −mean log D is wanted.": lambda a: yes(a) / 2,
        "the sigmoid is applied twice: D gives logits.": lambda a: yes(a.sigmoid()),
        "this is Wasserstein's loss: a logit goes through softplus.": lambda a: -a.mean(),
        "this is Wasserstein's loss with its sign flipped: lower −log D.": lambda a: a.mean(),
        "the logarithm is missing: lower −log D.": lambda a: -a.sigmoid().mean(),
        "the logarithm is missing, and the sign is flipped: lower −log D.": lambda a: a.sigmoid().mean(),
        "the logarithm is taken of the mean probability: take the mean of the logarithms.": (
            lambda a: -a.sigmoid().mean().log()
        ),
        "this is the least-squares loss: lower −log D.": lambda a: (a - 1).square().mean(),
        "this is the squared error of probabilities: lower −log D.": lambda a: (
            (a.sigmoid() - 1).square().mean()
        ),
        "the label is 0.9: generated points want 1.": lambda a: 0.9 * yes(a) + 0.1 * no(a),
        "both losses of D count: G wants −log D of its own points alone.": lambda a: yes(a) + no(a),
        "the loss is in bits (a logarithm to base 2): nats are wanted.": lambda a: yes(a) / math.log(2),
        "the loss is a logarithm to base 10: nats are wanted.": lambda a: yes(a) / math.log(10),
        "the gradient counts twice: is `backward()` called twice?": lambda a: 2 * yes(a),
    }


def expect_step(after: Tensor, student: Student) -> None:
    """Raise Mistake unless G's weights are where one step down the right loss leads."""
    right = stepped(yes)
    if same(after, right):
        return
    d, g = discriminator(D_WEIGHTS), generator(G_WEIGHTS)
    call(student, d, g, CountedSGD(g.parameters(), lr=RATE), NOISE)
    expect(same(flat(g), after), "two calls differ, so noise is drawn: use the `z` that is given.")
    for says, loss in wrong_g_losses().items():
        expect(not same(after, stepped(loss)), says)
    for says, loss in wrong_g_losses().items():
        both = "earlier gradients count, too (`zero_grad()` before `backward()`). And "
        expect(not same(after, stepped(loss) - RATE * OLD), both + says)
    says = "earlier gradients count, too: `optimizer.zero_grad()` before `backward()`."
    expect(not same(after, right - RATE * OLD), says)
    says = "the step goes along the old gradients alone: `zero_grad()`, then `backward()`, then `step()`."
    expect(not same(after, G_WEIGHTS - RATE * OLD), says)
    raise Mistake("G's weights are not where one step down −mean log D(G(z)) leads.")


def standstill(seen: set[str], g: nn.Module, optimizer: CountedSGD) -> str:
    """Why G has not moved."""
    if "to G" in seen:
        slopes = [weight.grad for weight in g.parameters()]
        is_cleared = all(slope is None or not slope.any() for slope in slopes)
        order = "`zero_grad()` stands between `backward()` and `step()`: it belongs before `backward()`."
        return order if is_cleared and optimizer.steps else "`optimizer.step()` is missing."
    if "called" not in seen:
        return "it is not called at all: the loss must be computed from `d(g(z))`."
    cut = "the gradient is cut before it reaches G, by `detach` or `no_grad`."
    return cut if "to D" in seen else "`backward()` is missing."


def stepped(loss: Callable[[Tensor], Tensor]) -> Tensor:
    """G's weights after one step down a loss of D's logits."""
    d, g = discriminator(D_WEIGHTS), generator(G_WEIGHTS)
    optimizer = CountedSGD(g.parameters(), lr=RATE)
    optimizer.zero_grad()
    loss(d(g(NOISE))).backward()
    optimizer.step()
    return flat(g)


def flat(network: nn.Module) -> Tensor:
    """A network's weights in a row."""
    return parameters_to_vector(network.parameters()).detach().clone()


def expect_g_learns_from_a_sure_d(student: Student) -> None:
    """Raise Mistake unless G makes the right step where D is sure that its points are made."""
    inputs = shifted(-SURE), G_WEIGHTS, REAL, NOISE
    loss, weights_g, _ = outcome(student)(*inputs)
    right_loss, right_g, _ = outcome(g_step)(*inputs)
    if not (loss.isfinite().all() and weights_g.isfinite().all()):
        d, g = discriminator(inputs[0]), generator(G_WEIGHTS)
        watch = watched(lambda: student(d, g, CountedSGD(g.parameters(), lr=RATE), NOISE.clone()))
        where = f"where D is sure that a point is made (logits near {-SURE:.0f})"
        raise Mistake(f"{where}, the loss or its gradient is not finite: {blame(watch.broken_by)}")
    stuck = "where D is sure that a point is made, G does not move: "
    expect(not same(weights_g, G_WEIGHTS), stuck + CUT_OFF)
    says = f"where D is sure that a point is made, G makes another step: {CUT_OFF}"
    expect(agrees(weights_g, right_g), says)
    Table({}, right_loss, otherwise=CUT_OFF).judge(loss, "the loss where D is sure that a point is made")


# ---------------------------------------------------------------- the best D's value


def value_of_best(p: Tensor, q: Tensor, dx: Tensor) -> Tensor:
    """What is wanted of `best_value`."""
    return dx * (p * (p / (p + q)).log() + q * (q / (p + q)).log()).sum()


@exercise
def best_value(student: Student) -> None:
    """∫ p·log D* + q·log(1 − D*) with D* = p/(p + q): −log 4 + 2·JSD, in nats."""
    # each adds up to 1/dx
    p, q, dx = tensor([0.3, 1.0, 1.6, 0.8, 0.3]), tensor([1.8, 1.2, 0.4, 0.3, 0.3]), tensor(0.25)
    right = value_of_best(p, q, dx)
    Table({"p": p, "q": q, "dx": dx}, right, wrong_values(p, q, dx) | other_units(right)).ask(student)

    def draw(source: torch.Generator, cells: int) -> Inputs:
        p, q = torch.rand(2, cells, generator=source) + 0.2
        width = 0.1 + 0.3 * torch.rand((), generator=source)
        return {"p": p / p.sum() / width, "q": q / q.sum() / width, "dx": width}

    other_inputs(student, value_of_best, draw, (5,), (7 + secrets.randbelow(9),))
    # they hardly meet; D* comes as near to 1 as float32 still holds 1 − D* apart from 0
    p, q = tensor([2.0, 1.9, 0.1, 2e-4, 2e-5]), tensor([2e-5, 2e-4, 0.2, 1.8, 2.0])
    says = (
        "where p and q hardly meet the value is wrong: a clamp or a small number changes D*, "
        "which may come as near to 0 and to 1 as it likes."
    )
    p, q = p / p.sum() / dx, q / q.sum() / dx
    Table({"p": p, "q": q, "dx": dx}, value_of_best(p, q, dx), otherwise=says).ask(student)


def wrong_values(p: Tensor, q: Tensor, dx: Tensor) -> dict[str, Tensor]:
    """What typical mistakes give in place of the best D's value."""
    log_d, log_not = (p / (p + q)).log(), (q / (p + q)).log()
    played = p * log_d + q * log_not  # (G,)
    right = dx * played.sum()
    return {
        "dx is missing: an integral is a sum over cells times their width.": right / dx,
        "dx is there twice: each cell counts once times its width.": right * dx,
        "divided by dx: an integral is a sum over cells times their width.": right / dx / dx,
        "the mean over cells is taken: sum, times dx.": right / dx / len(p),
        "the mean over cells is taken, times dx: sum over them.": right / len(p),
        "the trapezoidal rule halves the first and the last cell: sum over all cells.": (
            torch.trapezoid(played, dx=float(dx))
        ),
        "D* is the wrong way round: it is high where p is, p/(p + q).": dx * (p * log_not + q * log_d).sum(),
        "D* is ½ everywhere: that holds only where p = q.": dx * (p + q).sum() * math.log(0.5),
        "this is the JSD: the value is −log 4 + 2·JSD.": (right + math.log(4)) / 2,
        "−log 4 is missing: D* is p/(p + q), not p over their mean.": right + math.log(4),
        "−log 4 is subtracted once more: the integral holds it already.": right - math.log(4),
        "this is −log 4 + JSD: the JSD counts twice.": (right - math.log(4)) / 2,
        "the sign is flipped: this is D's loss.": -right,
        "q's part is missing.": dx * (p * log_d).sum(),
        "p's part is missing.": dx * (q * log_not).sum(),
        "q's part is subtracted: add the two.": dx * (p * log_d - q * log_not).sum(),
        "the densities must be the weights: p·log D* + q·log(1 − D*).": dx * (log_d + log_not).sum(),
        "both parts are weighted by p: the second one by q.": dx * (p * (log_d + log_not)).sum(),
        "both parts are weighted by q: the first one by p.": dx * (q * (log_d + log_not)).sum(),
        "both parts are weighted by p + q: log D* by p, log(1 − D*) by q.": (
            dx * ((p + q) * (log_d + log_not)).sum()
        ),
        "both parts have log D*: q's has log(1 − D*).": dx * ((p + q) * log_d).sum(),
        "the logarithms are missing.": dx * ((p * p + q * q) / (p + q)).sum(),
        "the logarithm is taken of the whole: p·log D* + q·log(1 − D*).": (
            (dx * (p * p + q * q) / (p + q)).sum().log()
        ),
        "this is a KL, ∫ p·log(p/q).": dx * (p * (p / q).log()).sum(),
        "this is a KL, ∫ q·log(q/p).": dx * (q * (q / p).log()).sum(),
        "this is the sum of both KLs: D* is p/(p + q).": dx * ((p - q) * (p / q).log()).sum(),
        "D* is taken as sigmoid(p − q): it is p/(p + q).": (
            -dx * (p * softplus(q - p) + q * softplus(p - q)).sum()
        ),
        "halved: the value is the whole integral.": right / 2,
        "this is the integral of D* itself: log D* and log(1 − D*) are weighted by p and q.": (
            dx * (p / (p + q)).sum()
        ),
        "one number is wanted: sum over the cells.": dx * played,
        "one number is wanted: sum over the cells, times dx.": played,
    }
