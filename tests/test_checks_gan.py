"""The checks of "GANs on MNIST": right answers of any style pass, and each wrong one is named.

The tables were written from the notebook's text. A row of a table of wrong answers reads:
what the student did, the words that the message must contain, the answer.
"""

import math
from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from course_lib import checks

LN2 = math.log(2)
LN10 = math.log(10)


# ---------------------------------------------------------------- R1


def slopes(logit, x, of=torch.sum, create_graph=True):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(of(logit(x)), x, create_graph=create_graph)[0]


def r1_penalty(logit, x):
    """Reference solution."""
    return slopes(logit, x).square().sum(1).mean() / 2


def of_slopes(penalty, of=torch.sum):
    """A penalty of the slopes (N, D)."""
    return lambda logit, x: penalty(slopes(logit, x, of))


def as_taught(logit, x):
    x.requires_grad_(True)
    (slope,) = torch.autograd.grad(logit(x).sum(), x, create_graph=True)
    return 0.5 * (slope**2).sum(dim=1).mean()


def with_grad_outputs(logit, x):
    x = x.detach().requires_grad_()
    values = logit(x)
    ones = torch.ones_like(values)
    (slope,) = torch.autograd.grad(values, x, grad_outputs=ones, create_graph=True)
    return slope.pow(2).flatten(1).sum(1).mean() * 0.5


def image_by_image(logit, x):
    total = 0.0
    for i in range(len(x)):
        one = x[i : i + 1].clone().requires_grad_()
        (slope,) = torch.autograd.grad(logit(one).sum(), one, create_graph=True)
        total = total + slope.square().sum()
    return total / len(x) / 2


def row_by_row(logit, x):
    penalties = []
    for row in x:
        row = row.clone().requires_grad_()
        (slope,) = torch.autograd.grad(logit(row[None])[0], row, create_graph=True)
        penalties.append(slope @ slope / 2)
    return torch.stack(penalties).mean()


def in_chunks(logit, x):
    parts = [slopes(logit, part).square().sum() for part in x.split(3)]
    return torch.stack(parts).sum() / (2 * len(x))


def mapped_gradient(logit, x):
    slope = torch.func.vmap(torch.func.grad(lambda image: logit(image[None])[0]))(x)
    return slope.square().sum(1).mean() / 2


def gradient_of_the_sum(logit, x):
    slope = torch.func.grad(lambda images: logit(images).sum())(x)
    return slope.square().sum(1).mean() / 2


def by_vjp(logit, x):
    values, pull = torch.func.vjp(logit, x)
    (slope,) = pull(torch.ones_like(values))
    return slope.square().sum(1).mean() / 2


def by_jacrev(logit, x):
    rows = torch.func.vmap(torch.func.jacrev(lambda image: logit(image[None])[0]))(x)
    return torch.einsum("nd,nd->n", rows, rows).mean() / 2


def whole_jacobian(logit, x):
    jacobian = torch.autograd.functional.jacobian(logit, x, create_graph=True)  # (N, N, D)
    return jacobian.sum(0).square().sum(1).mean() / 2


def along_each_axis(logit, x):
    total = 0.0
    for axis in torch.eye(x.shape[1]):
        _, slope = torch.func.jvp(logit, (x,), (axis.expand_as(x),))  # (N,)
        total = total + slope.square().mean()
    return total / 2


def under_no_grad(logit, x):
    with torch.no_grad():
        count = len(x)
    with torch.enable_grad():
        return slopes(logit, x).square().sum() / count / 2


RIGHT_R1 = {
    "reference": r1_penalty,
    "as the steps say": as_taught,
    "grad_outputs": with_grad_outputs,
    "einsum": of_slopes(lambda g: torch.einsum("nd,nd->", g, g) / len(g) / 2),
    "norm, then square": of_slopes(lambda g: g.norm(dim=1).square().mean() / 2),
    "2-norm to the power 2": of_slopes(lambda g: g.norm(2, dim=1).pow(2).mean().mul(0.5)),
    "vector_norm": of_slopes(lambda g: (torch.linalg.vector_norm(g, dim=1) ** 2).mean() / 2),
    "batched product": of_slopes(lambda g: torch.bmm(g[:, None], g[:, :, None]).mean() / 2),
    "mean squared error": of_slopes(lambda g: F.mse_loss(g, torch.zeros_like(g)) * g.shape[1] / 2),
    "float64": lambda logit, x: r1_penalty(logit, x.double()),
    "in place on a clone": of_slopes(lambda g: g.clone().square_().sum(1).mean() / 2),
    "image by image": image_by_image,
    "row by row": row_by_row,
    "in chunks": in_chunks,
    "vmap of grad": mapped_gradient,
    "grad of the sum": gradient_of_the_sum,
    "vjp": by_vjp,
    "vmap of jacrev": by_jacrev,
    "the whole jacobian": whole_jacobian,
    "jvp along each axis": along_each_axis,
    "enable_grad": under_no_grad,
}


