"""Checks for “A GAN in one dimension”.

The exercises cover D's loss and its gradient, a training step for G, and the value that the best D
attains.
"""

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

REAL = tensor([[0.4], [1.3], [-0.6], [2.2]])  # (N, 1)
NOISE = tensor([[0.7], [-0.2], [0.9], [-0.8]])  # (N, 1)
G_WEIGHTS = tensor([1.5, -0.4])  # G(z) = 1.5·z − 0.4
D_WEIGHTS = tensor([0.8, -0.3, 2.0, 0.5])  # one hidden unit: 2·tanh(0.8·x − 0.3) + 0.5
RATE = 0.3  # the learning rate of G's optimizer
OLD = 0.25  # the gradient left in every weight by an earlier step
SURE = 1000.0  # the magnitude of a logit whose sigmoid rounds to 0 or 1 even in float64

LOGITS = "D returns logits, so −log D is softplus(−logit), and −log(1 − D) is softplus(logit)."


def player(weights: Tensor, *network: nn.Module) -> nn.Sequential:
    """Build a network with the given weights and with gradients left over from an earlier step."""
    built = nn.Sequential(*network)
    vector_to_parameters(weights.clone(), built.parameters())
    for weight in built.parameters():
        weight.grad = torch.full_like(weight, OLD)
    return built


def generator(weights: Tensor) -> nn.Sequential:
    """Build a generator that maps z to points, both of shape (N, 1)."""
    return player(weights, nn.Linear(1, 1))


def discriminator(weights: Tensor) -> nn.Sequential:
    """Build a discriminator that maps points to logits, both of shape (N, 1).

    A network with h hidden units has 3h + 1 weights.
    """
    hidden = len(weights) // 3
    return player(weights, nn.Linear(1, hidden), nn.Tanh(), nn.Linear(hidden, 1))


def shifted(by: float) -> Tensor:
    """Return D's weights, changed so that every logit increases by `by`."""
    return D_WEIGHTS + tensor([0.0, 0.0, 0.0, by])


def draw_players(source: torch.Generator, n: int, hidden: int) -> Inputs:
    """Draw the weights of D and G, real points, and noise."""
    return {
        "d": torch.randn(3 * hidden + 1, generator=source),
        "g": torch.randn(2, generator=source),
        "x": torch.randn(n, 1, generator=source),
        "z": torch.rand(n, 1, generator=source) * 2 - 1,
    }


def other_size() -> tuple[int, int]:
    """Return a number of points and a number of hidden units that differ from the example's."""
    return 6 + secrets.randbelow(4), 3 + secrets.randbelow(3)


def yes(a: Tensor) -> Tensor:
    """Return the mean of −log D, which is small if D considers the points real.

    The logits `a` have the shape (N, 1).
    """
    return softplus(-a).mean()


def no(a: Tensor) -> Tensor:
    """Return −mean log(1 − D) for logits of shape (N, 1)."""
    return softplus(a).mean()


def blame(watch_broken_by: str) -> str:
    """Explain which operation makes a loss infinite or NaN at logits of ±1000."""
    if "exp" in watch_broken_by:
        return f"exp({SURE:.0f}) overflows. {LOGITS}"
    return (
        f"The sigmoid rounds to 0 or to 1 there, and the logarithm of 0 is minus infinity. {LOGITS}"
    )


CUT_OFF = (
    "a clamp, a small added number, or a loss of probabilities limits the value at large logits. "
    + LOGITS
)


# ---------------------------------------------------------------- D's loss


def d_loss(d: nn.Module, g: nn.Module, x: Tensor, z: Tensor) -> Tensor:
    """Return the correct answer to `discriminator_loss`."""
    return yes(d(x)) + no(d(g(z).detach()))


