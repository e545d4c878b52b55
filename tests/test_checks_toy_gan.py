"""The toy GAN's checks: right answers of any style pass, each wrong one is called by its own name.

The tables were written from the notebook's text. A row of a table of wrong answers reads:
what the student did, the words that the message must contain, the answer.
"""

import math

import pytest
import torch
import torch.nn.functional as F

from course_lib import checks

LN2 = math.log(2)
LN4 = math.log(4)


def bce(logits, label):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def yes(a):
    return F.softplus(-a).mean()


def no(a):
    return F.softplus(a).mean()


# ---------------------------------------------------------------- D's loss


def discriminator_loss(d, g, x, z):
    """Reference solution."""
    fake = g(z).detach()  # (N, 1)
    return F.softplus(-d(x)).mean() + F.softplus(d(fake)).mean()


def of_logits(loss):
    """D's loss from the logits of real and of generated points, with G cut off."""

    def student(d, g, x, z):
        return loss(d(x), d(g(z).detach()))

    return student


def of_probabilities(loss):
    return of_logits(lambda real, fake: loss(real.sigmoid(), fake.sigmoid()))


def cut_by_no_grad(d, g, x, z):
    with torch.no_grad():
        fake = g(z)
    return yes(d(x)) + no(d(fake))


def one_batch_of_both(d, g, x, z):
    logits = d(torch.cat([x, g(z).detach()]))
    labels = torch.cat([torch.ones_like(x), torch.zeros_like(z)])
    return 2 * F.binary_cross_entropy_with_logits(logits, labels)


def split_after_d(d, g, x, z):
    real, fake = d(torch.cat([x, g(z).detach()])).split([len(x), len(z)])
    return yes(real) + no(fake)


def point_by_point(d, g, x, z):
    total = 0.0
    for i in range(len(x)):
        total = total + F.softplus(-d(x[i : i + 1])) + F.softplus(d(g(z[i : i + 1]).detach()))
    return total.squeeze() / len(x)


def in_chunks(d, g, x, z):
    total = torch.zeros(())
    for some_x, some_z in zip(x.split(3), z.split(3), strict=True):
        total = total + F.softplus(-d(some_x)).sum() / len(x)
        total = total + F.softplus(d(g(some_z).detach())).sum() / len(z)
    return total


def g_frozen_and_freed(d, g, x, z):
    for weight in g.parameters():
        weight.requires_grad_(False)
    fake = g(z)
    for weight in g.parameters():
        weight.requires_grad_(True)
    return yes(d(x)) + no(d(fake))


def g_in_evaluation_mode(d, g, x, z):
    return discriminator_loss(d, g.eval(), x, z)


def g_for_a_moment_in_evaluation_mode(d, g, x, z):
    fake = g.eval()(z).detach()
    g.train()
    return yes(d(x)) + no(d(fake))


def mapped_over_points(d, g, x, z):
    def one(real, fake):
        return F.softplus(-d(real)) + F.softplus(d(fake))

    return torch.func.vmap(one)(x, g(z).detach()).mean()


def by_hand(d, g, x, z):
    def soft(a):
        return a.clamp(min=0) + torch.log1p(torch.exp(-a.abs()))

    return soft(-d(x)).mean() + soft(d(g(z).detach())).mean()


def functional_call(d, g, x, z):
    weights = {name: weight.detach() for name, weight in g.named_parameters()}
    fake = torch.func.functional_call(g, weights, (z,))
    return yes(d(x)) + no(d(fake))


RIGHT_D = {
    "reference": discriminator_loss,
    "binary cross entropy": of_logits(lambda real, fake: bce(real, 1.0) + bce(fake, 0.0)),
    "BCEWithLogitsLoss": of_logits(
        lambda real, fake: (
            torch.nn.BCEWithLogitsLoss()(real, torch.ones_like(real))
            + torch.nn.BCEWithLogitsLoss()(fake, torch.zeros_like(fake))
        )
    ),
    "logsigmoid": of_logits(
        lambda real, fake: -F.logsigmoid(real).mean() - F.logsigmoid(-fake).mean()
    ),
    "logsigmoid of both": of_logits(
        lambda real, fake: -(F.logsigmoid(real) + F.logsigmoid(-fake)).mean()
    ),
    "logsigmoid less the logit": of_logits(
        lambda real, fake: -F.logsigmoid(real).mean() - (F.logsigmoid(fake) - fake).mean()
    ),
    "logaddexp": of_logits(
        lambda real, fake: (
            torch.logaddexp(torch.zeros_like(real), -real).mean()
            + torch.logaddexp(torch.zeros_like(fake), fake).mean()
        )
    ),
    "log_softmax of two classes": of_logits(
        lambda real, fake: (
            -torch.cat([real, 0 * real], 1).log_softmax(1)[:, 0].mean()
            - torch.cat([fake, 0 * fake], 1).log_softmax(1)[:, 1].mean()
        )
    ),
    "sums over N": of_logits(
        lambda real, fake: F.softplus(-real).sum() / len(real) + F.softplus(fake).sum() / len(fake)
    ),
    "einsum": of_logits(
        lambda real, fake: torch.einsum("ni->", F.softplus(-real) + F.softplus(fake)) / len(real)
    ),
    "float64": of_logits(lambda real, fake: yes(real.double()) + no(fake.double())),
    "flattened": of_logits(lambda real, fake: yes(real.squeeze(1)) + no(fake.squeeze(1))),
    "in place on a clone": of_logits(
        lambda real, fake: F.softplus(real.clone().neg_()).mean() + F.softplus(fake).mean()
    ),
    "softplus by hand": by_hand,
    "no_grad round G": cut_by_no_grad,
    "G frozen for the moment": g_frozen_and_freed,
    "G in evaluation mode for the moment": g_for_a_moment_in_evaluation_mode,
    "functional_call of G": functional_call,
    "both in one batch": one_batch_of_both,
    "both in one batch, split": split_after_d,
    "point by point": point_by_point,
    "in chunks": in_chunks,
    "torch.func.vmap": mapped_over_points,
    ".data of the points": lambda d, g, x, z: yes(d(x)) + no(d(g(z).data)),
}