def with_backward(logit, x):
    x = x.clone().requires_grad_()
    logit(x).sum().backward(create_graph=True)
    return x.grad.square().sum(1).mean() / 2


def interpolated(logit, x):
    return r1_penalty(logit, x * torch.rand(len(x), 1))


def noisy(logit, x):
    return r1_penalty(logit, x + 0.1 * torch.randn_like(x))


def one_factor_detached(logit, x):
    g = slopes(logit, x)
    return (g * g.detach()).sum(1).mean() / 2


def one_image_detached(logit, x):
    g = slopes(logit, x)
    return (g[0].detach().square().sum() + g[1:].square().sum()) / len(g) / 2


def freezes(logit, x):
    loss = r1_penalty(logit, x)
    logit.weight.requires_grad_(False)
    return loss


def for_four(logit, x):
    x = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(logit(x), x, torch.ones(4), create_graph=True)
    return g.square().sum(1).mean() / 2


def three_pixels(logit, x):
    g = slopes(logit, x)
    return (g[:, 0] ** 2 + g[:, 1] ** 2 + g[:, 2] ** 2).mean() / 2


def range_four(logit, x):
    g = slopes(logit, x)
    return sum(g[i].square().sum() for i in range(4)) / 8


def finite_differences(logit, x):
    h, total = 1.0, 0.0
    for axis in torch.eye(x.shape[1]):
        total = total + ((logit(x + h * axis) - logit(x)) / h).square().mean()
    return total / 2


