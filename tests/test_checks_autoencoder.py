"""Checks of "From auto-encoder to VAE": right answers of any style pass, wrong ones are named."""

import math
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_checks_bound import RIGHT_KL, WRONG_KL, kl_of_a_draw
from torch.distributions import (
    Independent,
    Laplace,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
    TransformedDistribution,
    kl_divergence,
)
from torch.distributions.transforms import AffineTransform

from course_lib import checks
from course_lib.probability.gaussians import kl_diag


def reparameterize(mu, logvar):
    """Reference solution."""
    std = (0.5 * logvar).exp()  # (N, d)
    return mu + std * torch.randn_like(std)


def kl(mu, logvar):
    """Reference solution."""
    return 0.5 * (logvar.exp() + mu**2 - 1 - logvar).sum(dim=1)


def vae_loss(x, x_hat, mu, logvar, variance):
    """Reference solution."""
    error = ((x - x_hat) ** 2).sum(dim=1) / (2 * variance)  # (N,)
    return (error + kl(mu, logvar)).mean()


def noise(mu, *shape):
    return torch.randn(*(shape or mu.shape))


def row_by_row(mu, logvar):
    return torch.stack(
        [m + (lv / 2).exp() * torch.randn(len(m)) for m, lv in zip(mu, logvar, strict=True)]
    )


def column_by_column(mu, logvar):
    columns = [
        mu[:, j] + (logvar[:, j] / 2).exp() * torch.randn(len(mu)) for j in range(mu.shape[1])
    ]
    return torch.stack(columns, dim=1)


def cholesky(mu, logvar):
    scale = torch.diag_embed((logvar / 2).exp())  # (N, d, d)
    return mu + (scale @ torch.randn(*mu.shape, 1)).squeeze(-1)


def affine(mu, logvar):
    base = Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1)
    return TransformedDistribution(
        base, AffineTransform(mu, (logvar / 2).exp(), event_dim=1)
    ).rsample()


def with_numpy_noise(mu, logvar):
    e = np.random.randn(*mu.shape)  # noqa: NPY002
    return mu + (logvar / 2).exp() * torch.from_numpy(e).float()


def with_python_noise(mu, logvar):
    e = torch.tensor([random.gauss(0, 1) for _ in range(mu.numel())]).reshape(mu.shape)
    return mu + (logvar / 2).exp() * e


def box_muller(mu, logvar):
    u, v = torch.rand(2, *mu.shape)
    return mu + (logvar / 2).exp() * (-2 * (1 - u).log()).sqrt() * (2 * math.pi * v).cos()


def in_place_on_own(mu, logvar):
    z = torch.randn_like(mu)
    z *= torch.exp(logvar / 2)
    z += mu
    return z


RIGHT_REPARAMETERIZE = {
    "reference": reparameterize,
    "Normal.rsample": lambda mu, logvar: Normal(mu, logvar.exp().sqrt()).rsample(),
    "Independent.rsample": lambda mu, logvar: Independent(
        Normal(mu, (logvar / 2).exp()), 1
    ).rsample(),
    "MultivariateNormal.rsample": lambda mu, logvar: MultivariateNormal(
        mu, scale_tril=torch.diag_embed((logvar / 2).exp())
    ).rsample(),
    "transformed distribution": affine,
    "addcmul": lambda mu, logvar: torch.addcmul(mu, (logvar / 2).exp(), noise(mu)),
    "float64": lambda mu, logvar: reparameterize(mu.double(), logvar.double()),
    "root of the variance": lambda mu, logvar: logvar.exp().sqrt() * noise(mu) + mu,
    "variance to the power ½": lambda mu, logvar: mu + logvar.exp() ** 0.5 * noise(mu),
    "lerp": lambda mu, logvar: torch.lerp(mu, mu + noise(mu), (logvar / 2).exp()),
    "row by row": row_by_row,
    "column by column": column_by_column,
    "vmap": torch.vmap(
        lambda m, lv: m + (lv / 2).exp() * torch.randn_like(m), randomness="different"
    ),
    "chunks": lambda mu, logvar: torch.cat(
        [reparameterize(m, lv) for m, lv in zip(mu.split(1000), logvar.split(1000), strict=True)]
    ),
    "matrix of std": cholesky,
    "einsum": lambda mu, logvar: mu + torch.einsum("nd,nd->nd", (logvar / 2).exp(), noise(mu)),
    "noise subtracted": lambda mu, logvar: mu - (logvar / 2).exp() * noise(mu),
    "NumPy's noise": with_numpy_noise,
    "Python's noise": with_python_noise,
    "Box and Muller": box_muller,
    "in place on its own tensor": in_place_on_own,
    "base 2": lambda mu, logvar: mu + torch.exp2(logvar / (2 * math.log(2))) * noise(mu),
}