def without_gradient(d, g, x, z):
    with torch.no_grad():
        return discriminator_loss(d, g, x, z)


def with_backward(d, g, x, z):
    loss = discriminator_loss(d, g, x, z)
    loss.backward()
    return loss


def clears_gradients(d, g, x, z):
    d.zero_grad()
    return discriminator_loss(d, g, x, z)


def freezes_g(d, g, x, z):
    g.requires_grad_(False)
    return yes(d(x)) + no(d(g(z)))


def freezes_d(d, g, x, z):
    loss = discriminator_loss(d, g, x, z)
    d.requires_grad_(False)
    return loss


def trained_d(d, g, x, z):
    loss = discriminator_loss(d, g, x, z)
    torch.optim.SGD(d.parameters(), lr=0.1).step()
    return loss


def own_noise(d, g, x, z):
    return discriminator_loss(d, g, x, torch.rand_like(z) * 2 - 1)


def noise_on_data(d, g, x, z):
    return discriminator_loss(d, g, x + torch.randn_like(x), z)


def labels_for_four(d, g, x, z):
    real, fake = d(x), d(g(z).detach())
    of_real = F.binary_cross_entropy_with_logits(real, torch.ones(4, 1))
    return of_real + F.binary_cross_entropy_with_logits(fake, torch.zeros(4, 1))


def four_points(d, g, x, z):
    real = sum(F.softplus(-d(x[i])) for i in range(4)) / 4
    fake = sum(F.softplus(d(g(z[i]).detach())) for i in range(4)) / 4
    return (real + fake)[0]