WRONG_R1 = {
    "no half": ("the factor ½ is missing", of_slopes(lambda g: g.square().sum(1).mean())),
    "a quarter": (
        "the factor ½ is applied twice",
        of_slopes(lambda g: g.square().sum(1).mean() / 4),
    ),
    "minus": ("the sign is flipped", of_slopes(lambda g: -g.square().sum(1).mean() / 2)),
    "sum over images": (
        "the penalty is summed over the images",
        of_slopes(lambda g: g.square().sum() / 2),
    ),
    "mean over pixels": (
        "the penalty is also averaged over an image's pixels",
        of_slopes(lambda g: g.square().mean() / 2),
    ),
    "mean over all, no half": (
        "the penalty is also averaged over the pixels, and the factor ½ is missing",
        of_slopes(lambda g: g.square().mean()),
    ),
    "mean over pixels, sum over images": (
        "averaging and summing are swapped",
        of_slopes(lambda g: g.square().mean(1).sum() / 2),
    ),
    "norm": ("the norm is not squared.", of_slopes(lambda g: g.norm(dim=1).mean() / 2)),
    "norm, no half": ("not squared, and the factor", of_slopes(lambda g: g.norm(dim=1).mean())),
    "mean, then square": (
        "the mean norm is squared",
        of_slopes(lambda g: g.norm(dim=1).mean() ** 2 / 2),
    ),
    "fourth power": ("squared twice", of_slopes(lambda g: g.square().sum(1).square().mean() / 2)),
    "absolute slopes": (
        "absolute values of the gradients are summed",
        of_slopes(lambda g: g.abs().sum(1).mean() / 2),
    ),
    "sum, then square": (
        "an image's gradients are summed before squaring",
        of_slopes(lambda g: g.sum(1).square().mean() / 2),
    ),
    "mean over images, then square": (
        "averaged over the images before",
        of_slopes(lambda g: g.mean(0).square().sum() / 2),
    ),
    "sum over images, then square": (
        "summed over the images before",
        of_slopes(lambda g: g.sum(0).square().sum() / 2),
    ),
    "the largest": (
        "only the largest gradient counts",
        of_slopes(lambda g: g.square().sum(1).max() / 2),
    ),
    "gradient of the mean": (
        "the gradient is that of the mean logit, N times too small",
        of_slopes(lambda g: g.square().sum(1).mean() / 2, torch.mean),
    ),
    "gradient of the mean, summed": (
        "the gradient is that of the mean logit, summed over images",
        of_slopes(lambda g: g.square().sum() / 2, torch.mean),
    ),
    "slope of 1": (
        "the gradient norm is pulled towards 1, as in the Wasserstein GAN",
        of_slopes(lambda g: (g.norm(dim=1) - 1).square().mean()),
    ),
    "slope of 1, half": (
        "The factor ½ is right",
        of_slopes(lambda g: (g.norm(dim=1) - 1).square().mean() / 2),
    ),
    "the logit squared": (
        "the logit itself is penalized",
        lambda logit, x: logit(x).square().mean() / 2,
    ),
    "the mean logit": ("the mean logit is returned", lambda logit, x: logit(x).mean()),
    "half the mean logit": ("half the mean logit", lambda logit, x: logit(x).mean() / 2),
    "slope of the sigmoid": (
        "the gradient is that of D's probability, after a sigmoid",
        lambda logit, x: r1_penalty(lambda images: logit(images).sigmoid(), x),
    ),
    "slope of log D": (
        "the gradient is that of log D",
        lambda logit, x: r1_penalty(lambda images: F.logsigmoid(logit(images)), x),
    ),
    "slope of the loss": (
        "the gradient is that of D's loss over the batch",
        of_slopes(
            lambda g: g.square().sum(1).mean() / 2, lambda logits: F.softplus(-logits).mean()
        ),
    ),
    "the slopes": ("the gradient itself is returned", of_slopes(lambda g: g)),
    "one value an image": ("one value per image", of_slopes(lambda g: g.square().sum(1) / 2)),
    "one norm an image": ("one norm per image", of_slopes(lambda g: g.norm(dim=1))),
    "all images at once": ("one norm is taken over all images", of_slopes(lambda g: g.norm() ** 2)),
    "norm of all": ("without a square", of_slopes(lambda g: g.norm())),
    "half the norm of all": (
        "the result is half the norm over all images, without a square",
        of_slopes(lambda g: g.norm() / 2),
    ),
    "a weight": ("the weight γ", of_slopes(lambda g: 10 * g.square().sum(1).mean() / 2)),
    "a small number added": (
        "a value is wrong",
        of_slopes(lambda g: (g.square().sum(1) + 0.1).mean() / 2),
    ),
    "interpolated": ("function draws noise", interpolated),
    "noise on the images": ("function draws noise", noisy),
    "finite differences": ("a value is wrong", finite_differences),
    "no create_graph": (
        "D cannot learn from it",
        lambda logit, x: slopes(logit, x, create_graph=False).square().sum(1).mean() / 2,
    ),
    "retain_graph": (
        "create_graph=True",
        lambda logit, x: (
            torch.autograd.grad(logit(x.requires_grad_()).sum(), x, retain_graph=True)[0]
            .square()
            .sum(1)
            .mean()
            / 2
        ),
    ),
    "detached": ("D cannot learn from it", lambda logit, x: r1_penalty(logit, x).detach()),
    "made anew": (
        "D cannot learn from it",
        lambda logit, x: torch.tensor(float(r1_penalty(logit, x).detach())),
    ),
    "item": (
        "`.item()` and `float()` cut the gradient",
        lambda logit, x: r1_penalty(logit, x).item(),
    ),
    "one factor detached": (
        "its gradient with respect to D's weights is wrong",
        one_factor_detached,
    ),
    "one image detached": ("its gradient with respect to D's weights is wrong", one_image_detached),
    "D frozen": ("D's weights are still frozen", freezes),
    "backward": ("your function changes the gradients of D's weights", with_backward),
    "root of the sum, squared": (
        "The square root has an infinite derivative at 0",
        of_slopes(lambda g: g.square().sum(1).sqrt().square().mean() / 2),
    ),
    "power of a half, squared": (
        "The square root has an infinite derivative at 0",
        of_slopes(lambda g: ((g**2).sum(1) ** 0.5).pow(2).mean() / 2),
    ),
    "ones for four": ("Is a size hard-coded", for_four),
    "three pixels": ("Is a size hard-coded", three_pixels),
    "range of four": ("Is a size hard-coded", range_four),
    "divided by four": ("Is a size hard-coded", of_slopes(lambda g: g.square().sum() / 8)),
    "logits of one pixel": ("`logit` takes images of shape (N", lambda logit, x: logit(x[:, :1])),
    "no gradient wanted": (
        "does not require grad",
        lambda logit, x: torch.autograd.grad(logit(x).sum(), x, create_graph=True)[0].norm(),
    ),
    "no sum": (
        "grad can be implicitly created only for scalar",
        of_slopes(torch.sum, lambda logits: logits),
    ),
    "a tuple": ("but got tuple", lambda logit, x: (r1_penalty(logit, x),)),
    "no return": ("returns None", lambda logit, x: None),
}


# ---------------------------------------------------------------- the classes that are missing


def class_kl(labels):
    """Reference solution."""
    shares = torch.bincount(labels, minlength=10) / len(labels)
    return torch.xlogy(shares, 10 * shares).sum()


def of_shares(play):
    return lambda labels: play(torch.bincount(labels, minlength=10) / len(labels))


def of_seen(play):
    """A function of the shares of those classes that occur."""
    return of_shares(lambda shares: play(shares[shares > 0]))


def with_a_counter(labels):
    total = 0.0
    for count in Counter(labels.tolist()).values():
        share = count / len(labels)
        total += share * math.log(10 * share)
    return total


def class_by_class(labels):
    total = torch.tensor(0.0)
    for digit in range(10):
        share = (labels == digit).float().mean()
        if share > 0:
            total = total + share * torch.log(share / 0.1)
    return total


def with_numpy(labels):
    shares = np.bincount(labels.numpy(), minlength=10) / len(labels)
    shares = shares[shares > 0]
    return np.sum(shares * np.log(shares / 0.1))


def by_one_hot(labels):
    shares = F.one_hot(labels, 10).float().mean(0)
    return torch.where(shares > 0, shares * (shares.clamp(min=1e-30) / 0.1).log(), 0.0).sum()