def seeded(mu, logvar):
    torch.manual_seed(0)
    return reparameterize(mu, logvar)


def fixed_generator(mu, logvar):
    return mu + (logvar / 2).exp() * torch.randn(
        mu.shape, generator=torch.Generator().manual_seed(1)
    )


def without_gradient(mu, logvar):
    with torch.no_grad():
        return reparameterize(mu, logvar)


def half_repeated(mu, logvar):
    half = torch.randn(len(mu) // 2, mu.shape[1])
    return mu + (logvar / 2).exp() * torch.cat([half, half, torch.randn(len(mu) % 2, mu.shape[1])])


def three_columns(mu, logvar):
    return torch.stack(
        [mu[:, j] + (logvar[:, j] / 2).exp() * torch.randn(len(mu)) for j in range(3)], 1
    )


def backward_inside(mu, logvar):
    z = reparameterize(mu, logvar)
    if z.requires_grad:
        z.sum().backward(retain_graph=True)
    return z


def overwritten(mu, logvar):
    std = (logvar / 2).exp()
    return std.mul_(noise(mu)).add_(mu)


WRONG_REPARAMETERIZE = [
    ("mu", lambda mu, lv: mu, "no noise is added"),
    ("noise times 0", lambda mu, lv: mu + 0 * reparameterize(mu, lv), "ordinary auto-encoder"),
    ("seeded", seeded, "a second call repeats"),
    ("own generator", fixed_generator, "a second call repeats"),
    ("variance", lambda mu, lv: mu + lv.exp() * noise(mu), "the variance is used as the std"),
    (
        "Normal of the variance",
        lambda mu, lv: Normal(mu, lv.exp()).rsample(),
        "the variance is used as the std",
    ),
    ("logvar", lambda mu, lv: mu + lv * noise(mu), "the noise is multiplied by logvar itself"),
    ("half of logvar", lambda mu, lv: mu + lv / 2 * noise(mu), "half of logvar"),
    ("scale 1", lambda mu, lv: mu + noise(mu), "noise keeps scale 1"),
    ("logvar doubled", lambda mu, lv: mu + (2 * lv).exp() * noise(mu), "logvar is doubled"),
    ("root twice", lambda mu, lv: mu + (lv / 2).exp().sqrt() * noise(mu), "root is taken twice"),
    (
        "sign of logvar",
        lambda mu, lv: mu + (-lv / 2).exp() * noise(mu),
        "the sign of logvar is flipped",
    ),
    (
        "divided by std",
        lambda mu, lv: mu + noise(mu) / (lv / 2).exp(),
        "the sign of logvar is flipped",
    ),
    (
        "exp2",
        lambda mu, lv: mu + (lv / 2).exp2() * noise(mu),
        "2 is raised to the power of logvar / 2",
    ),
    (
        "exp10",
        lambda mu, lv: mu + 10 ** (lv / 2) * noise(mu),
        "10 is raised to the power of logvar / 2",
    ),
    ("std + 1", lambda mu, lv: mu + ((lv / 2).exp() + 1) * noise(mu), "1 is added to the std"),
    ("no mu", lambda mu, lv: (lv / 2).exp() * noise(mu), "mu is missing"),
    ("− mu", lambda mu, lv: (lv / 2).exp() * noise(mu) - mu, "mu is subtracted"),
    (
        "mu times noise",
        lambda mu, lv: (mu + (lv / 2).exp()) * noise(mu),
        "mu is multiplied by the noise as well",
    ),
    (
        "mu times scaled noise",
        lambda mu, lv: mu * (lv / 2).exp() * noise(mu),
        "mu is multiplied by the scaled noise",
    ),
    (
        "std added",
        lambda mu, lv: mu + (lv / 2).exp() + noise(mu),
        "the noise is not multiplied by the std",
    ),
    ("swapped", lambda mu, lv: reparameterize(lv, mu), "mu and logvar are swapped"),
    (
        "noise (d,)",
        lambda mu, lv: mu + (lv / 2).exp() * noise(mu, mu.shape[1]),
        "all rows get the same noise",
    ),
    (
        "noise (1,)",
        lambda mu, lv: mu + (lv / 2).exp() * noise(mu, 1),
        "all rows get the same noise",
    ),
    (
        "noise (N, 1)",
        lambda mu, lv: mu + (lv / 2).exp() * noise(mu, len(mu), 1),
        "all dimensions of a row share one noise value",
    ),
    ("noise repeated", half_repeated, "rows share their noise"),
    ("rand", lambda mu, lv: mu + (lv / 2).exp() * torch.rand_like(mu), "is not Gaussian"),
    (
        "rand ± 1",
        lambda mu, lv: mu + (lv / 2).exp() * (2 * torch.rand_like(mu) - 1),
        "is not Gaussian",
    ),
    (
        "rand of variance 1",
        lambda mu, lv: mu + (lv / 2).exp() * 12**0.5 * (torch.rand_like(mu) - 0.5),
        "is not Gaussian",
    ),
    (
        "Laplace",
        lambda mu, lv: mu + (lv / 2).exp() * Laplace(torch.zeros_like(mu), 0.5**0.5).sample(),
        "is not Gaussian",
    ),
    (
        "clamped noise",
        lambda mu, lv: mu + (lv / 2).exp() * noise(mu).clamp(-3, 3),
        "the noise is cut off",
    ),
    ("noise of spread 1.2", lambda mu, lv: mu + 1.2 * (lv / 2).exp() * noise(mu), "a wrong spread"),
    ("0.1 added", lambda mu, lv: reparameterize(mu, lv) + 0.1, "a wrong mean"),
    (
        "root of logvar",
        lambda mu, lv: mu + lv.sqrt() * noise(mu),
        "your z contains NaN. Where logvar is negative, it has no root",
    ),
    (
        "torch.normal",
        lambda mu, lv: torch.normal(mu, (lv / 2).exp()),
        "gradient with respect to mu is cut",
    ),
    (
        "sample",
        lambda mu, lv: Normal(mu, (lv / 2).exp()).sample(),
        "gradient with respect to mu is cut",
    ),
    ("no_grad", without_gradient, "gradient with respect to mu is cut"),
    (
        "mu detached",
        lambda mu, lv: mu.detach() + (lv / 2).exp() * noise(mu),
        "gradient with respect to mu is cut",
    ),
    (
        "std detached",
        lambda mu, lv: mu + (lv / 2).exp().detach() * noise(mu),
        "gradient with respect to logvar is cut",
    ),
    (
        "logvar.data",
        lambda mu, lv: mu + (lv.data / 2).exp() * noise(mu),
        "gradient with respect to logvar is cut",
    ),
    (
        "half detached",
        lambda mu, lv: mu + (lv + lv.detach()).div(4).exp() * noise(mu),
        "the gradient of z with respect to logvar: a value is wrong",
    ),
    ("backward inside", backward_inside, "`backward()` is called inside"),
    ("overwritten", overwritten, "An in-place operation"),
    ("std + 1e-6", lambda mu, lv: mu + ((lv / 2).exp() + 1e-6) * noise(mu), "a small number added"),
    (
        "variance + 1e-8",
        lambda mu, lv: mu + (lv.exp() + 1e-8).sqrt() * noise(mu),
        "a small number added",
    ),
    ("logvar clamped", lambda mu, lv: reparameterize(mu, lv.clamp(-20, 20)), "logvar clamped"),
    (
        "logvar clamped above",
        lambda mu, lv: reparameterize(mu, lv.clamp(max=20)),
        "Is logvar or the std clamped",
    ),
    (
        "first row's mu",
        lambda mu, lv: mu[:1] + (lv / 2).exp() * noise(mu),
        "each row has its own mu",
    ),
    (
        "mean logvar",
        lambda mu, lv: mu + (lv.mean(0) / 2).exp() * noise(mu),
        "each row has its own mu",
    ),
    ("three columns", three_columns, "Is a size hard-coded?"),
    (
        "randn(n, 3)",
        lambda mu, lv: mu + (lv / 2).exp() * torch.randn(len(mu), 3),
        "Is a size hard-coded?",
    ),
    (
        "randn(6000, d)",
        lambda mu, lv: mu + (lv / 2).exp() * torch.randn(6000, mu.shape[1]),
        "Is a size hard-coded?",
    ),
    ("squeezed", lambda mu, lv: reparameterize(mu, lv).squeeze(), "Is a size hard-coded?"),
    ("first row", lambda mu, lv: reparameterize(mu, lv)[0], "must have shape (6000, 3), not (3,)"),
    ("turned", lambda mu, lv: reparameterize(mu, lv).T, "not (3, 6000)"),
    ("summed", lambda mu, lv: reparameterize(mu, lv).sum(1), "not (6000,)"),
    ("tuple", lambda mu, lv: (reparameterize(mu, lv), mu), "but got tuple"),
]


def square(x, x_hat):
    return ((x - x_hat) ** 2).sum(1).mean()


def mean_kl(mu, logvar):
    return 0.5 * (logvar.exp() + mu**2 - 1 - logvar).mean()


def with_torch_distributions(mu, logvar):
    q = Independent(Normal(mu, (logvar / 2).exp()), 1)
    return kl_divergence(q, Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1))