WRONG_D = {
    "no detach": ("a gradient reaches G", lambda d, g, x, z: yes(d(x)) + no(d(g(z)))),
    "labels swapped": ("labels are swapped", of_logits(lambda real, fake: no(real) + yes(fake))),
    "value, not loss": ("sign is flipped", lambda *given: -discriminator_loss(*given)),
    "value, from probabilities": (
        "sign is flipped",
        of_probabilities(lambda real, fake: real.log().mean() + (1 - fake).log().mean()),
    ),
    "both real": (
        "both kinds are treated as real",
        of_logits(lambda real, fake: yes(real) + yes(fake)),
    ),
    "both made": (
        "both kinds are treated as fake",
        of_logits(lambda real, fake: no(real) + no(fake)),
    ),
    "real points only": ("generated points are missing", of_logits(lambda real, fake: yes(real))),
    "made points only": ("real points are missing", of_logits(lambda real, fake: no(fake))),
    "difference": (
        "the two means are subtracted. Add",
        of_logits(lambda real, fake: yes(real) - no(fake)),
    ),
    "difference turned": (
        "the two means are subtracted, and the sign is flipped",
        of_logits(lambda real, fake: no(fake) - yes(real)),
    ),
    "log D of the made": (
        "the generated points' part is log D(G(z))",
        of_logits(lambda real, fake: yes(real) + F.logsigmoid(fake).mean()),
    ),
    "no softplus for the made": (
        "the generated points' part is the mean logit",
        of_logits(lambda real, fake: yes(real) + fake.mean()),
    ),
    "no softplus for the real": (
        "the real points' part is minus the mean logit",
        of_logits(lambda real, fake: no(fake) - real.mean()),
    ),
    "product": ("multiplied", of_logits(lambda real, fake: yes(real) * no(fake))),
    "sums": (
        "summed over the batch",
        of_logits(lambda real, fake: F.softplus(-real).sum() + F.softplus(fake).sum()),
    ),
    "sum of the real": (
        "the real points are summed",
        of_logits(lambda real, fake: F.softplus(-real).sum() + no(fake)),
    ),
    "sum of the made": (
        "the generated points are summed",
        of_logits(lambda real, fake: yes(real) + F.softplus(fake).sum()),
    ),
    "one mean of both": (
        "the mean is taken over both kinds together",
        of_logits(lambda real, fake: (yes(real) + no(fake)) / 2),
    ),
    "one value a point": (
        "the result has one value per point",
        of_logits(lambda real, fake: F.softplus(-real) + F.softplus(fake)),
    ),
    "a second sigmoid": (
        "sigmoid is applied twice",
        of_probabilities(lambda real, fake: bce(real, 1.0) + bce(fake, 0.0)),
    ),
    "G's loss": ("G's loss, −log D(G(z))", lambda d, g, x, z: yes(d(g(z)))),
    "G's saturating loss": ("the loss log(1 − D(G(z))) is used", lambda d, g, x, z: -no(d(g(z)))),
    "no logarithm": (
        "logarithms are missing",
        of_probabilities(lambda real, fake: (1 - real).mean() + fake.mean()),
    ),
    "logarithm of a mean": (
        "taken of the mean probability",
        of_probabilities(lambda real, fake: -real.mean().log() - (1 - fake.mean()).log()),
    ),
    "Wasserstein": (
        "the Wasserstein loss is used",
        of_logits(lambda real, fake: fake.mean() - real.mean()),
    ),
    "Wasserstein turned": (
        "the Wasserstein loss is used with its sign flipped",
        of_logits(lambda real, fake: real.mean() - fake.mean()),
    ),
    "hinge": (
        "hinge",
        of_logits(lambda real, fake: F.relu(1 - real).mean() + F.relu(1 + fake).mean()),
    ),
    "least squares": (
        "least-squares",
        of_logits(
            lambda real, fake: F.mse_loss(real, torch.ones_like(real)) + fake.square().mean()
        ),
    ),
    "squared probabilities": (
        "squared error of probabilities",
        of_probabilities(lambda real, fake: (1 - real).square().mean() + fake.square().mean()),
    ),
    "smoothed label": (
        "the label of real points is 0.9",
        of_logits(lambda r, f: bce(r, 0.9) + bce(f, 0.0)),
    ),
    "x through G": (
        "the real points are also passed through G",
        lambda d, g, x, z: yes(d(g(x).detach())) + no(d(g(z).detach())),
    ),
    "z to D": ("z is passed to D directly", lambda d, g, x, z: yes(d(x)) + no(d(z))),
    "x and z exchanged": ("x and z are swapped", lambda d, g, x, z: discriminator_loss(d, g, z, x)),
    "bits": ("is in bits", lambda *given: discriminator_loss(*given) / LN2),
    "log2 of probabilities": (
        "is in bits",
        of_probabilities(lambda real, fake: -real.log2().mean() - (1 - fake).log2().mean()),
    ),
    "log10 of probabilities": (
        "logarithms to base 10",
        of_probabilities(lambda real, fake: -real.log10().mean() - (1 - fake).log10().mean()),
    ),
    "logarithm of a logit": (
        "logarithm of a logit",
        of_logits(lambda real, fake: -real.log().mean() - (1 - fake).log().mean()),
    ),
    "smoothed by half": (
        "a value is wrong",
        of_logits(lambda real, fake: bce(real, 0.5) + bce(fake, 0.0)),
    ),
    "own noise": ("function draws noise", own_noise),
    "noise added to x": (
        "function draws noise",
        lambda d, g, x, z: discriminator_loss(d, g, x + torch.randn_like(x), z),
    ),
    "everything under no_grad": ("D cannot learn", without_gradient),
    "loss detached": ("D cannot learn", lambda *given: discriminator_loss(*given).detach()),
    "loss made anew": (
        "D cannot learn",
        lambda *given: torch.tensor(discriminator_loss(*given).item()),
    ),
    "item": (
        "`.item()` and `float()` cut the gradient",
        lambda *given: discriminator_loss(*given).item(),
    ),
    "float": ("cut the gradient", lambda *given: float(discriminator_loss(*given))),
    "real part detached": (
        "part of D's gradient is cut",
        of_logits(lambda r, f: yes(r.detach()) + no(f)),
    ),
    "made part detached": (
        "part of D's gradient is cut",
        of_logits(lambda r, f: yes(r) + no(f.detach())),
    ),
    "made part as a number": (
        "part of D's gradient is cut",
        of_logits(lambda r, f: yes(r) + no(f).item()),
    ),
    "real part as a number": (
        "part of D's gradient is cut",
        of_logits(lambda r, f: yes(r).item() + no(f)),
    ),
    "backward inside": ("your function calls `backward()` or clears gradients", with_backward),
    "gradients cleared": ("your function calls `backward()` or clears gradients", clears_gradients),
    "G left frozen": ("G's weights are still frozen", freezes_g),
    "D left frozen": ("D's weights are still frozen", freezes_d),
    "G left in evaluation mode": ("G is left in evaluation mode", g_in_evaluation_mode),
    "D trained": ("D's weights have changed", trained_d),
    "logarithm of the sigmoid": (
        "The sigmoid rounds to 0 or to 1 there, and the logarithm of 0 is minus infinity",
        of_probabilities(lambda real, fake: -real.log().mean() - (1 - fake).log().mean()),
    ),
    "logarithm of the sigmoid, float64": (
        "The sigmoid rounds to 0 or to 1 there, and the logarithm of 0 is minus infinity",
        of_logits(
            lambda r, f: -r.double().sigmoid().log().mean() - (-f.double()).sigmoid().log().mean()
        ),
    ),
    "one minus the sigmoid": (
        "The sigmoid rounds to 0 or to 1 there, and the logarithm of 0 is minus infinity",
        of_logits(lambda real, fake: yes(real) - (1 - fake.sigmoid()).log().mean()),
    ),
    "exp first": (
        "exp(1000) overflows",
        of_logits(
            lambda r, f: torch.log(1 + torch.exp(-r)).mean() + torch.log(1 + torch.exp(f)).mean()
        ),
    ),
    "log1p of exp": (
        "exp(1000) overflows",
        of_logits(
            lambda r, f: torch.log1p(torch.exp(-r)).mean() + torch.log1p(torch.exp(f)).mean()
        ),
    ),
    "a sigmoid by hand": (
        "exp(1000) overflows",
        of_logits(lambda r, f: -(1 / (1 + torch.exp(-r))).log().mean() + no(f)),
    ),
    "a small number inside": (
        (
            "a clamp, a small added number, or a loss of probabilities limits the value at large "
            "logits"
        ),
        of_probabilities(
            lambda real, fake: -(real + 1e-8).log().mean() - (1 - fake + 1e-8).log().mean()
        ),
    ),
    "a tiny number inside": (
        (
            "a clamp, a small added number, or a loss of probabilities limits the value at large "
            "logits"
        ),
        of_probabilities(lambda r, f: -(r + 1e-30).log().mean() - (1 - f + 1e-30).log().mean()),
    ),
    "probabilities clamped": (
        (
            "a clamp, a small added number, or a loss of probabilities limits the value at large "
            "logits"
        ),
        of_probabilities(
            lambda r, f: (
                -r.clamp(1e-7, 1 - 1e-7).log().mean() - (1 - f.clamp(1e-7, 1 - 1e-7)).log().mean()
            )
        ),
    ),
    "logits clamped": (
        (
            "a clamp, a small added number, or a loss of probabilities limits the value at large "
            "logits"
        ),
        of_logits(lambda r, f: yes(r.clamp(-50, 50)) + no(f.clamp(-50, 50))),
    ),
    "BCE of probabilities": (
        (
            "a clamp, a small added number, or a loss of probabilities limits the value at large "
            "logits"
        ),
        of_probabilities(
            lambda r, f: (
                F.binary_cross_entropy(r, torch.ones_like(r))
                + F.binary_cross_entropy(f, torch.zeros_like(f))
            )
        ),
    ),
    "infinity replaced": (
        (
            "a clamp, a small added number, or a loss of probabilities limits the value at large "
            "logits"
        ),
        of_probabilities(lambda r, f: (-r.log() - (1 - f).log()).nan_to_num(posinf=100.0).mean()),
    ),
    "labels for four": ("Is a size hard-coded", labels_for_four),
    "a loop over four": ("Is a size hard-coded", four_points),
    "a product of vectors": ("stops in", lambda d, g, x, z: d(x) @ d(z)),
    "no return": ("returns None", lambda d, g, x, z: None),
    "both losses apart": ("but got tuple", of_logits(lambda real, fake: (yes(real), no(fake)))),
}