def by_unique(labels):
    _, counts = labels.unique(return_counts=True)
    shares = counts / counts.sum()
    return (shares * (shares.log() + LN10)).sum()


def filled_in_place(labels):
    shares = torch.zeros(10)
    shares.index_add_(0, labels, torch.ones(len(labels))).div_(len(labels))
    terms = shares.clone().mul_(10).log_().mul_(shares)
    return terms.nan_to_num_(0.0).sum()


RIGHT_KL = {
    "reference": class_kl,
    "only those that occur": of_seen(lambda s: (s * (s / 0.1).log()).sum()),
    "ln 10 less the entropy": of_shares(lambda s: LN10 - torch.special.entr(s).sum()),
    "a Counter": with_a_counter,
    "class by class": class_by_class,
    "NumPy": with_numpy,
    "one-hot": by_one_hot,
    "unique": by_unique,
    "kl_div": of_shares(lambda s: F.kl_div(torch.full((10,), 0.1).log(), s, reduction="sum")),
    "nansum": of_shares(lambda s: (s * (10 * s).log()).nansum()),
    "nan_to_num": of_shares(lambda s: (s * (10 * s).log()).nan_to_num(0.0).sum()),
    "where": of_shares(lambda s: torch.where(s > 0, s * (10 * s).log(), 0.0).sum()),
    "distributions": of_shares(
        lambda s: torch.distributions.kl_divergence(
            torch.distributions.Categorical(probs=s),
            torch.distributions.Categorical(probs=torch.ones(10)),
        )
    ),
    "entropy of a distribution": of_shares(
        lambda s: LN10 - torch.distributions.Categorical(probs=s).entropy()
    ),
    "einsum": of_seen(lambda s: torch.einsum("k,k->", s, (10 * s).log())),
    "float64": of_shares(lambda s: torch.xlogy(s.double(), 10 * s.double()).sum()),
    "a Python float": lambda labels: class_kl(labels).item(),
    "filled in place": filled_in_place,
    "histc": lambda labels: (lambda s: torch.xlogy(s, 10 * s).sum())(
        torch.histc(labels.float(), 10, -0.5, 9.5) / len(labels)
    ),
    "vmap": of_shares(
        lambda s: torch.func.vmap(lambda share: torch.xlogy(share, 10 * share))(s).sum()
    ),
    "log2 brought back": of_seen(lambda s: (s * (10 * s).log2()).sum() * LN2),
    "no minlength, but a share of a tenth": lambda labels: (lambda s: torch.xlogy(s, 10 * s).sum())(
        labels.bincount() / len(labels)
    ),
}


def only_seen(labels):
    shares = torch.bincount(labels)
    shares = shares[shares > 0] / len(labels)
    return (shares * (shares * len(shares)).log()).sum()


def up_to_the_largest(labels):
    shares = torch.bincount(labels) / len(labels)
    return torch.xlogy(shares, shares * len(shares)).sum()


def smoothed(labels):
    shares = (torch.bincount(labels, minlength=10) + 1) / (len(labels) + 10)
    return (shares * (10 * shares).log()).sum()


def jensen_shannon(shares):
    uniform = torch.full_like(shares, 0.1)
    middle = (shares + uniform) / 2
    return (
        torch.xlogy(shares, shares / middle).sum() + (uniform * (uniform / middle).log()).sum()
    ) / 2


def of_counts(play):
    return lambda labels: play(torch.bincount(labels, minlength=10))


def stops_at_zero(labels):
    total = 0.0
    for digit in range(10):
        share = float((labels == digit).float().mean())
        total += share * math.log(share / 0.1)
    return total