@exercise
def discriminator_loss(student: Student) -> None:
    """The loss is −mean log D(x) − mean log(1 − D(G(z))), and none of its gradient reaches G."""
    d, g = discriminator(D_WEIGHTS), generator(G_WEIGHTS)
    value = call(student, d, g, REAL, NOISE)
    expect_still_learning(d, g)
    again = call(student, d, g, REAL, NOISE)
    if isinstance(value, Tensor) and isinstance(again, Tensor):
        says = "two calls give different results, so your function draws noise. Use the given `z`."
        expect(same(value.detach(), again.detach()), says)
    with torch.no_grad():
        right, mistakes = d_loss(d, g, REAL, NOISE), wrong_d_losses(d, g)
    says = f"Do you take the logarithm of a logit, which may be negative? {LOGITS}"
    mistakes |= other_units(right)
    Table({}, right, mistakes, not_finite=says, differentiable=True).judge(value)

    def with_weights(loss: Callable[..., Any]) -> Callable[..., Any]:
        def run(weights_d: Tensor, weights_g: Tensor, x: Tensor, z: Tensor) -> Any:
            return loss(discriminator(weights_d), generator(weights_g), x, z)

        return run

    other_inputs(with_weights(student), with_weights(d_loss), draw_players, (4, 1), other_size())
    expect_d_is_sure(student)
    expect_d_learns(value, d, g)


def wrong_d_losses(d: nn.Module, g: nn.Module) -> dict[str, Tensor]:
    """Return the incorrect values of D's loss that typical mistakes produce."""
    return wrong_d_sums(d, g) | other_d_losses(d, g)


def wrong_d_sums(d: nn.Module, g: nn.Module) -> dict[str, Tensor]:
    """Return the results obtained with wrong labels or signs,
    or by combining the two parts incorrectly.
    """
    real, fake = d(REAL), d(g(NOISE))  # (N, 1) each
    right = yes(real) + no(fake)
    return {
        "the labels are swapped. Use −log D for real points and −log(1 − D) for generated ones.": (
            no(real) + yes(fake)
        ),
        "the sign is flipped. D maximizes the value, so D's loss is minus the value.": -right,
        "both kinds are treated as real. Use −log(1 − D) for generated points.": (
            yes(real) + yes(fake)
        ),
        "both kinds are treated as fake. Use −log D for real points.": no(real) + no(fake),
        "the generated points are missing.": yes(real),
        "the real points are missing.": no(fake),
        "the two means are subtracted. Add them.": yes(real) - no(fake),
        "the two means are subtracted, and the sign is flipped. Add them.": no(fake) - yes(real),
        "the generated points' part is log D(G(z)). Use −log(1 − D) for generated points.": (
            yes(real) - yes(fake)
        ),
        (
            "the generated points' part is the mean logit. Use −log(1 − D), which is "
            "softplus(logit)."
        ): yes(real) + fake.mean(),
        "the real points' part is minus the mean logit. Use −log D, which is softplus(−logit).": (
            no(fake) - real.mean()
        ),
        "the two means are multiplied. Add them.": yes(real) * no(fake),
        "the loss is summed over the batch. Take the two means.": right * len(REAL),
        "the real points are summed. Take their mean.": yes(real) * len(REAL) + no(fake),
        "the generated points are summed. Take their mean.": yes(real) + no(fake) * len(REAL),
        "the mean is taken over both kinds together. Add two means.": right / 2,
        "the result has one value per point. Take the two means.": softplus(-real) + softplus(fake),
    }


def other_d_losses(d: nn.Module, g: nn.Module) -> dict[str, Tensor]:
    """Return losses that may be mistaken for D's loss,
    and D's loss computed on the wrong points.
    """
    real, fake, skipped, twice = d(REAL), d(g(NOISE)), d(NOISE), d(g(REAL))  # (N, 1) each
    says_real, says_fake = real.sigmoid(), fake.sigmoid()
    return {
        "the sigmoid is applied twice. D returns logits.": yes(says_real) + no(says_fake),
        "G's loss, −log D(G(z)), is used. D's loss is −log(1 − D) for G(z) plus −log D for x.": (
            yes(fake)
        ),
        "the loss log(1 − D(G(z))) is used. D's loss is −log(1 − D) for G(z) plus −log D for x.": (
            -no(fake)
        ),
        "the logarithms are missing. Use −log D and −log(1 − D).": (
            (1 - says_real + says_fake).mean()
        ),
        "the logarithm is taken of the mean probability. Take the mean of the logarithms.": (
            -says_real.mean().log() - (1 - says_fake.mean()).log()
        ),
        "the Wasserstein loss is used. Apply softplus to the logits.": fake.mean() - real.mean(),
        "the Wasserstein loss is used with its sign flipped. Apply softplus to the logits.": (
            real.mean() - fake.mean()
        ),
        "the hinge loss is used. The term −log D is softplus(−logit).": (
            (1 - real).relu().mean() + (1 + fake).relu().mean()
        ),
        "the least-squares loss is used. The term −log D is softplus(−logit).": (
            (real - 1).square().mean() + fake.square().mean()
        ),
        "the squared error of probabilities is used. The term −log D is softplus(−logit).": (
            (says_real - 1).square().mean() + says_fake.square().mean()
        ),
        "the label of real points is 0.9. Use 1 instead.": (
            0.9 * yes(real) + 0.1 * no(real) + no(fake)
        ),
        "the real points are also passed through G. Pass x to D directly.": yes(twice) + no(fake),
        "z is passed to D directly. Pass G(z) to D.": yes(real) + no(skipped),
        "x and z are swapped. Pass x and G(z) to D.": yes(skipped) + no(twice),
    }