# ---------------------------------------------------------------- G's step


def generator_step(d, g, optimizer, z):
    """Reference solution."""
    loss = F.softplus(-d(g(z))).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def stepping(loss=yes, *, zero="before", steps=1, cut=False, value=None):
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
        return made.detach() if value is None else value(made.detach(), d, g, z)

    return step


def d_frozen_and_freed(d, g, optimizer, z):
    d.requires_grad_(False)
    loss = generator_step(d, g, optimizer, z)
    d.requires_grad_(True)
    return loss


def by_autograd_grad(d, g, optimizer, z):
    loss = yes(d(g(z)))
    weights = list(g.parameters())
    for weight, slope in zip(weights, torch.autograd.grad(loss, weights), strict=True):
        weight.grad = slope
    optimizer.step()
    return loss.detach()


def in_chunks_of_two(d, g, optimizer, z):
    optimizer.zero_grad()
    total = 0.0
    for some in z.split(2):
        part = F.softplus(-d(g(some))).sum() / len(z)
        part.backward()
        total += part.item()
    optimizer.step()
    return total


def one_by_one(d, g, optimizer, z):
    optimizer.zero_grad(set_to_none=False)
    losses = torch.stack([F.softplus(-d(g(one))) for one in z])
    losses.mean().backward()
    optimizer.step()
    return losses.mean().detach()


def with_a_closure(d, g, optimizer, z):
    def closure():
        optimizer.zero_grad()
        loss = yes(d(g(z)))
        loss.backward()
        return loss

    return optimizer.step(closure).detach()


def grads_of_g_only(d, g, optimizer, z):
    loss = yes(d(g(z)))
    optimizer.zero_grad()
    loss.backward(inputs=list(g.parameters()))
    optimizer.step()
    return loss


def all_grads_cleared(d, g, optimizer, z):
    d.zero_grad()
    g.zero_grad()
    loss = yes(d(g(z)))
    loss.backward()
    optimizer.step()
    d.zero_grad()
    return loss.item()


RIGHT_G = {
    "reference": generator_step,
    "binary cross entropy": stepping(lambda a: bce(a, 1.0)),
    "logsigmoid": stepping(lambda a: -F.logsigmoid(a).mean()),
    "logaddexp": stepping(lambda a: torch.logaddexp(torch.zeros_like(a), -a).mean()),
    "a sum over N": stepping(lambda a: F.softplus(-a).sum() / len(a)),
    "softplus less the logit": stepping(lambda a: (F.softplus(a) - a).mean()),
    "float64 loss": stepping(lambda a: yes(a.double())),
    "einsum": stepping(lambda a: torch.einsum("ni->", F.softplus(-a)) / len(a)),
    "log_softmax": stepping(lambda a: -torch.cat([a, 0 * a], 1).log_softmax(1)[:, 0].mean()),
    "a Python float": lambda *given: generator_step(*given).item(),
    "a loss with its graph": lambda d, g, optimizer, z: grads_of_g_only(d, g, optimizer, z),
    "D frozen for the step": d_frozen_and_freed,
    "autograd.grad": by_autograd_grad,
    "gradients gathered in chunks": in_chunks_of_two,
    "one by one": one_by_one,
    "with a closure": with_a_closure,
    "all gradients cleared": all_grads_cleared,
    "vmap": stepping(lambda a: torch.func.vmap(lambda one: F.softplus(-one))(a).mean()),
}


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