def loss_with_torch_distributions(x, x_hat, mu, logvar, variance):
    log_p = Normal(x_hat, variance.sqrt()).log_prob(x).sum(1)
    constant = x.shape[1] / 2 * torch.log(2 * torch.pi * variance)
    return (with_torch_distributions(mu, logvar) - log_p - constant).mean()


def loss_loop(x, x_hat, mu, logvar, variance):
    total = 0
    for i in range(len(x)):
        for j in range(x.shape[1]):
            total = total + (x[i, j] - x_hat[i, j]) ** 2 / (2 * variance)
        for j in range(mu.shape[1]):
            total = total + (logvar[i, j].exp() + mu[i, j] ** 2 - 1 - logvar[i, j]) / 2
    return total / len(x)


def loss_chunks(x, x_hat, mu, logvar, variance):
    total = torch.zeros(())
    for i in range(0, len(x), 2):
        rows = slice(i, i + 2)
        total += vae_loss(x[rows], x_hat[rows], mu[rows], logvar[rows], variance) * len(x[rows])
    return total / len(x)


def loss_low_rank(x, x_hat, mu, logvar, variance):
    p = LowRankMultivariateNormal(x_hat, torch.zeros(x.shape[1], 1), variance.expand(x.shape[1]))
    at_best = LowRankMultivariateNormal(x, torch.zeros(x.shape[1], 1), variance.expand(x.shape[1]))
    return (at_best.log_prob(x) - p.log_prob(x) + kl(mu, logvar)).mean()