WRONG_KL = {
    "turned round": (
        "the direction is reversed",
        of_shares(lambda s: (0.1 * (0.1 / s).log()).sum()),
    ),
    "kl_div turned": (
        "the direction is reversed",
        of_shares(lambda s: F.kl_div(s.log(), torch.full((10,), 0.1), reduction="sum")),
    ),
    "turned, seen only": (
        "the direction is reversed",
        of_seen(lambda s: (0.1 * (0.1 / s).log()).sum()),
    ),
    "turned, a tiny number added": (
        (
            "the direction is reversed. The result is KL(uniform ‖ shares), with 1e-08 in place "
            "of a share of 0"
        ),
        of_shares(lambda s: (0.1 * (0.1 / (s + 1e-8)).log()).sum()),
    ),
    "turned, clamped": (
        (
            "the direction is reversed. The result is KL(uniform ‖ shares), with 1e-12 in place "
            "of a share of 0"
        ),
        of_shares(lambda s: (0.1 * (0.1 / s.clamp(min=1e-12)).log()).sum()),
    ),
    "turned, a thousandth added": (
        (
            "the direction is reversed. The result is KL(uniform ‖ shares), with 0.001 added to "
            "each share"
        ),
        of_shares(lambda s: F.kl_div((s + 1e-3).log(), torch.full((10,), 0.1), reduction="sum")),
    ),
    "0 · log 0": ("0 · log 0", of_shares(lambda s: (s * (10 * s).log()).sum())),
    "log of 0": (
        "the logarithm of a share of 0 is minus infinity",
        of_shares(lambda s: (10 * s).log().sum()),
    ),
    "bits": ("is in bits", lambda labels: class_kl(labels) / LN2),
    "log2": ("is in bits", of_seen(lambda s: (s * (10 * s).log2()).sum())),
    "log10": ("base 10", of_seen(lambda s: (s * (10 * s).log10()).sum())),
    "entropy": (
        "the result is the entropy of the shares",
        of_shares(lambda s: torch.special.entr(s).sum()),
    ),
    "entropy of a distribution": (
        "the result is the entropy of the shares",
        of_shares(lambda s: torch.distributions.Categorical(s).entropy()),
    ),
    "no ln 10": ("the term ln 10 is missing", of_shares(lambda s: torch.xlogy(s, s).sum())),
    "divided by ten": (
        "the logarithm of 10 has the wrong sign",
        of_shares(lambda s: torch.xlogy(s, s / 10).sum()),
    ),
    "ln 10 twice": ("added twice", of_shares(lambda s: torch.xlogy(s, 100 * s).sum())),
    "among those seen": ("not 1/6", only_seen),
    "uniform over N": (
        "not 1/N",
        lambda labels: of_shares(lambda s: torch.xlogy(s, s * len(labels)).sum())(labels),
    ),
    "mean": (
        "the result is averaged over the classes",
        of_shares(lambda s: torch.xlogy(s, 10 * s).mean()),
    ),
    "kl_div's mean": (
        "the result is averaged over the classes",
        of_shares(lambda s: F.kl_div(torch.full((10,), 0.1).log(), s, reduction="batchmean")),
    ),
    "mean of those seen": (
        "averaged over the classes that occur",
        of_seen(lambda s: (s * (10 * s).log()).mean()),
    ),
    "divided by N again": ("divided by N once more", lambda labels: class_kl(labels) / len(labels)),
    "counts": ("the counts are not divided", of_counts(lambda c: torch.xlogy(c, 10.0 * c).sum())),
    "weights are counts": ("the weights are counts", lambda labels: class_kl(labels) * len(labels)),
    "no weights": (
        "the weights of the logarithms are missing",
        of_seen(lambda s: (10 * s).log().sum()),
    ),
    "weights of a tenth": ("weighted by 1/10", of_seen(lambda s: (0.1 * (10 * s).log()).sum())),
    "smoothed": ("the counts are smoothed", smoothed),
    "absolute difference": (
        "the result is the absolute difference from 1/10, not a KL",
        of_shares(lambda s: (s - 0.1).abs().sum()),
    ),
    "total variation": (
        "the result is half the absolute difference from 1/10, not a KL",
        of_shares(lambda s: (s - 0.1).abs().sum() / 2),
    ),
    "squared difference": ("the squared difference", of_shares(lambda s: (s - 0.1).square().sum())),
    "chi-square": ("chi-square", of_shares(lambda s: ((s - 0.1) ** 2 / 0.1).sum())),
    "Jensen-Shannon": ("Jensen–Shannon", of_shares(jensen_shannon)),
    "both KLs": (
        "the result is the sum of both KL divergences",
        of_seen(lambda s: ((s - 0.1) * (10 * s).log()).sum()),
    ),
    "exp of the KL": ("exponential of the KL", lambda labels: class_kl(labels).exp()),
    "perplexity": (
        "exponential of the entropy",
        of_shares(lambda s: torch.special.entr(s).sum().exp()),
    ),
    "how many": ("number of classes", lambda labels: torch.tensor(float(len(labels.unique())))),
    "which share": (
        "share of classes",
        lambda labels: (labels.bincount(minlength=10) > 0).float().mean(),
    ),
    "a hundredth inside": (
        "0.01 is added inside",
        of_shares(lambda s: (s * (10 * (s + 0.01)).log()).sum()),
    ),
    "a thousandth inside": (
        "0.001 is added inside",
        of_shares(lambda s: (s * ((s + 1e-3) / 0.1).log()).sum()),
    ),
    "clamped": (
        "the shares are clamped",
        of_shares(lambda s: (s.clamp(min=1e-3) * (10 * s.clamp(min=1e-3)).log()).sum()),
    ),
    "one value a class": (
        "the result has one value per class",
        of_shares(lambda s: torch.xlogy(s, 10 * s)),
    ),
    "one value a class that occurs": (
        "the result has one value per class that occurs",
        of_seen(lambda s: s * (10 * s).log()),
    ),
    "shares": ("the shares are returned", of_shares(lambda s: s)),
    "minus": ("the sign is flipped", lambda labels: -class_kl(labels)),
    "uniform turned": ("the sign is flipped", of_seen(lambda s: (s * (0.1 / s).log()).sum())),
    "no minlength": (
        "the uniform share must be 1/10, whatever the largest label is",
        up_to_the_largest,
    ),
    "math.log of 0": ("with ValueError", stops_at_zero),
    "nine labels": (
        "Is a size hard-coded",
        of_counts(lambda c: torch.xlogy(c / 9, c / 0.9).sum()),
    ),
    "the first nine": ("Is a size hard-coded", lambda labels: class_kl(labels[:9])),
    "a list": ("but got list", lambda labels: [class_kl(labels)]),
    "no return": ("returns None", lambda labels: None),
    "kept axis": ("the shape is wrong", lambda labels: class_kl(labels)[None]),
    "whole numbers": ("dtype, not torch.int64", lambda labels: labels.sum()),
}