def both_step(d, g, optimizer, z):
    loss = generator_step(d, g, optimizer, z)
    torch.optim.SGD(d.parameters(), lr=0.3).step()
    return loss


def frozen_for_ever(d, g, optimizer, z):
    d.requires_grad_(False)
    return generator_step(d, g, optimizer, z)


def g_frozen_afterwards(d, g, optimizer, z):
    loss = generator_step(d, g, optimizer, z)
    g.requires_grad_(False)
    return loss


def d_in_evaluation_mode(d, g, optimizer, z):
    d.eval()
    return generator_step(d, g, optimizer, z)


def old_gradients_only(d, g, optimizer, z):
    optimizer.step()
    return yes(d(g(z)))


def no_step(d, g, optimizer, z):
    loss = yes(d(g(z)))
    loss.backward()
    return loss.detach()


def zeroed_and_no_step(d, g, optimizer, z):
    loss = yes(d(g(z)))
    optimizer.zero_grad()
    loss.backward()
    return loss.detach()


def under_no_grad(d, g, optimizer, z):
    with torch.no_grad():
        points = g(z)
    loss = yes(d(points))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def all_under_no_grad(d, g, optimizer, z):
    with torch.no_grad():
        return generator_step(d, g, optimizer, z)


def own_optimizer(d, g, optimizer, z):
    return generator_step(d, g, torch.optim.Adam(g.parameters(), lr=0.01), z)


def by_hand(d, g, optimizer, z):
    loss = yes(d(g(z)))
    optimizer.zero_grad()
    loss.backward()
    with torch.no_grad():
        for weight in g.parameters():
            weight -= 0.3 * weight.grad
    return loss.detach()


def twice_backward(d, g, optimizer, z):
    loss = yes(d(g(z)))
    optimizer.zero_grad()
    loss.backward(retain_graph=True)
    loss.backward()
    optimizer.step()
    return loss.detach()


def own_noise(d, g, optimizer, z):
    return generator_step(d, g, optimizer, torch.rand_like(z) * 2 - 1)


def d_zeroed_only(d, g, optimizer, z):
    d.zero_grad()
    loss = yes(d(g(z)))
    loss.backward()
    optimizer.step()
    return loss.detach()


def clipped(d, g, optimizer, z):
    loss = yes(d(g(z)))
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(g.parameters(), 0.01)
    optimizer.step()
    return loss.detach()


def for_four(d, g, optimizer, z):
    logits = d(g(z))
    loss = F.binary_cross_entropy_with_logits(logits, torch.ones(4, 1))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def first_four(d, g, optimizer, z):
    return generator_step(d, g, optimizer, z[:4])