RIGHT_LOSS = {
    "reference": vae_loss,
    "torch.distributions": loss_with_torch_distributions,
    "mse_loss": lambda x, x_hat, mu, logvar, v: (
        F.mse_loss(x_hat, x, reduction="sum") / (2 * v * len(x)) + kl_diag(mu, logvar).mean()
    ),
    "mse_loss, mean": lambda x, x_hat, mu, logvar, v: (
        F.mse_loss(x_hat, x) * x.shape[1] / (2 * v) + kl(mu, logvar).mean()
    ),
    "gaussian_nll_loss": lambda x, x_hat, mu, logvar, v: (
        F.gaussian_nll_loss(x_hat, x, v.expand_as(x), reduction="sum", eps=1e-30) / len(x)
        - x.shape[1] / 2 * v.log()
        + kl(mu, logvar).mean()
    ),
    "float64": lambda *given: vae_loss(*(value.double() for value in given)),
    "loops": loss_loop,
    "chunks": loss_chunks,
    "vmap": lambda x, x_hat, mu, logvar, v: torch.vmap(
        lambda a, b, m, lv: ((a - b) ** 2).sum() / (2 * v) + 0.5 * (lv.exp() + m**2 - 1 - lv).sum()
    )(x, x_hat, mu, logvar).mean(),
    "norms": lambda x, x_hat, mu, logvar, v: (
        torch.linalg.vector_norm(x - x_hat, dim=1).square() / v / 2 + kl(mu, logvar)
    ).mean(),
    "einsum": lambda x, x_hat, mu, logvar, v: (
        (torch.einsum("nd,nd->", x - x_hat, x - x_hat) / (2 * v) + kl(mu, logvar).sum()) / len(x)
    ),
    "cdist": lambda x, x_hat, mu, logvar, v: (
        (x - x_hat).pow(2).sum() / len(x) * 0.5 / v + kl(mu, logvar).mean()
    ),
    "variance as a float": lambda x, x_hat, mu, logvar, v: vae_loss(x, x_hat, mu, logvar, float(v)),
    "std and squares": lambda x, x_hat, mu, logvar, v: (
        (((x - x_hat) / v.sqrt()) ** 2).sum(1) / 2 + with_torch_distributions(mu, logvar)
    ).mean(),
    "difference of log-densities": loss_low_rank,
    "image by image": lambda x, x_hat, mu, logvar, v: torch.stack(
        [vae_loss(*(part[i : i + 1] for part in (x, x_hat, mu, logvar)), v) for i in range(len(x))]
    ).mean(),
    "nn.MSELoss": lambda x, x_hat, mu, logvar, v: (
        torch.nn.MSELoss(reduction="none")(x_hat, x).sum(-1) / (2 * v) + kl(mu, logvar)
    ).mean(0),
}