# ---------------------------------------------------------------- precision


def radii(points, nth):
    return torch.cdist(points, points).sort(1).values[:, nth]


def precision(real, fake, k):
    """Reference solution."""
    return (torch.cdist(fake, real) <= radii(real, k)).any(1).float().mean()


def distances(a, b):
    return (a[:, None] - b).square().sum(2).sqrt()


def with_differences(real, fake, k):
    own = distances(real, real).topk(k + 1, largest=False).values[:, -1]
    return (distances(fake, real) <= own).any(1).double().mean()


def squared(real, fake, k):
    own = (real[:, None] - real).square().sum(2).sort(1).values[:, k]
    apart = (fake[:, None] - real).square().sum(2)
    return (apart <= own).any(1).sum() / len(fake)


def with_kthvalue(real, fake, k):
    own = torch.cdist(real, real).kthvalue(k + 1, dim=1).values
    return (torch.cdist(fake, real) <= own[None]).any(dim=1).float().mean()


def without_the_diagonal(real, fake, k):
    apart = torch.cdist(real, real).fill_diagonal_(math.inf)
    own = apart.kthvalue(k, dim=1).values
    return (torch.cdist(real, fake) <= own[:, None]).any(0).float().mean()


def point_by_point(real, fake, k):
    own = [(real - point).norm(dim=1).sort().values[k] for point in real]
    inside = 0
    for point in fake:
        if any((point - centre).norm() <= r for centre, r in zip(real, own, strict=True)):
            inside += 1
    return inside / len(fake)


def in_chunks(real, fake, k):
    own = torch.cat([torch.cdist(part, real).sort(1).values[:, k] for part in real.split(16)])
    covered = [(torch.cdist(part, real) <= own).any(1) for part in fake.split(50)]
    return torch.cat(covered).float().mean()


def mapped(real, fake, k):
    def sure(point, points):
        return (points - point).square().sum(1).sqrt()

    own = torch.func.vmap(lambda point: sure(point, real).sort().values[k])(real)
    return torch.func.vmap(lambda point: (sure(point, real) <= own).any())(fake).float().mean()


def by_numpy(real, fake, k):
    real, fake = real.numpy(), fake.numpy()
    own = np.sort(np.linalg.norm(real[:, None] - real, axis=2), axis=1)[:, k]
    return (np.linalg.norm(fake[:, None] - real, axis=2) <= own).any(1).mean()


def by_einsum(real, fake, k):
    def squares(a, b):
        diff = a[:, None].double() - b
        return torch.einsum("ijd,ijd->ij", diff, diff)

    own = squares(real, real).sort(1).values[:, k]
    return (squares(fake, real) <= own).any(1).float().mean()


RIGHT_PRECISION = {
    "reference": precision,
    "differences": with_differences,
    "squared on both sides": squared,
    "kthvalue": with_kthvalue,
    "no diagonal": without_the_diagonal,
    "point by point": point_by_point,
    "in chunks": in_chunks,
    "vmap": mapped,
    "NumPy": by_numpy,
    "einsum": by_einsum,
    "float64": lambda real, fake, k: precision(real.double(), fake.double(), k),
    "a Python float": lambda real, fake, k: precision(real, fake, k).item(),
    "no matrix product": lambda real, fake, k: (
        (torch.cdist(fake, real, compute_mode="donot_use_mm_for_euclid_dist") <= radii(real, k))
        .any(1)
        .float()
        .mean()
    ),
    "smallest difference": lambda real, fake, k: (
        ((torch.cdist(fake, real) - radii(real, k)).amin(1) <= 0).float().mean()
    ),
    "largest margin": lambda real, fake, k: (
        ((radii(real, k) - torch.cdist(fake, real)).max(1).values >= 0).double().mean()
    ),
    "counted": lambda real, fake, k: (
        (torch.cdist(fake, real) <= radii(real, k)).sum(1).clamp(max=1).float().mean()
    ),
    "complement": lambda real, fake, k: (
        1 - (torch.cdist(fake, real) > radii(real, k)).all(1).float().mean()
    ),
    "ratios": lambda real, fake, k: (
        ((torch.cdist(fake, real) / radii(real, k)).amin(1) <= 1).float().mean()
    ),
}


def inside(real, fake, k):
    return torch.cdist(fake, real) <= radii(real, k)  # (M, N)


def of_inside(play):
    return lambda real, fake, k: play(inside(real, fake, k))