WRONG_G = {
    "D steps too": ("D's weights have changed", both_step),
    "D frozen for ever": ("D's weights are still frozen", frozen_for_ever),
    "G frozen afterwards": ("G's weights are still frozen", g_frozen_afterwards),
    "D left in evaluation mode": ("D is left in evaluation mode", d_in_evaluation_mode),
    "saturating loss": ("Minimize −log D", stepping(lambda a: -no(a))),
    "saturating loss of probabilities": (
        "log(1 − D)",
        stepping(lambda a: (1 - a.sigmoid()).log().mean()),
    ),
    "points taken as made": (
        "generated points are treated as fake, as in D's loss",
        stepping(lambda a: bce(a, 0.0)),
    ),
    "climbs": ("the sign is flipped", stepping(lambda a: -yes(a))),
    "sum": ("the loss is summed over the batch", stepping(lambda a: F.softplus(-a).sum())),
    "half": ("the loss is halved", stepping(lambda a: yes(a) / 2)),
    "a second sigmoid": ("sigmoid is applied twice", stepping(lambda a: bce(a.sigmoid(), 1.0))),
    "Wasserstein": ("the Wasserstein loss is used", stepping(lambda a: -a.mean())),
    "Wasserstein turned": (
        "the Wasserstein loss is used with its sign flipped",
        stepping(lambda a: a.mean()),
    ),
    "no logarithm": ("the logarithm is missing", stepping(lambda a: (1 - a.sigmoid()).mean())),
    "no logarithm, turned": ("missing, and the sign", stepping(lambda a: a.sigmoid().mean())),
    "logarithm of a mean": (
        "taken of the mean probability",
        stepping(lambda a: -a.sigmoid().mean().log()),
    ),
    "least squares": ("least-squares", stepping(lambda a: (a - 1).square().mean())),
    "squared probabilities": (
        "squared error",
        stepping(lambda a: (a.sigmoid() - 1).square().mean()),
    ),
    "smoothed label": ("the label is 0.9", stepping(lambda a: bce(a, 0.9))),
    "both losses": ("both losses of D", stepping(lambda a: yes(a) + no(a))),
    "bits": ("in bits", stepping(lambda a: yes(a) / LN2)),
    "log2 of probabilities": ("in bits", stepping(lambda a: -a.sigmoid().log2().mean())),
    "base 10": ("base 10", stepping(lambda a: -a.sigmoid().log10().mean())),
    "backward twice": ("`backward()` called twice", twice_backward),
    "no step": ("`optimizer.step()` is missing", no_step),
    "zeroed, no step": ("`optimizer.step()` is missing", zeroed_and_no_step),
    "points detached": ("cut before it reaches G", stepping(yes, cut=True)),
    "points under no_grad": ("cut before it reaches G", under_no_grad),
    "all under no_grad": ("does not require grad", all_under_no_grad),
    "zeroed after backward": (
        "`zero_grad()` is called between `backward()` and `step()`",
        stepping(yes, zero="after"),
    ),
    "no backward": ("`backward()` is missing", zeroed_only),
    "d(z)": ("G is never called", d_of_z),
    "never zeroed": ("earlier gradients are included", stepping(yes, zero="never")),
    "only D zeroed": ("earlier gradients are included", d_zeroed_only),
    "never zeroed, and the saturating loss": (
        "earlier gradients are included (call `zero_grad()` before `backward()`)",
        stepping(lambda a: -no(a), zero="never"),
    ),
    "never zeroed, and summed": (
        "the loss is summed over the batch",
        stepping(lambda a: F.softplus(-a).sum(), zero="never"),
    ),
    "old gradients": ("the step follows only the old gradients", old_gradients_only),
    "two steps": ("is called 2 times", stepping(yes, steps=2)),
    "own optimizer": ("not by `optimizer.step()`", own_optimizer),
    "by hand": ("not by `optimizer.step()`", by_hand),
    "own noise": ("function draws noise", own_noise),
    "clipped": ("G's weights are not those after one step down −mean log D(G(z))", clipped),
    "half a label": (
        "G's weights are not those after one step down −mean log D(G(z))",
        stepping(lambda a: bce(a, 0.5)),
    ),
    "loss after the step": (
        "the returned loss is computed after the step",
        stepping(yes, value=lambda loss, d, g, z: yes(d(g(z))).detach()),
    ),
    "summed loss back": (
        "the step is right",
        stepping(value=lambda loss, d, g, z: loss * len(z)),
    ),
    "loss in bits back": ("is in bits", stepping(value=lambda loss, d, g, z: loss / LN2)),
    "minus the loss back": ("sign flipped", stepping(value=lambda loss, d, g, z: -loss)),
    "logits back": ("the returned loss", stepping(value=lambda loss, d, g, z: d(g(z)).detach())),
    "no return": ("returns None", stepping(value=lambda loss, d, g, z: None)),
    "a tuple back": ("but got tuple", stepping(value=lambda loss, d, g, z: (loss, d))),
    "logarithm of the sigmoid": (
        "The sigmoid rounds to 0 or to 1 there, and the logarithm of 0 is minus infinity",
        stepping(lambda a: -a.sigmoid().log().mean()),
    ),
    "logarithm of the sigmoid, float64": (
        "The sigmoid rounds to 0 or to 1 there, and the logarithm of 0 is minus infinity",
        stepping(lambda a: -a.double().sigmoid().log().mean()),
    ),
    "exp first": ("exp(1000) overflows", stepping(lambda a: torch.log1p(torch.exp(-a)).mean())),
    "a small number inside": (
        "G does not move: ",
        stepping(lambda a: -(a.sigmoid() + 1e-8).log().mean()),
    ),
    "probabilities clamped": (
        "G does not move: a clamp",
        stepping(lambda a: -a.sigmoid().clamp(1e-6, 1 - 1e-6).log().mean()),
    ),
    "logits clamped": ("G does not move: a clamp", stepping(lambda a: yes(a.clamp(-30, 30)))),
    "BCE of probabilities": (
        (
            "a clamp, a small added number, or a loss of probabilities limits the value at large "
            "logits"
        ),
        stepping(lambda a: F.binary_cross_entropy(a.sigmoid(), torch.ones_like(a))),
    ),
    "labels for four": ("Is a size hard-coded", for_four),
    "the first four": ("Is a size hard-coded", first_four),
}


# ---------------------------------------------------------------- the best D's value


def best_value(p, q, dx):
    """Reference solution."""
    best, rest = p / (p + q), q / (p + q)  # D* and 1 − D*, (G,)
    return (p * best.log() + q * rest.log()).sum() * dx


def cell_by_cell(p, q, dx):
    total = 0.0
    for a, b in zip(p.tolist(), q.tolist(), strict=True):
        total += a * math.log(a / (a + b)) + b * math.log(b / (a + b))
    return total * float(dx)


def through_the_jsd(p, q, dx):
    m = (p + q) / 2
    jsd = ((p * (p / m).log() + q * (q / m).log()) / 2).sum() * dx
    return 2 * jsd - LN4


def with_logits(p, q, dx):
    logit = p.log() - q.log()
    return -(p * F.softplus(-logit) + q * F.softplus(logit)).sum() * dx


def in_place(p, q, dx):
    best, rest = p.clone().div_(p + q), q.clone().div_(p + q)
    return best.log_().mul_(p).add_(rest.log_().mul_(q)).sum().mul_(dx)


def one_less_the_best(p, q, dx):
    best = p / (p + q)  # rounds to 1 where q is tiny
    return (p * best.log() + q * (1 - best).log()).sum() * dx