def loss_no_grad(*given):
    with torch.no_grad():
        return vae_loss(*given)


def loss_backward(*given):
    loss = vae_loss(*given)
    if loss.requires_grad:
        loss.backward(retain_graph=True)
    return loss


def loss_with_requires_grad(*given):
    return vae_loss(*(value.detach().clone().requires_grad_() for value in given))


WRONG_LOSS = [
    (
        "cross-entropy",
        lambda x, h, m, lv, v: (
            F.binary_cross_entropy(h, x, reduction="none").sum(1) + kl(m, lv)
        ).mean(),
        "the reconstruction is a binary cross-entropy",
    ),
    (
        "mse_loss over 2v",
        lambda x, h, m, lv, v: F.mse_loss(h, x) / (2 * v) + kl(m, lv).mean(),
        "squared error is averaged over pixels",
    ),
    (
        "mse_loss",
        lambda x, h, m, lv, v: F.mse_loss(h, x) + kl(m, lv).mean(),
        "averaged over pixels (`mse_loss`)",
    ),
    (
        "both means",
        lambda x, h, m, lv, v: F.mse_loss(h, x) / (2 * v) + mean_kl(m, lv),
        "both parts are averaged",
    ),
    (
        "mean KL",
        lambda x, h, m, lv, v: square(x, h) / (2 * v) + mean_kl(m, lv),
        "KL is averaged over dimensions",
    ),
    ("no ½", lambda x, h, m, lv, v: square(x, h) / v + kl(m, lv).mean(), "½ of the squared error"),
    (
        "no ½ in the KL",
        lambda x, h, m, lv, v: square(x, h) / (2 * v) + 2 * kl(m, lv).mean(),
        "½ of the KL",
    ),
    (
        "no ½ at all",
        lambda x, h, m, lv, v: square(x, h) / v + 2 * kl(m, lv).mean(),
        "missing in both parts",
    ),
    (
        "KL halved",
        lambda x, h, m, lv, v: square(x, h) / (2 * v) + kl(m, lv).mean() / 2,
        "halved twice",
    ),
    (
        "variance squared",
        lambda x, h, m, lv, v: vae_loss(x, h, m, lv, v**2),
        "the variance is treated as a std and squared",
    ),
    (
        "root of the variance",
        lambda x, h, m, lv, v: vae_loss(x, h, m, lv, v.sqrt()),
        "root of the variance",
    ),
    (
        "times variance, no 2",
        lambda x, h, m, lv, v: vae_loss(x, h, m, lv, 1 / v),
        "multiplied by the variance",
    ),
    ("no variance", lambda x, h, m, lv, v: vae_loss(x, h, m, lv, 1), "variance is ignored"),
    ("not divided", lambda x, h, m, lv, v: square(x, h) + kl(m, lv).mean(), "is not divided by"),
    (
        "KL over 2v too",
        lambda x, h, m, lv, v: (square(x, h) + kl(m, lv).mean()) / (2 * v),
        "the KL is divided by",
    ),
    (
        "not squared",
        lambda x, h, m, lv, v: ((x - h).sum(1) / (2 * v) + kl(m, lv)).mean(),
        "is not squared",
    ),
    (
        "absolute",
        lambda x, h, m, lv, v: ((x - h).abs().sum(1) / (2 * v) + kl(m, lv)).mean(),
        "the errors are absolute",
    ),
    (
        "norm",
        lambda x, h, m, lv, v: ((x - h).norm(dim=1) / (2 * v) + kl(m, lv)).mean(),
        "root of the squared error",
    ),
    ("− KL", lambda x, h, m, lv, v: square(x, h) / (2 * v) - kl(m, lv).mean(), "KL is subtracted"),
    (
        "− error",
        lambda x, h, m, lv, v: kl(m, lv).mean() - square(x, h) / (2 * v),
        "squared error is subtracted",
    ),
    ("no KL", lambda x, h, m, lv, v: square(x, h) / (2 * v), "KL is missing"),
    ("only KL", lambda x, h, m, lv, v: kl(m, lv).mean(), "squared error is missing"),
    ("sign", lambda *given: -vae_loss(*given), "sign is flipped"),
    ("sum over images", lambda x, *given: len(x) * vae_loss(x, *given), "summed over images"),
    (
        "mean twice",
        lambda x, *given: vae_loss(x, *given) / len(x),
        "the loss is averaged over images twice",
    ),
    (
        "one an image",
        lambda x, h, m, lv, v: ((x - h) ** 2).sum(1) / (2 * v) + kl(m, lv),
        "average over images is missing",
    ),
    (
        "KL one an image",
        lambda x, h, m, lv, v: square(x, h) / (2 * v) + kl(m, lv),
        "the squared error is one number",
    ),
    (
        "constant",
        lambda x, h, m, lv, v: (kl(m, lv) - Normal(h, v.sqrt()).log_prob(x).sum(1)).mean(),
        "constant D/2 · log(2π variance)",
    ),
    (
        "gaussian_nll_loss",
        lambda x, h, m, lv, v: (
            F.gaussian_nll_loss(h, x, v.expand_as(x), reduction="sum") / len(x) + kl(m, lv).mean()
        ),
        "constant D/2 · log(variance)",
    ),
    (
        "log-std",
        lambda x, h, m, lv, v: vae_loss(x, h, m, 2 * lv, v),
        "logvar is treated as the logarithm of the std",
    ),
    (
        "sum of KLs",
        lambda x, h, m, lv, v: square(x, h) / (2 * v) + kl(m, lv).sum(),
        "KL is summed over images",
    ),
    (
        "sum of errors",
        lambda x, h, m, lv, v: F.mse_loss(h, x, reduction="sum") / (2 * v) + kl(m, lv).mean(),
        "squared error is summed over images",
    ),
    (
        "no −logvar",
        lambda x, h, m, lv, v: vae_loss(x, h, m, lv, v) + lv.sum(1).mean() / 2,
        "the term −logvar of the KL is missing",
    ),
    (
        "no −1",
        lambda x, h, m, lv, v: vae_loss(x, h, m, lv, v) + m.shape[1] / 2,
        "the term −1 of the KL is missing",
    ),
    (
        "no mu²",
        lambda x, h, m, lv, v: vae_loss(x, h, 0 * m, lv, v),
        "the term mu² of the KL is missing",
    ),
    ("swapped", lambda x, h, m, lv, v: vae_loss(x, h, lv, m, v), "mu and logvar are swapped"),
    ("bits", lambda *given: vae_loss(*given) / math.log(2), "the loss is in bits"),
    (
        "KL in bits",
        lambda x, h, m, lv, v: square(x, h) / (2 * v) + kl(m, lv).mean() / math.log(2),
        "the KL is in bits",
    ),
    ("base 10", lambda *given: vae_loss(*given) / math.log(10), "base 10"),
    (
        "third of logvar",
        lambda x, h, m, lv, v: vae_loss(x, h, m, lv / 3, v),
        (
            "the squared error is right, but the KL is wrong. If your loss calls the function of "
            "exercise 2"
        ),
    ),
    (
        "KL not 0 at the prior",
        lambda x, h, m, lv, v: vae_loss(x, h, m, lv, v) + 7,
        "the squared error is right, but the KL is wrong",
    ),
    (
        "third of the error",
        lambda x, h, m, lv, v: square(x, h) / (3 * v) + kl(m, lv).mean(),
        "the KL is right, but the squared error is wrong",
    ),
    (
        "both wrong",
        lambda x, h, m, lv, v: vae_loss(x, h, m, lv / 3, v) + square(x, h),
        "your result: a value is wrong",
    ),
    (
        "std in the KL",
        lambda x, h, m, lv, v: (
            square(x, h) / (2 * v) + 0.5 * ((lv / 2).exp() + m**2 - 1 - lv / 2).sum(1).mean()
        ),
        "in the KL the std is used where the variance belongs",
    ),
    (
        "mu in the KL",
        lambda x, h, m, lv, v: square(x, h) / (2 * v) + 0.5 * (lv.exp() + m - 1 - lv).sum(1).mean(),
        "in the KL mu is not squared",
    ),
    (
        "KL from a draw",
        lambda x, h, m, lv, v: square(x, h) / (2 * v) + kl_of_a_draw(m, lv).mean(),
        "the result depends on random draws",
    ),
    (
        "the chapter's variance",
        lambda x, h, m, lv, v: vae_loss(x, h, m, lv, 0.25),
        "the variance is fixed at 0.25",
    ),
    ("item", lambda *given: vae_loss(*given).item(), "not float, because"),
    (
        "two losses",
        lambda x, h, m, lv, v: (square(x, h) / (2 * v), kl(m, lv).mean()),
        "but got tuple",
    ),
    ("detached", lambda *given: vae_loss(*given).detach(), "gradient with respect to x_hat is cut"),
    ("no_grad", loss_no_grad, "gradient with respect to x_hat is cut"),
    ("new leaves", loss_with_requires_grad, "gradient with respect to x_hat is cut"),
    (
        "x_hat detached",
        lambda x, h, m, lv, v: vae_loss(x, h.detach(), m, lv, v),
        "gradient with respect to x_hat is cut",
    ),
    (
        "mu detached",
        lambda x, h, m, lv, v: vae_loss(x, h, m.detach(), lv, v),
        "gradient with respect to mu is cut",
    ),
    (
        "logvar detached",
        lambda x, h, m, lv, v: vae_loss(x, h, m, lv.detach(), v),
        "gradient with respect to logvar is cut",
    ),
    (
        "KL detached",
        lambda x, h, m, lv, v: square(x, h) / (2 * v) + kl(m, lv).mean().detach(),
        "gradient with respect to mu is cut",
    ),
    (
        "KL as item",
        lambda x, h, m, lv, v: square(x, h) / (2 * v) + kl(m, lv).mean().item(),
        "gradient with respect to mu is cut",
    ),
    ("backward inside", loss_backward, "`backward()` is called inside"),
    (
        "logvar clamped",
        lambda x, h, m, lv, v: vae_loss(x, h, m, lv.clamp(-10, 10), v),
        "the variance clamped",
    ),
    (
        "log + 1e-8",
        lambda x, h, m, lv, v: (
            ((x - h) ** 2).sum(1) / (2 * v)
            + 0.5 * (lv.exp() + m**2 - 1 - (lv.exp() + 1e-8).log()).sum(1)
        ).mean(),
        "a small number added",
    ),
    (
        "variance + 1e-8",
        lambda x, h, m, lv, v: vae_loss(x, h, m, lv, v + 1e-8),
        "a value is wrong for variance = 10⁻¹⁰",
    ),
    (
        "variance clamped",
        lambda x, h, m, lv, v: vae_loss(x, h, m, lv, v.clamp(min=1e-4)),
        "is it clamped",
    ),
    (
        "D = 4",
        lambda x, h, m, lv, v: F.mse_loss(h, x) * 4 / (2 * v) + kl(m, lv).mean(),
        "Is a size hard-coded?",
    ),
    (
        "three images",
        lambda x, h, m, lv, v: (((x - h) ** 2).sum() / (2 * v) + kl(m, lv).sum()) / 3,
        "Is a size hard-coded?",
    ),
    ("variance 0.4", lambda x, h, m, lv, v: vae_loss(x, h, m, lv, 0.4), "wrong for other numbers"),
    ("in place", lambda x, h, m, lv, v: vae_loss(x.sub_(h), 0 * h, m, lv, v), "in place"),
]