def of_radii(play):
    """One number in place of every real point's own radius."""
    return lambda real, fake, k: (
        (torch.cdist(fake, real) <= play(radii(real, k))).any(1).float().mean()
    )


def far_to_near(real, fake, k):
    own = torch.cdist(real, real).sort(1, descending=True).values[:, k]
    return (torch.cdist(fake, real) <= own).any(1).float().mean()


def nearest_only(real, fake, k):
    apart = torch.cdist(fake, real)
    return (apart.amin(1) <= radii(real, k)[apart.argmin(1)]).float().mean()


def to_fake_points(real, fake, k):
    own = torch.cdist(real, fake).sort(1).values[:, k - 1]
    return (torch.cdist(fake, real) <= own).any(1).float().mean()


def along_axes(real, fake, k):
    own = torch.cdist(real, real, p=1).sort(1).values[:, k]
    return (torch.cdist(fake, real, p=1) <= own).any(1).float().mean()


def two_axes(real, fake, k):
    return precision(real[:, :2], fake[:, :2], k)


def sixty_points(real, fake, k):
    own = torch.stack([torch.cdist(real[i : i + 1], real).sort(1).values[0, k] for i in range(60)])
    return (torch.cdist(fake, real) <= own).any(1).float().mean()


def mean_radius(real, fake, which):
    own = torch.cdist(real, real).sort(1).values[:, which].mean(1)
    return (torch.cdist(fake, real) <= own).any(1).float().mean()


def without_zeros(real, fake, k):
    apart = torch.cdist(real, real)
    own = apart.masked_fill(apart == 0, math.inf).kthvalue(k, dim=1).values
    return (torch.cdist(fake, real) <= own).any(1).float().mean()


WRONG_PRECISION = {
    "recall": (
        "the result is the recall, the share of real points within some fake point's radius",
        lambda real, fake, k: precision(fake, real, k),
    ),
    "itself counts": (
        "a point's nearest neighbour is the point itself",
        lambda real, fake, k: precision(real, fake, k - 1),
    ),
    "topk with itself": (
        "a point's nearest neighbour is the point itself",
        lambda real, fake, k: (
            (
                torch.cdist(fake, real)
                <= torch.cdist(real, real).topk(k, largest=False).values[:, -1]
            )
            .any(1)
            .float()
            .mean()
        ),
    ),
    "one too far": (
        "the neighbour is one too far",
        lambda real, fake, k: precision(real, fake, k + 1),
    ),
    "two too far": (
        "the neighbour is two too far",
        lambda real, fake, k: precision(real, fake, k + 2),
    ),
    "fake radii": (
        "the radii belong to the fake points",
        lambda real, fake, k: (
            (torch.cdist(fake, real) <= radii(fake, k)[:, None]).any(1).float().mean()
        ),
    ),
    "all": ("One is enough, so use `any`", of_inside(lambda m: m.all(1).float().mean())),
    "pairs": ("the result counts pairs", of_inside(lambda m: m.float().mean())),
    "density": (
        "the result is the density",
        lambda real, fake, k: inside(real, fake, k).sum(1).float().mean() / k,
    ),
    "how many cover it": (
        "the mean number of real points",
        of_inside(lambda m: m.sum(1).float().mean()),
    ),
    "mean radius": ("a single radius, the mean of all, is used", of_radii(torch.mean)),
    "largest radius": ("a single radius, the largest of all, is used", of_radii(torch.max)),
    "smallest radius": ("a single radius, the smallest of all, is used", of_radii(torch.min)),
    "median radius": ("a single radius, the median of all, is used", of_radii(torch.median)),
    "a number of points": (
        "the result is a number of points",
        of_inside(lambda m: m.any(1).float().sum()),
    ),
    "over the real points": (
        "the result is divided by the number of real points",
        of_inside(lambda m: m.any(1).sum() / m.shape[1]),
    ),
    "percent": ("in percent", of_inside(lambda m: 100 * m.any(1).float().mean())),
    "outside": (
        "points outside are counted, or the distances are sorted from far to near",
        of_inside(lambda m: (~m).any(1).float().mean()),
    ),
    "those outside": (
        "the result is the share of points outside",
        of_inside(lambda m: 1 - m.any(1).float().mean()),
    ),
    "from far to near": ("from far to near", far_to_near),
    "coverage": ("the real points that cover", of_inside(lambda m: m.any(0).float().mean())),
    "how many real points": (
        "the number of real points that cover",
        of_inside(lambda m: m.any(0).float().sum()),
    ),
    "the nearest only": ("only the nearest", nearest_only),
    "radius to fake points": ("the radius is the distance to the k-th fake point", to_fake_points),
    "along the axes": ("along the axes", along_axes),
    "one value a point": ("one value per point", of_inside(lambda m: m.any(1).float())),
    "distances squared": (
        "only the distances from fake to real points are squared",
        lambda real, fake, k: (
            (torch.cdist(fake, real) ** 2 <= radii(real, k)).any(1).float().mean()
        ),
    ),
    "radii squared": (
        "only the radii are squared",
        lambda real, fake, k: (
            (torch.cdist(fake, real) <= radii(real, k) ** 2).any(1).float().mean()
        ),
    ),
    "half the radii": ("the radii are halved", of_radii(lambda r: r / 2)),
    "twice the radii": ("the radii are doubled", of_radii(lambda r: 2 * r)),
    "k of two": ("k is ignored", lambda real, fake, k: precision(real, fake, 2)),
    "k of two for k of one": (
        "k is ignored",
        lambda real, fake, k: precision(real, fake, max(k, 2)),
    ),
    "a little more": ("a value is wrong", lambda real, fake, k: precision(real, fake, k) + 0.013),
    "mean of the k nearest": (
        "the radius is the mean distance to the k nearest points",
        lambda real, fake, k: mean_radius(real, fake, slice(1, k + 1)),
    ),
    "mean of the k smallest": (
        "the radius is the mean of the k smallest distances, with that to itself",
        lambda real, fake, k: mean_radius(real, fake, slice(k)),
    ),
    "mean of the k + 1 smallest": (
        "the radius is the mean of the k + 1 smallest distances",
        lambda real, fake, k: mean_radius(real, fake, slice(k + 1)),
    ),
    "no distances of 0": ("all distances of 0 are left out", without_zeros),
    "strictly less": (
        "for the real points 0, 1, 3, 7",
        lambda real, fake, k: (torch.cdist(fake, real) < radii(real, k)).any(1).float().mean(),
    ),
    "strictly less, and its remedy": (
        "Use ≤ instead of <",
        lambda real, fake, k: (torch.cdist(fake, real) < radii(real, k)).any(1).float().mean(),
    ),
    "strictly less, squared": (
        "Use ≤ instead of <",
        lambda real, fake, k: (
            ((fake[:, None] - real).square().sum(2) < radii(real, k).square())
            .any(1)
            .double()
            .mean()
            .item()
        ),
    ),
    "a bool": ("True or False", of_inside(lambda m: m.any())),
    "bools": ("one value per point", of_inside(lambda m: m.any(1))),
    "the mean of bools": ("with RuntimeError", of_inside(lambda m: m.any(1).mean())),
    "two axes": ("Is a size hard-coded", two_axes),
    "sixty points": ("Is a size hard-coded", sixty_points),
    "divided by the example's number": (
        "Is a size hard-coded",
        of_inside(lambda m: m.any(1).sum() / 201),
    ),
    "k of one or two": (
        "your function is right on the example but wrong for another input size",
        lambda real, fake, k: precision(real, fake, min(k, 2)),
    ),
    "a list": ("but got list", lambda real, fake, k: [precision(real, fake, k)]),
    "a kept axis": ("the shape is wrong", lambda real, fake, k: precision(real, fake, k)[None]),
    "no return": ("returns None", lambda real, fake, k: None),
    "a wrong number of axes": (
        "with IndexError",
        lambda real, fake, k: precision(real, fake, k).sum(1),
    ),
}