RIGHT_VALUE = {
    "reference": best_value,
    "q over the sum": lambda p, q, dx: (
        dx * (p * (p / (p + q)).log() + q * (q / (p + q)).log()).sum()
    ),
    "one plus the ratio": lambda p, q, dx: (
        -(p * (1 + q / p).log() + q * (1 + p / q).log()).sum() * dx
    ),
    "differences of logarithms": lambda p, q, dx: (
        (p * p.log() + q * q.log() - (p + q) * (p + q).log()).sum() * dx
    ),
    "through the JSD": through_the_jsd,
    "with logits": with_logits,
    "cell by cell, in Python": cell_by_cell,
    "a Python float": lambda p, q, dx: best_value(p, q, dx).item(),
    "float64": lambda p, q, dx: best_value(p.double(), q.double(), dx),
    "xlogy": lambda p, q, dx: (
        (torch.xlogy(p, p / (p + q)) + torch.xlogy(q, q / (p + q))).sum() * dx
    ),
    "einsum": lambda p, q, dx: (
        (
            torch.einsum("g,g->", p, (p / (p + q)).log())
            + torch.einsum("g,g->", q, (q / (p + q)).log())
        )
        * dx
    ),
    "dot products": lambda p, q, dx: dx * (p @ (p / (p + q)).log() + q @ (q / (p + q)).log()),
    "dx inside": lambda p, q, dx: (
        p * dx * (p / (p + q)).log() + q * dx * (q / (p + q)).log()
    ).sum(),
    "log1p of the ratios": lambda p, q, dx: (
        -(p * torch.log1p(q / p) + q * torch.log1p(p / q)).sum() * dx
    ),
    "in place on a clone": in_place,
    "vmap": lambda p, q, dx: (
        torch.func.vmap(lambda a, b: a * (a / (a + b)).log() + b * (b / (a + b)).log())(p, q).sum()
        * dx
    ),
    "stacked": lambda p, q, dx: (
        torch.xlogy(torch.stack([p, q]), torch.stack([p, q]) / (p + q)).sum() * dx
    ),
    "minus binary cross entropy": lambda p, q, dx: (
        -((p + q) * F.binary_cross_entropy(p / (p + q), p / (p + q), reduction="none")).sum() * dx
    ),
    "in chunks": lambda p, q, dx: sum(
        best_value(a, b, dx) for a, b in zip(p.split(2), q.split(2), strict=True)
    ),
}


def of_best(play):
    """The integral of play(p, q, D*)."""

    def student(p, q, dx):
        return play(p, q, p / (p + q)).sum() * dx

    return student


