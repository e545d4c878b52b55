"""Checks for chapter 03: the noise and its gradient, the KL term, the loss of a VAE."""

from inspect import unwrap

import torch
from torch import tensor

from course_lib.checks.ch02 import kl_to_standard_normal
from course_lib.checks.report import Student, Table, call, exercise, expect, expect_gaussian, numbers, same
from course_lib.gaussians import kl_diag


@exercise
def reparameterize(student: Student) -> None:
    """z = mu + exp(logvar / 2) · noise, fresh for every number, and the gradient reaches mu and logvar."""
    n, m, v = 20_000, tensor([-2.0, 0.5, 3.0]), tensor([-1.2, 0.8, 1.6])
    mu, logvar, std = m.repeat(n, 1).requires_grad_(), v.repeat(n, 1).requires_grad_(), (v / 2).exp()
    value = call(student, mu, logvar)
    z, again = numbers(value, "your z", mu.shape), numbers(call(student, mu, logvar), "your z", mu.shape)
    expect(not same(z, mu), "no noise is added: this is mu, the code of an ordinary auto-encoder.")
    expect(not torch.equal(z, again), "a second call repeats the noise: is a seed set inside your function?")
    mistakes = {
        "std is taken as variance: exp(logvar) is the variance, multiply by its root.": (m, v.exp()),
        "logvar itself multiplies the noise: the std is exp(logvar / 2).": (m, v.abs()),
        "the noise keeps scale 1: multiply it by the std, exp(logvar / 2).": (m, 0 * v + 1),
        "the root is taken twice: the std is exp(logvar / 2).": (m, (v / 4).exp()),
        "the sign of logvar is turned: the std is exp(+logvar / 2).": (m, (-v / 2).exp()),
        "mu is missing: add it to the scaled noise.": (0 * m, std),
        "the noise multiplies mu too: only the std is multiplied by it.": (0 * m, (m + std).abs()),
    }
    expect_gaussian(z, m, std, mistakes)
    cut = "the gradient to {} is cut: no `detach`, `.data`, `no_grad`, `torch.normal` or `.sample()`."
    for name, given, right in ("mu", mu, torch.ones_like(mu)), ("logvar", logvar, (z - m) / 2):
        # adding 0 · given keeps autograd quiet where z does not depend on it
        (slope,) = torch.autograd.grad((value + 0 * given).sum(), given, retain_graph=True)
        Table({}, right.detach(), {cut.format(name): 0 * slope}).judge(slope, f"the slope of z in {name}")


@exercise
def kl(student: Student) -> None:
    """mu and logvar (N, d) give KL(N(mu, exp(logvar)) ‖ N(0, I)), one number per image (N,), in nats."""
    unwrap(kl_to_standard_normal)(student)  # the same exercise again, after a chapter


@exercise
def vae_loss(student: Student) -> None:
    """‖x − x_hat‖² / (2 variance) + KL, summed over pixels, averaged over images: nats per image."""
    x = tensor([[0.0, 0.9, 0.3, 0.6], [1.0, 0.2, 0.7, 0.0], [0.1, 0.8, 0.0, 0.5]])
    x_hat = tensor([[0.2, 0.4, 0.3, 1.0], [0.5, 0.3, 0.0, 0.4], [0.3, 0.2, 0.6, 0.1]])
    mu, v = tensor([[0.3, -0.7, 0.2], [0.5, 1, -0.4], [-0.2, 0.6, 0.9]]), tensor(0.4)
    logvar = tensor([[0.2, -0.5, 1]] * 3)
    far, kl, n = ((x - x_hat) ** 2).sum(1), kl_diag(mu, logvar), len(x)  # (N,)
    right = far / (2 * v) + kl
    mistakes = {
        "the squared error is averaged over pixels: sum over pixels, average over images.": far / 8 / v + kl,
        "averaged over pixels (`mse_loss`), and not divided by 2 · variance.": far / 4 + kl,
        "both parts are averaged over their columns: sum over pixels and over z.": far / 8 / v + kl / 3,
        "the KL is averaged over dimensions: sum over them.": far / 2 / v + kl / 3,
        "the factor ½ of the squared error is missing: divide by 2 · variance.": far / v + kl,
        "the factor ½ of the KL is missing.": far / 2 / v + 2 * kl,
        "variance is taken as std and squared: divide by 2 · variance.": far / 2 / v**2 + kl,
        "multiplied by the variance: divide, for a small one makes errors dear.": far / 2 * v + kl,
        "the variance is ignored: divide the squared error by 2 · variance.": far / 2 + kl,
        "the squared error is not divided by 2 · variance.": far + kl,
        "the KL is subtracted: the loss is minus L_b, so both parts are added.": far / 2 / v - kl,
        "the KL is missing.": far / 2 / v,
        "the sign is turned: this is L_b, the loss is minus that.": -right,
        "summed over images: sum over pixels, but average over images.": n * right,
        "the KL is summed over images: average it over them.": far / 2 / v + n * kl,
        "the squared error is summed over images: average it over them.": n * far / 2 / v + kl,
        "logvar is taken for the log of the std.": far / 2 / v + kl_diag(mu, 2 * logvar),
        "the constant D/2 · log(2π variance) is in it: leave it out.": right + 2 * (2 * torch.pi * v).log(),
    }
    inputs = {"x": x, "x_hat": x_hat, "mu": mu, "logvar": logvar, "variance": v}
    means = {says: wrong.mean() for says, wrong in mistakes.items()}
    each = {"the average over images is missing: one number is wanted.": right}
    Table(inputs, right.mean(), means | each).ask(student)