RIGHT = {"r1_penalty": RIGHT_R1, "class_kl": RIGHT_KL, "precision": RIGHT_PRECISION}
WRONG = {"r1_penalty": WRONG_R1, "class_kl": WRONG_KL, "precision": WRONG_PRECISION}
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


# torch.func.jvp makes torch itself warn of a function that it still uses
@pytest.mark.filterwarnings("ignore:.*torch.jit.script")
@pytest.mark.parametrize(("name", "answer"), RIGHT_CASES)
def test_right_answers_pass(name, answer):
    for _ in range(3):  # some inputs are drawn anew
        result = getattr(checks, name)(answer)
        assert result.status == "correct", result.message


# torch warns of a cycle that `backward(create_graph=True)` leaves in memory
@pytest.mark.filterwarnings("ignore:Using backward")
@pytest.mark.parametrize(("name", "words", "answer"), WRONG_CASES)
def test_wrong_answers_are_named(name, words, answer):
    result = getattr(checks, name)(answer)
    assert result.status == "mistake"
    assert words in result.message


def test_a_message_contains_the_input():
    """A student can redo the case by hand."""
    found = checks.r1_penalty(lambda logit, x: 2 * r1_penalty(logit, x))
    words = (
        "For the logit ½ Σ w·x² + 0.7 with w = (1.1, -0.6, 2.3), image 1 = (0.4, 1.2, 0.9), "
        "image 2 ="
    )
    assert words in found.message
    found = checks.class_kl(lambda labels: -class_kl(labels))
    assert "For labels = (0, 3, 3, 9, 1, 3, 4, 0, 7): yours is" in found.message
    found = checks.precision(lambda real, fake, k: precision(real, fake, k + 1))
    words = (
        "For the real points 0, 1, 3, 7 and the fake points −2, −1, 6, 12 on a line, with k = 1,"
    )
    assert f"{words} your result is 1 but should be 0.5." in found.message


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
def test_an_untouched_exercise_is_not_started(name):
    def stub(*given):
        raise NotImplementedError

    assert getattr(checks, name)(stub).status == "not started"