def expect_training_mode(d: nn.Module, g: nn.Module) -> None:
    """Raise Mistake if a network is left in evaluation mode, which freezes batch normalization."""
    for network, name in ((d, "D"), (g, "G")):
        says = (
            f"{name} is left in evaluation mode (`{name.lower()}.eval()`), but training continues."
        )
        expect(network.training, says)


def expect_still_learning(d: nn.Module, g: nn.Module) -> None:
    """Raise Mistake if a network's mode, weights, `requires_grad` or gradients have changed."""
    expect_training_mode(d, g)
    for network, name in ((d, "D"), (g, "G")):
        wants = all(weight.requires_grad for weight in network.parameters())
        frozen = f"{name}'s weights are still frozen (`requires_grad_(False)`)"
        says = f"{frozen}. Cutting off the points with `g(z).detach()` is enough."
        expect(wants, says)
    for network, weights, name in ((d, D_WEIGHTS, "D"), (g, G_WEIGHTS, "G")):
        says = (
            f"{name}'s weights have changed. Only return the loss, because the step is taken "
            "elsewhere."
        )
        expect(same(flat(network), weights), says)
    says = "your function calls `backward()` or clears gradients. Only return the loss."
    for weight in (*d.parameters(), *g.parameters()):
        expect(weight.grad is not None and same(weight.grad, torch.full_like(weight, OLD)), says)


def expect_d_is_sure(student: Student) -> None:
    """Raise Mistake unless the loss is right where D is confident but wrong."""
    for kind, sign in (("real", -1), ("generated", 1)):
        d, g = discriminator(shifted(sign * SURE)), generator(G_WEIGHTS)
        value = call(student, d, g, REAL, NOISE)
        right = d_loss(d, g, REAL, NOISE).detach()
        where = f"the loss where D is certain but wrong about {kind} points"
        yours = plain(value, where)
        if not yours.isfinite().all():
            watch = watched(partial(student, d, g, REAL.clone(), NOISE.clone()))
            raise Mistake(
                f"{where} (logits near {sign * SURE:.0f}) is not finite. {blame(watch.broken_by)}"
            )
        Table({}, right, otherwise=CUT_OFF).judge(yours, where)


def expect_d_learns(value: Tensor, d: nn.Module, g: nn.Module) -> None:
    """Raise Mistake unless D receives the full gradient of the loss and G receives none."""
    says = "D cannot learn from the loss, because `no_grad`, `detach` or `item` cuts the gradient."
    expect(value.requires_grad, says)
    weights = list(d.parameters())
    wanted = torch.autograd.grad(d_loss(d, g, REAL, NOISE), weights)
    found = torch.autograd.grad(value, [*weights, *g.parameters()], allow_unused=True)
    reaches_g = any(slope is not None for slope in found[len(weights) :])
    expect(
        not reaches_g,
        "a gradient reaches G, so G would learn to help D. Cut the gradient with `g(z).detach()`.",
    )
    says = "a part of D's gradient is cut. Cut only G's part, with `g(z).detach()`."
    for slope, good in zip(found[: len(weights)], wanted, strict=True):
        expect(slope is not None and agrees(slope, good), says)