RIGHT = [
    (checks.reparameterize, RIGHT_REPARAMETERIZE),
    (checks.kl, RIGHT_KL),
    (checks.vae_loss, RIGHT_LOSS),
]
WRONG = [
    (checks.reparameterize, WRONG_REPARAMETERIZE),
    (checks.kl, WRONG_KL),
    (checks.vae_loss, WRONG_LOSS),
]


@pytest.mark.parametrize(
    ("check", "answer"),
    [
        pytest.param(check, answer, id=f"{check.__name__}: {name}")
        for check, table in RIGHT
        for name, answer in table.items()
    ],
)
def test_right_answers_pass(check, answer):
    assert check(answer).message == check.__doc__


@pytest.mark.parametrize(
    ("check", "answer", "fragment"),
    [
        pytest.param(check, answer, fragment, id=f"{check.__name__}: {name}")
        for check, table in WRONG
        for name, answer, fragment in table
    ],
)
def test_wrong_answers_are_named(check, answer, fragment):
    result = check(answer)
    assert result.status == "mistake"
    assert fragment in result.message


def test_right_noise_is_never_refused():
    """Five standard errors: of 200 right samplers with other noise each, none is refused."""
    draw = torch.Generator().manual_seed(0)

    def other_noise(mu, logvar):
        return mu + (logvar / 2).exp() * torch.randn(mu.shape, generator=draw)

    assert {checks.reparameterize(other_noise).status for _ in range(200)} == {"correct"}


def shifted_by_a_tenth(mu, logvar):
    return reparameterize(mu, logvar) + 0.1


def test_the_same_answer_gets_the_same_line_each_time():
    torch.manual_seed(1)
    first = checks.reparameterize(shifted_by_a_tenth).message
    torch.manual_seed(2)
    assert checks.reparameterize(shifted_by_a_tenth).message == first


def test_the_notebooks_random_numbers_stay_as_they_were():
    # no check's own seed: one that an earlier check had left behind would hide the same fault here
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    of_torch, of_python = torch.random.get_rng_state(), random.getstate()
    of_numpy = np.random.get_state()  # noqa: NPY002
    checks.reparameterize(reparameterize)
    checks.reparameterize(with_numpy_noise)
    checks.reparameterize(with_python_noise)
    assert torch.equal(torch.random.get_rng_state(), of_torch)
    assert np.array_equal(np.random.get_state()[1], of_numpy[1])  # noqa: NPY002
    assert random.getstate() == of_python


def test_a_notebook_that_has_switched_gradients_off_is_no_mistake():
    torch.set_grad_enabled(False)
    try:
        assert checks.vae_loss(vae_loss).status == "correct"
        assert not torch.is_grad_enabled()
    finally:
        torch.set_grad_enabled(True)