WRONG_VALUE = {
    "no dx": ("dx is missing", lambda p, q, dx: best_value(p, q, 1)),
    "dx twice": ("dx is applied twice", lambda p, q, dx: best_value(p, q, dx) * dx),
    "over dx": ("divided by dx", lambda p, q, dx: best_value(p, q, 1) / dx),
    "mean": ("the mean over cells is taken", lambda p, q, dx: best_value(p, q, 1) / len(p)),
    "mean times dx": (
        "mean over cells is taken, times dx",
        lambda p, q, dx: best_value(p, q, dx) / len(p),
    ),
    "trapezoidal rule": (
        "trapezoidal",
        lambda p, q, dx: torch.trapezoid(
            p * (p / (p + q)).log() + q * (q / (p + q)).log(), dx=dx.item()
        ),
    ),
    "D* turned": ("D* is reversed", of_best(lambda p, q, d: p * (1 - d).log() + q * d.log())),
    "D* of one half": ("½ everywhere", lambda p, q, dx: ((p + q) * math.log(0.5)).sum() * dx),
    "JSD": ("the JSD is returned", lambda p, q, dx: (best_value(p, q, dx) + LN4) / 2),
    "over the mean": (
        "−log 4 is missing",
        lambda p, q, dx: (p * (2 * p / (p + q)).log() + q * (2 * q / (p + q)).log()).sum() * dx,
    ),
    "another −log 4": ("subtracted once more", lambda p, q, dx: best_value(p, q, dx) - LN4),
    "one JSD": ("−log 4 + JSD is returned", lambda p, q, dx: (best_value(p, q, dx) - LN4) / 2),
    "D's loss": ("the sign is flipped", lambda p, q, dx: -best_value(p, q, dx)),
    "p only": ("q's part is missing", of_best(lambda p, q, d: p * d.log())),
    "q only": ("p's part is missing", of_best(lambda p, q, d: q * (1 - d).log())),
    "difference": (
        "q's part is subtracted",
        of_best(lambda p, q, d: p * d.log() - q * (1 - d).log()),
    ),
    "no weights": ("must be the weights", of_best(lambda p, q, d: d.log() + (1 - d).log())),
    "weighed by p": (
        "both parts are weighted by p",
        of_best(lambda p, q, d: p * (d.log() + (1 - d).log())),
    ),
    "weighed by q": (
        "both parts are weighted by q",
        of_best(lambda p, q, d: q * (d.log() + (1 - d).log())),
    ),
    "weighed by both": (
        "weighted by p + q",
        of_best(lambda p, q, d: (p + q) * (d.log() + (1 - d).log())),
    ),
    "log D* twice": ("both parts contain log D*", of_best(lambda p, q, d: (p + q) * d.log())),
    "bits": ("is in bits", of_best(lambda p, q, d: p * d.log2() + q * (1 - d).log2())),
    "base 10": ("base 10", of_best(lambda p, q, d: p * d.log10() + q * (1 - d).log10())),
    "no logarithms": ("logarithms are missing", of_best(lambda p, q, d: p * d + q * (1 - d))),
    "logarithm of the whole": (
        "taken of the whole",
        lambda p, q, dx: (((p * p + q * q) / (p + q)).sum() * dx).log(),
    ),
    "KL": (
        "a KL divergence is returned, ∫ p·log(p/q)",
        lambda p, q, dx: (p * (p / q).log()).sum() * dx,
    ),
    "KL turned": (
        "a KL divergence is returned, ∫ q·log(q/p)",
        lambda p, q, dx: (q * (q / p).log()).sum() * dx,
    ),
    "both KLs": (
        "the sum of both KL divergences is returned",
        lambda p, q, dx: ((p - q) * (p / q).log()).sum() * dx,
    ),
    "sigmoid": (
        "D* is computed as sigmoid(p − q), but D* is p/(p + q)",
        lambda p, q, dx: (p * F.logsigmoid(p - q) + q * F.logsigmoid(q - p)).sum() * dx,
    ),
    "half": ("halved", lambda p, q, dx: best_value(p, q, dx) / 2),
    "integral of D*": ("the integral of D* is returned", of_best(lambda p, q, d: d)),
    "per cell": (
        "the result has one number per cell",
        lambda p, q, dx: (p * (p / (p + q)).log() + q * (q / (p + q)).log()) * dx,
    ),
    "per cell, no dx": (
        "the result has one number per cell",
        lambda p, q, dx: p * (p / (p + q)).log() + q * (q / (p + q)).log(),
    ),
    "D* over q": (
        "NaN or infinity",
        lambda p, q, dx: (p * (p / q).log() + q * (1 - p / q).log()).sum() * dx,
    ),
    "D* clamped": (
        "a value is wrong where p and q hardly overlap",
        of_best(
            lambda p, q, d: p * d.clamp(0.05, 0.95).log() + q * (1 - d.clamp(0.05, 0.95)).log()
        ),
    ),
    "a number inside": (
        "a value is wrong where p and q hardly overlap",
        of_best(lambda p, q, d: p * (d + 1e-5).log() + q * (1 - d + 1e-5).log()),
    ),
    "a small number inside": (
        "Is D* clamped, or is a small number added",
        of_best(lambda p, q, d: p * (d + 1e-6).log() + q * (1 - d + 1e-6).log()),
    ),
    "1 − D*": ("Compute 1 − D* as q/(p + q)", one_less_the_best),
    "1 − D*, float64": (
        "Compute 1 − D* as q/(p + q)",
        lambda p, q, dx: one_less_the_best(p.double(), q.double(), dx),
    ),
    "log1p of −D*": (
        "Compute 1 − D* as q/(p + q)",
        of_best(lambda p, q, d: p * d.log() + q * torch.log1p(-d)),
    ),
    "five cells": ("Is a size hard-coded", lambda p, q, dx: best_value(p[:5], q[:5], dx)),
    "dx of a quarter": ("Does it fit only the example", lambda p, q, dx: best_value(p, q, 0.25)),
    "a list": ("but got list", lambda p, q, dx: [best_value(p, q, dx)]),
    "a NumPy array": ("but got ndarray", lambda p, q, dx: best_value(p, q, dx).numpy()),
    "no return": ("returns None", lambda p, q, dx: None),
    "a kept axis": ("the shape is wrong", lambda p, q, dx: best_value(p, q, dx)[None]),
}

RIGHT = {"discriminator_loss": RIGHT_D, "generator_step": RIGHT_G, "best_value": RIGHT_VALUE}
WRONG = {"discriminator_loss": WRONG_D, "generator_step": WRONG_G, "best_value": WRONG_VALUE}
RIGHT_CASES = [
    pytest.param(name, answer, id=f"{name}: {style}")
    for name, answers in RIGHT.items()
    for style, answer in answers.items()
]
WRONG_CASES = [
    pytest.param(name, words, answer, id=f"{name}: {what}")
    for name, answers in WRONG.items()
    for what, (words, answer) in answers.items()
]


@pytest.mark.parametrize(("name", "answer"), RIGHT_CASES)
def test_right_answers_pass(name, answer):
    for _ in range(3):  # some inputs are drawn anew
        result = getattr(checks, name)(answer)
        assert result.status == "correct", result.message


@pytest.mark.parametrize(("name", "words", "answer"), WRONG_CASES)
def test_wrong_answers_are_named(name, words, answer):
    result = getattr(checks, name)(answer)
    assert result.status == "mistake"
    assert words in result.message


@pytest.mark.parametrize("name", RIGHT)
def test_no_drawn_input_ever_refuses_the_reference(name):
    for _ in range(100):
        result = getattr(checks, name)(RIGHT[name]["reference"])
        assert result.status == "correct", result.message


@pytest.mark.parametrize("name", RIGHT)
def test_there_are_many_styles_and_many_mistakes(name):
    assert len(RIGHT[name]) >= 15
    assert len(WRONG[name]) >= 30


@pytest.mark.parametrize("name", RIGHT)
def test_a_stub_is_not_started(name):
    def stub(*given):
        raise NotImplementedError

    assert getattr(checks, name)(stub).status == "not started"