# ---------------------------------------------------------------- G's step


class CountedSGD(torch.optim.SGD):
    """An SGD optimizer that counts its steps."""

    steps = 0

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Perform one step and count it."""
        self.steps += 1
        return super().step(closure)


def g_step(d: nn.Module, g: nn.Module, optimizer: torch.optim.Optimizer, z: Tensor) -> Tensor:
    """Take one optimizer step for G and return G's loss, as a correct `generator_step` does."""
    loss = yes(d(g(z)))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def outcome(step: Callable[..., object]) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """Return a function that takes one step and returns the loss and the new weights of G and D."""

    def run(
        weights_d: Tensor, weights_g: Tensor, x: Tensor, z: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        d, g = discriminator(weights_d), generator(weights_g)
        loss = call(step, d, g, CountedSGD(g.parameters(), lr=RATE), z)
        return number_or_tensor(loss, "the returned loss", False), flat(g), flat(d)

    return run


@exercise
def generator_step(student: Student) -> None:
    """G takes one gradient-descent step on −mean log D(G(z)), using newly computed gradients,
    and D stays unchanged.
    """
    d, g = discriminator(D_WEIGHTS), generator(G_WEIGHTS)
    optimizer = CountedSGD(g.parameters(), lr=RATE)
    # records whether G was called, and which networks a gradient has reached
    seen: set[str] = set()
    g.register_forward_hook(lambda *_: seen.add("called"))
    next(g.parameters()).register_hook(lambda _: seen.add("to G"))
    next(d.parameters()).register_hook(lambda _: seen.add("to D"))
    value = call(student, d, g, optimizer, NOISE)

    expect_training_mode(d, g)
    says = "D's weights have changed. Only G's optimizer may take a step."
    expect(same(flat(d), D_WEIGHTS), says)
    says = "D's weights are still frozen. They must require gradients again after the step."
    expect(all(weight.requires_grad for weight in d.parameters()), says)
    says = "G's weights are still frozen. They must require gradients for the next step."
    expect(all(weight.requires_grad for weight in g.parameters()), says)
    says = f"G has not moved, because {standstill(seen, g, optimizer)}"
    expect(not same(flat(g), G_WEIGHTS), says)
    says = "G's weights have moved, but not by `optimizer.step()`. Use the given optimizer."
    expect(optimizer.steps, says)
    expect(
        optimizer.steps == 1,
        f"`optimizer.step()` is called {optimizer.steps} times. Call `step()` only once.",
    )
    expect_step(flat(g), student)

    logits = d(generator(G_WEIGHTS)(NOISE)).detach()  # (N, 1), before the step
    right = yes(logits)
    returned = {
        "the returned loss is computed after the step. Return the loss before the step.": (
            yes(d(g(NOISE))).detach()
        ),
        "the step is right, but the returned loss is summed over the batch. Return its mean.": (
            right * len(NOISE)
        ),
        "the step is right, but the mean probability D(G(z)) is returned. Return the loss.": (
            logits.sigmoid().mean()
        ),
        "the step is right, but the mean logit is returned. Return the loss.": logits.mean(),
        "the step is right, but the returned loss has its sign flipped.": -right,
    }
    Table({}, right, returned | other_units(right)).judge(value, "the returned loss")
    other_inputs(outcome(student), outcome(g_step), draw_players, (4, 1), other_size())
    expect_g_learns_from_a_sure_d(student)


def wrong_g_losses() -> dict[str, Callable[[Tensor], Tensor]]:
    """Return the incorrect losses that result from typical mistakes, as functions of D's logits."""
    return {
        "the loss is log(1 − D), which is flat where D is certain. Minimize −log D.": lambda a: (
            -no(a)
        ),
        "generated points are treated as fake, as in D's loss. Minimize −log D.": no,
        "the sign is flipped. G moves up the loss instead of down.": lambda a: -yes(a),
        "the loss is summed over the batch. Take the mean.": lambda a: softplus(-a).sum(),
        "the loss is halved. Use −mean log D.": lambda a: yes(a) / 2,
        "the sigmoid is applied twice. D returns logits.": lambda a: yes(a.sigmoid()),
        "the Wasserstein loss is used. Apply softplus to the logits.": lambda a: -a.mean(),
        "the Wasserstein loss is used with its sign flipped. Minimize −log D.": lambda a: a.mean(),
        "the logarithm is missing. Minimize −log D.": lambda a: -a.sigmoid().mean(),
        "the logarithm is missing, and the sign is flipped. Minimize −log D.": lambda a: (
            a.sigmoid().mean()
        ),
        "the logarithm is taken of the mean probability. Take the mean of the logarithms.": (
            lambda a: -a.sigmoid().mean().log()
        ),
        "the least-squares loss is used. Minimize −log D.": lambda a: (a - 1).square().mean(),
        "the squared error of probabilities is used. Minimize −log D.": lambda a: (
            (a.sigmoid() - 1).square().mean()
        ),
        "the label is 0.9. Use 1 for generated points.": lambda a: 0.9 * yes(a) + 0.1 * no(a),
        "both losses of D are included. G's loss is −log D of its own points alone.": (
            lambda a: yes(a) + no(a)
        ),
        "the loss is in bits (logarithms to base 2), but it must be in nats.": lambda a: (
            yes(a) / math.log(2)
        ),
        "the loss uses logarithms to base 10, but it must be in nats.": lambda a: (
            yes(a) / math.log(10)
        ),
        "the gradient is doubled. Is `backward()` called twice?": lambda a: 2 * yes(a),
    }


def expect_step(after: Tensor, student: Student) -> None:
    """Raise Mistake unless `after` contains G's weights
    after one gradient-descent step on the right loss.
    """
    right = stepped(yes)
    if same(after, right):
        return
    d, g = discriminator(D_WEIGHTS), generator(G_WEIGHTS)
    call(student, d, g, CountedSGD(g.parameters(), lr=RATE), NOISE)
    expect(
        same(flat(g), after),
        "two calls give different results, so your function draws noise. Use the given `z`.",
    )
    for says, loss in wrong_g_losses().items():
        expect(not same(after, stepped(loss)), says)
    for says, loss in wrong_g_losses().items():
        both = (
            "earlier gradients are included (call `zero_grad()` before `backward()`). In addition, "
        )
        expect(not same(after, stepped(loss) - RATE * OLD), both + says)
    says = "earlier gradients are included. Call `optimizer.zero_grad()` before `backward()`."
    expect(not same(after, right - RATE * OLD), says)
    says = (
        "the step follows only the old gradients. Call `zero_grad()`, then `backward()`, then "
        "`step()`."
    )
    expect(not same(after, G_WEIGHTS - RATE * OLD), says)
    raise Mistake("G's weights are not those after one step down −mean log D(G(z)).")


def standstill(seen: set[str], g: nn.Module, optimizer: CountedSGD) -> str:
    """Explain why G has not moved."""
    if "to G" in seen:
        slopes = [weight.grad for weight in g.parameters()]
        is_cleared = all(slope is None or not slope.any() for slope in slopes)
        order = (
            "`zero_grad()` is called between `backward()` and `step()`. Call it before "
            "`backward()`."
        )
        return order if is_cleared and optimizer.steps else "`optimizer.step()` is missing."
    if "called" not in seen:
        return "G is never called. Compute the loss from `d(g(z))`."
    cut = "the gradient is cut before it reaches G, by `detach` or `no_grad`."
    return cut if "to D" in seen else "`backward()` is missing."


def stepped(loss: Callable[[Tensor], Tensor]) -> Tensor:
    """Return G's weights after one gradient-descent step on `loss`, a function of D's logits."""
    d, g = discriminator(D_WEIGHTS), generator(G_WEIGHTS)
    optimizer = CountedSGD(g.parameters(), lr=RATE)
    optimizer.zero_grad()
    loss(d(g(NOISE))).backward()
    optimizer.step()
    return flat(g)


def flat(network: nn.Module) -> Tensor:
    """Return a network's weights as a single vector."""
    return parameters_to_vector(network.parameters()).detach().clone()


def expect_g_learns_from_a_sure_d(student: Student) -> None:
    """Raise Mistake unless G's step is right even if D is certain that the points are generated."""
    inputs = shifted(-SURE), G_WEIGHTS, REAL, NOISE
    loss, weights_g, _ = outcome(student)(*inputs)
    right_loss, right_g, _ = outcome(g_step)(*inputs)
    if not (loss.isfinite().all() and weights_g.isfinite().all()):
        d, g = discriminator(inputs[0]), generator(G_WEIGHTS)
        watch = watched(lambda: student(d, g, CountedSGD(g.parameters(), lr=RATE), NOISE.clone()))
        where = f"where D is certain that a point is generated (logits near {-SURE:.0f})"
        raise Mistake(f"{where}, the loss or its gradient is not finite. {blame(watch.broken_by)}")
    stuck = "where D is certain that a point is generated, G does not move: "
    expect(not same(weights_g, G_WEIGHTS), stuck + CUT_OFF)
    says = f"where D is certain that a point is generated, G's step is wrong: {CUT_OFF}"
    expect(agrees(weights_g, right_g), says)
    what = "the loss where D is certain that a point is generated"
    Table({}, right_loss, otherwise=CUT_OFF).judge(loss, what)


# ---------------------------------------------------------------- the best D's value

NO_LIMIT = "Is D* clamped, or is a small number added? D* may be arbitrarily close to 0 and 1."


def value_of_best(p: Tensor, q: Tensor, dx: Tensor) -> Tensor:
    """Return the correct answer to `best_value`."""
    return dx * (p * (p / (p + q)).log() + q * (q / (p + q)).log()).sum()


@exercise
def best_value(student: Student) -> None:
    """The result is ∫ p·log D* + q·log(1 − D*) in nats with D* = p/(p + q),
    that is, −log 4 + 2·JSD.
    """
    # p and q each sum to 1/dx
    p, q, dx = tensor([0.3, 1.0, 1.6, 0.8, 0.3]), tensor([1.8, 1.2, 0.4, 0.3, 0.3]), tensor(0.25)
    right = value_of_best(p, q, dx)
    mistakes = wrong_values(p, q, dx) | other_units(right)
    Table({"p": p, "q": q, "dx": dx}, right, mistakes).ask(student)

    def draw(source: torch.Generator, cells: int) -> Inputs:
        p, q = torch.rand(2, cells, generator=source) + 0.2
        width = 0.1 + 0.3 * torch.rand((), generator=source)
        return {"p": p / p.sum() / width, "q": q / q.sum() / width, "dx": width}

    other_inputs(student, value_of_best, draw, (5,), (7 + secrets.randbelow(9),))
    # p and q hardly overlap, so D* comes within about 1e-5 of 0 and 1, which float32 still resolves
    p, q = tensor([2.0, 1.9, 0.1, 2e-4, 2e-5]), tensor([2e-5, 2e-4, 0.2, 1.8, 2.0])
    p, q = p / p.sum() / dx, q / q.sum() / dx
    says = f"a value is wrong where p and q hardly overlap. {NO_LIMIT}"
    Table({"p": p, "q": q, "dx": dx}, value_of_best(p, q, dx), otherwise=says).ask(student)
    expect_far_apart(student)


def expect_far_apart(student: Student) -> None:
    """Raise Mistake unless the value is right where D* rounds to 1.

    In one cell, D* rounds to 1 even in float64.
    """
    p, q, dx = tensor([2.0, 2.0, 1e-9, 1e-20]), tensor([1e-20, 1e-9, 2.0, 2.0]), tensor(0.25)
    right = value_of_best(p, q, dx)
    yours = number_or_tensor(call(student, p, q, dx), "your result", False)
    given = "for p = (2, 2, 1e-9, 1e-20), q = (1e-20, 1e-9, 2, 2) and dx = 0.25, "
    given += f"your result is {float(yours.double().sum()):.1g} but should be {float(right):.1g}. "
    rounds = (
        "Where q is far smaller than p, D* rounds to 1, and the logarithm of 1 − D* is minus "
        "infinity. "
    )
    expect(yours.isfinite().all(), given + rounds + "Compute 1 − D* as q/(p + q).")
    expect(same(yours, right), given + NO_LIMIT)


def wrong_values(p: Tensor, q: Tensor, dx: Tensor) -> dict[str, Tensor]:
    """Return the wrong results that typical mistakes produce for the value of the best D."""
    return wrong_widths(p, q, dx) | wrong_integrands(p, q, dx)


def wrong_widths(p: Tensor, q: Tensor, dx: Tensor) -> dict[str, Tensor]:
    """Return the results obtained with a wrong width, D* or constant, or with a flipped sign."""
    log_d, log_not = (p / (p + q)).log(), (q / (p + q)).log()
    played = p * log_d + q * log_not  # (G,)
    right = dx * played.sum()
    return {
        "dx is missing. An integral is a sum over cells times their width.": right / dx,
        "dx is applied twice. Multiply each cell by its width once.": right * dx,
        "the result is divided by dx. An integral is a sum over cells times their width.": (
            right / dx / dx
        ),
        "the mean over cells is taken. Take the sum, times dx.": right / dx / len(p),
        "the mean over cells is taken, times dx. Take the sum.": right / len(p),
        "the trapezoidal rule halves the first and last cells. Sum over all cells.": (
            torch.trapezoid(played, dx=float(dx))
        ),
        "D* is reversed. D* = p/(p + q) is high where p is high.": (
            dx * (p * log_not + q * log_d).sum()
        ),
        "D* is ½ everywhere, but D* is ½ only where p = q.": dx * (p + q).sum() * math.log(0.5),
        "the JSD is returned. The value is −log 4 + 2·JSD.": (right + math.log(4)) / 2,
        "−log 4 is missing. D* is p/(p + q), not p divided by the mean of p and q.": (
            right + math.log(4)
        ),
        "−log 4 is subtracted once more. The integral already contains it.": right - math.log(4),
        "−log 4 + JSD is returned. The value contains the JSD twice.": (right - math.log(4)) / 2,
        "the sign is flipped. The result is D's loss.": -right,
    }


def wrong_integrands(p: Tensor, q: Tensor, dx: Tensor) -> dict[str, Tensor]:
    """Return the results obtained if a part of the integrand is missing or wrong,
    or if the sum is missing.
    """
    log_d, log_not = (p / (p + q)).log(), (q / (p + q)).log()
    played = p * log_d + q * log_not  # (G,)
    return {
        "q's part is missing.": dx * (p * log_d).sum(),
        "p's part is missing.": dx * (q * log_not).sum(),
        "q's part is subtracted. Add the two parts.": dx * (p * log_d - q * log_not).sum(),
        "the densities must be the weights. Use p·log D* + q·log(1 − D*).": (
            dx * (log_d + log_not).sum()
        ),
        "both parts are weighted by p. Weight the second part by q.": (
            dx * (p * (log_d + log_not)).sum()
        ),
        "both parts are weighted by q. Weight the first part by p.": (
            dx * (q * (log_d + log_not)).sum()
        ),
        "both parts are weighted by p + q. Weight log D* by p and log(1 − D*) by q.": (
            dx * ((p + q) * (log_d + log_not)).sum()
        ),
        "both parts contain log D*. Use log(1 − D*) in q's part.": dx * ((p + q) * log_d).sum(),
        "the logarithms are missing.": dx * ((p * p + q * q) / (p + q)).sum(),
        "the logarithm is taken of the whole sum. Use p·log D* + q·log(1 − D*).": (
            (dx * (p * p + q * q) / (p + q)).sum().log()
        ),
        "a KL divergence is returned, ∫ p·log(p/q).": dx * (p * (p / q).log()).sum(),
        "a KL divergence is returned, ∫ q·log(q/p).": dx * (q * (q / p).log()).sum(),
        "the sum of both KL divergences is returned. D* is p/(p + q).": (
            dx * ((p - q) * (p / q).log()).sum()
        ),
        "D* is computed as sigmoid(p − q), but D* is p/(p + q).": (
            -dx * (p * softplus(q - p) + q * softplus(p - q)).sum()
        ),
        "the result is halved. The value is the whole integral.": dx * played.sum() / 2,
        "the integral of D* is returned. Weight log D* by p and log(1 − D*) by q.": (
            dx * (p / (p + q)).sum()
        ),
        "the result has one number per cell. Sum over the cells.": dx * played,
        "the result has one number per cell. Sum over the cells, times dx.": played,
    }
