"""Checks of "The evidence lower bound": right answers of any style pass, wrong ones are named."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

from course_lib import checks
from course_lib.probability.elbo import LatentModel, elbo
from course_lib.probability.elbo import (
    importance_weighted_bound as package_importance_weighted_bound,
)
from course_lib.probability.gaussians import kl_diag


def kl_to_standard_normal(mu, logvar):
    """Reference solution."""
    return 0.5 * (logvar.exp() + mu**2 - 1 - logvar).sum(dim=1)


def lower_bound(log_joint, q):
    """Reference solution."""
    return (q * log_joint - torch.xlogy(q, q)).sum(dim=1)


def importance_weighted_bound(log_w):
    """Reference solution."""
    return torch.logsumexp(log_w, dim=0) - math.log(log_w.shape[0])


def half(total):
    return 0.5 * total.sum(1)


def with_torch_distributions(mu, logvar):
    q = Independent(Normal(mu, (logvar / 2).exp()), 1)
    return kl_divergence(q, Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1))


def with_multivariate_normal(mu, logvar):
    eye = torch.eye(mu.shape[1])
    q = MultivariateNormal(mu, scale_tril=torch.diag_embed((logvar / 2).exp()))
    return kl_divergence(q, MultivariateNormal(torch.zeros(mu.shape[1]), eye))


def kl_loop(mu, logvar):
    rows = []
    for m, lv in zip(mu, logvar, strict=True):
        total = torch.zeros(())
        for one_m, one_lv in zip(m, lv, strict=True):
            total = total + 0.5 * (torch.exp(one_lv) + one_m * one_m - 1 - one_lv)
        rows.append(total)
    return torch.stack(rows)


def kl_in_parts(mu, logvar):
    sigma = torch.exp(logvar / 2)
    return -0.5 * torch.sum(1 + 2 * torch.log(sigma) - mu.pow(2) - sigma.pow(2), dim=-1)


def kl_filled(mu, logvar):
    out = torch.zeros(len(mu))
    for j in range(mu.shape[1]):
        out += 0.5 * (logvar[:, j].exp() + mu[:, j] ** 2 - 1.0 - logvar[:, j])
    return out


def kl_einsum(mu, logvar):
    square = torch.einsum("nd,nd->n", mu, mu)
    return (square + torch.einsum("nd->n", logvar.exp() - logvar) - mu.shape[1]) / 2


def kl_of_expectations(mu, logvar):
    """E_q[log q] − E_q[log p], both in closed form."""
    d = mu.shape[1]
    entropy = 0.5 * (logvar + math.log(2 * math.pi) + 1).sum(1)
    cross = -0.5 * (mu**2 + logvar.exp()).sum(1) - d / 2 * math.log(2 * math.pi)
    return -entropy - cross


RIGHT_KL = {
    "reference": kl_to_standard_normal,
    "torch.distributions": with_torch_distributions,
    "MultivariateNormal": with_multivariate_normal,
    "the package's": kl_diag,
    "float64": lambda mu, logvar: kl_to_standard_normal(mu.double(), logvar.double()),
    "loops": kl_loop,
    "sigma and −½": kl_in_parts,
    "filled": kl_filled,
    "einsum": kl_einsum,
    "entropy and cross-entropy": kl_of_expectations,
    "expm1": lambda mu, logvar: half(torch.expm1(logvar) - logvar + mu.square()),
    "vmap": torch.vmap(lambda m, lv: 0.5 * (lv.exp() + m**2 - 1 - lv).sum()),
    "vmap twice": lambda mu, logvar: torch.vmap(
        torch.vmap(lambda m, lv: 0.5 * (lv.exp() + m**2 - 1 - lv))
    )(mu, logvar).sum(1),
    "chunks": lambda mu, logvar: torch.cat(
        [kl_to_standard_normal(m, lv) for m, lv in zip(mu.split(2), logvar.split(2), strict=True)]
    ),
    "norms": lambda mu, logvar: (
        mu.norm(dim=1) ** 2 / 2 + logvar.exp().sum(1) / 2 - logvar.sum(1) / 2 - mu.size(1) / 2
    ),
    "matrix product": lambda mu, logvar: (
        ((logvar.exp() + mu**2 - 1 - logvar) @ torch.ones(mu.shape[1])) / 2
    ),
    "Normal by Normal": lambda mu, logvar: kl_divergence(
        Normal(mu, logvar.exp().sqrt()), Normal(0.0, 1.0)
    ).sum(-1),
    "mean times D": lambda mu, logvar: (
        (logvar.exp() + mu**2 - 1 - logvar).mean(1) * mu.shape[1] / 2
    ),
    "in place on its own tensor": lambda mu, logvar: (
        (mu**2).add_(logvar.exp()).sub_(1).sub_(logvar).sum(1) / 2
    ),
    "transposed": lambda mu, logvar: (logvar.T.exp() + mu.T**2 - 1 - logvar.T).sum(0) * 0.5,
}


def kl_no_grad(mu, logvar):
    with torch.no_grad():
        return kl_to_standard_normal(mu, logvar)


def kl_numpy(mu, logvar):
    mu, logvar = mu.numpy(), logvar.numpy()
    return torch.from_numpy(0.5 * (np.exp(logvar) + mu**2 - 1 - logvar).sum(1))


def kl_items(mu, logvar):
    return torch.tensor([value.item() for value in kl_to_standard_normal(mu, logvar)])


def kl_backward(mu, logvar):
    result = kl_to_standard_normal(mu, logvar)
    if result.requires_grad:
        result.sum().backward(retain_graph=True)
    return result


def range_of_3(mu, logvar):
    return sum(0.5 * (logvar[:, j].exp() + mu[:, j] ** 2 - 1 - logvar[:, j]) for j in range(3))


def two_rows(mu, logvar):
    return torch.stack(
        [kl_to_standard_normal(mu[i : i + 1], logvar[i : i + 1])[0] for i in range(2)]
    )


def kl_of_a_draw(mu, logvar):
    q = Normal(mu, (logvar / 2).exp())
    z = q.rsample()
    return (q.log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(1)


def kl_of_many_draws(mu, logvar):
    return torch.stack([kl_of_a_draw(mu, logvar) for _ in range(1000)]).mean(0)


def changes_input(mu, logvar):
    return 0.5 * (logvar.exp() + mu.square_() - 1 - logvar).sum(1)


WRONG_KL = [
    ("sign", lambda mu, lv: half(1 + lv - mu**2 - lv.exp()), "the sign is flipped"),
    (
        "no ½",
        lambda mu, lv: (lv.exp() + mu**2 - 1 - lv).sum(1),
        "the factor ½ is missing. The result is twice the KL",
    ),
    ("¼", lambda mu, lv: half(lv.exp() + mu**2 - 1 - lv) / 2, "halved twice"),
    (
        "mean over dimensions",
        lambda mu, lv: 0.5 * (lv.exp() + mu**2 - 1 - lv).mean(1),
        "averaged over dimensions",
    ),
    (
        "sum of all",
        lambda mu, lv: kl_to_standard_normal(mu, lv).sum(),
        "the result is also summed over the rows",
    ),
    (
        "mean over rows",
        lambda mu, lv: kl_to_standard_normal(mu, lv).mean(),
        "averaged over the rows",
    ),
    (
        "mean of all",
        lambda mu, lv: 0.5 * (lv.exp() + mu**2 - 1 - lv).mean(),
        "averaged over rows and dimensions",
    ),
    (
        "axis 0",
        lambda mu, lv: 0.5 * (lv.exp() + mu**2 - 1 - lv).sum(0),
        "the result is summed over the rows",
    ),
    ("no sum", lambda mu, lv: 0.5 * (lv.exp() + mu**2 - 1 - lv), "one number per dimension"),
    (
        "kept axis",
        lambda mu, lv: 0.5 * (lv.exp() + mu**2 - 1 - lv).sum(1, keepdim=True),
        "the axes are not",
    ),
    (
        "log-std",
        lambda mu, lv: half((2 * lv).exp() + mu**2 - 1 - 2 * lv),
        "logvar is treated as the log-std",
    ),
    (
        "log-std in exp only",
        lambda mu, lv: half((2 * lv).exp() + mu**2 - 1 - lv),
        "exp(2 · logvar) and −logvar do not match",
    ),
    (
        "std for variance",
        lambda mu, lv: half((lv / 2).exp() + mu**2 - 1 - lv),
        "the std is used in place of the variance",
    ),
    (
        "std in both terms",
        lambda mu, lv: half((lv / 2).exp() + mu**2 - 1 - lv / 2),
        "the std is used where the variance belongs, and logvar is halved",
    ),
    ("log std", lambda mu, lv: half(lv.exp() + mu**2 - 1 - lv / 2), "logvar is halved"),
    (
        "logvar for log std",
        lambda mu, lv: half(lv.exp() + mu**2 - 1 - 2 * lv),
        "−logvar is not halved",
    ),
    ("direction", lambda mu, lv: half(lv + (1 + mu**2) / lv.exp() - 1), "direction is reversed"),
    (
        "logvar as variance",
        lambda mu, lv: half(lv - 1 - lv + mu**2),
        "logvar is used in place of the variance",
    ),
    (
        "log of logvar",
        lambda mu, lv: half(lv + mu**2 - 1 - lv.log()),
        "logvar is treated as the variance itself",
    ),
    (
        "overwritten",
        lambda mu, lv: half(lv.exp().add_(mu**2).sub_(1) - lv),
        "An in-place operation",
    ),
    ("mu", lambda mu, lv: half(lv.exp() + mu - 1 - lv), "mu is not squared"),
    ("|mu|", lambda mu, lv: half(lv.exp() + mu.abs() - 1 - lv), "absolute value of mu"),
    ("no mu²", lambda mu, lv: half(lv.exp() - 1 - lv), "mu² is missing"),
    ("−mu²", lambda mu, lv: half(lv.exp() - mu**2 - 1 - lv), "mu² is subtracted"),
    (
        "mu² not halved",
        lambda mu, lv: half(lv.exp() - 1 - lv) + (mu**2).sum(1),
        "the term mu² is not halved",
    ),
    ("no logvar", lambda mu, lv: half(lv.exp() + mu**2 - 1), "−logvar is missing"),
    ("+ logvar", lambda mu, lv: half(lv.exp() + mu**2 - 1 + lv), "sign of logvar is flipped"),
    ("no 1", lambda mu, lv: half(lv.exp() + mu**2 - lv), "−1 is missing"),
    ("+ 1", lambda mu, lv: half(lv.exp() + mu**2 + 1 - lv), "the sign of the term −1 is flipped"),
    ("one 1 a row", lambda mu, lv: ((lv.exp() + mu**2 - lv).sum(1) - 1) / 2, "once per row"),
    ("no variance", lambda mu, lv: half(mu**2 - 1 - lv), "the variance is missing"),
    ("− variance", lambda mu, lv: half(-lv.exp() + mu**2 - 1 - lv), "sign of the variance"),
    ("swapped", lambda mu, lv: kl_to_standard_normal(lv, mu), "mu and logvar are swapped"),
    (
        "root",
        lambda mu, lv: kl_to_standard_normal(mu, lv).sqrt(),
        "the square root of the KL is returned",
    ),
    ("bits", lambda mu, lv: kl_to_standard_normal(mu, lv) / math.log(2), "is in bits"),
    (
        "log2 of the variance",
        lambda mu, lv: half(lv.exp() + mu**2 - 1 - lv.exp().log2()),
        "only log σ² is in bits",
    ),
    ("times −5", lambda mu, lv: -5 * kl_to_standard_normal(mu, lv), "never negative"),
    ("mu² alone", lambda mu, lv: half(mu**2), "a value is wrong"),
    (
        "sample",
        lambda mu, lv: half(lv.exp() + mu**2 - 1 - lv) + 0.1 * torch.randn(len(mu)),
        "the result depends on random draws",
    ),
    ("estimate from one draw", kl_of_a_draw, "the result depends on random draws"),
    ("estimate from many draws", kl_of_many_draws, "the result depends on random draws"),
    (
        "log of logvar, alone",
        lambda mu, lv: half(lv.log()),
        "logvar is treated as the variance itself",
    ),
    ("log of mu", lambda mu, lv: half(lv.exp() + mu.log() - 1 - lv)[:, None], "the shape is wrong"),
    (
        "exp + 1e-8",
        lambda mu, lv: half(lv.exp() + mu**2 - 1 - (lv.exp() + 1e-8).log()),
        "a small number added",
    ),
    (
        "std + 1e-6",
        lambda mu, lv: half(lv.exp() + mu**2 - 1 - 2 * ((lv / 2).exp() + 1e-6).log()),
        "a small number added",
    ),
    (
        "logvar clamped",
        lambda mu, lv: kl_to_standard_normal(mu, lv.clamp(-20, 20)),
        "the variance clamped",
    ),
    (
        "logvar clamped above",
        lambda mu, lv: kl_to_standard_normal(mu, lv.clamp(max=20)),
        "logvar clamped",
    ),
    ("KL clamped", lambda mu, lv: kl_to_standard_normal(mu, lv).clamp(0, 1e4), "logvar clamped"),
    (
        "detached",
        lambda mu, lv: kl_to_standard_normal(mu, lv).detach(),
        "gradient with respect to mu is cut",
    ),
    (
        "mu detached",
        lambda mu, lv: kl_to_standard_normal(mu.detach(), lv),
        "gradient with respect to mu is cut",
    ),
    (
        "logvar.data",
        lambda mu, lv: kl_to_standard_normal(mu, lv.data),
        "gradient with respect to logvar is cut",
    ),
    (
        "half detached",
        lambda mu, lv: half(lv.exp() + mu**2 - 1 - lv.detach()),
        "gradient with respect to logvar is wrong",
    ),
    ("no_grad", kl_no_grad, "gradient with respect to mu is cut"),
    ("items", kl_items, "gradient with respect to mu is cut"),
    ("NumPy", kl_numpy, "NumPy passes no gradient on"),
    ("backward inside", kl_backward, "`backward()` is called inside"),
    ("range(3)", range_of_3, "Is a size hard-coded?"),
    ("two rows", two_rows, "Is a size hard-coded?"),
    ("D = 3", lambda mu, lv: half(lv.exp() + mu**2 - lv) - 1.5, "Is a size hard-coded?"),
    ("input changed", changes_input, "in place"),
    ("list", lambda mu, lv: list(kl_to_standard_normal(mu, lv)), "but got list"),
    ("float", lambda mu, lv: kl_to_standard_normal(mu, lv).sum().item(), "but got float"),
]


class Fixed(Distribution):
    """Stands for a prior, a q or a likelihood of which only the log-densities matter."""

    has_rsample = False

    def __init__(self, log_probs, batch_shape=(), draw=None):
        super().__init__(batch_shape, (), validate_args=False)
        self.log_probs, self.draw = log_probs, draw

    def log_prob(self, value):
        return self.log_probs

    def sample(self, shape=()):
        return self.draw


def with_package_elbo(log_joint, q):
    n, k = log_joint.shape
    # under a uniform prior over z, the likelihood is what is left of the joint
    likelihood = Fixed(log_joint.T + math.log(k))  # (K, N)
    model = LatentModel(Categorical(torch.ones(k)), lambda z: likelihood)
    return elbo(model, Categorical(q), torch.zeros(n)).elbo


def by_mask(log_joint, q):
    entropy = torch.zeros_like(q)
    entropy[q > 0] = -(q[q > 0] * q[q > 0].log())
    return (q * log_joint + entropy).sum(1)


def with_where(log_joint, q):
    return (q * (log_joint - torch.where(q > 0, q, 1.0).log())).sum(1)


def minus_kl_and_evidence(log_joint, q):
    log_px = log_joint.logsumexp(1)  # (N,)
    log_posterior = log_joint - log_px[:, None]  # (N, K)
    kl = (torch.xlogy(q, q) - q * log_posterior).sum(1)
    return log_px - kl


def bound_loop(log_joint, q):
    rows = []
    for row, weights in zip(log_joint, q, strict=True):
        total = torch.zeros(())
        for a, w in zip(row, weights, strict=True):
            if w > 0:
                total = total + w * (a - w.log())
        rows.append(total)
    return torch.stack(rows)


RIGHT_BOUND = {
    "reference": lower_bound,
    "the package's": with_package_elbo,
    "float64": lambda log_joint, q: lower_bound(log_joint.double(), q.double()),
    "Categorical's entropy": lambda log_joint, q: (
        (q * log_joint).sum(1) + Categorical(probs=q).entropy()
    ),
    "Categorical's entropy, float64": lambda log_joint, q: (
        (q * log_joint).sum(1) + Categorical(probs=q.double()).entropy()
    ),
    "torch.special.entr": lambda log_joint, q: (q * log_joint + torch.special.entr(q)).sum(1),
    "mask": by_mask,
    "where": with_where,
    "where outside": lambda log_joint, q: (
        q * log_joint - torch.where(q == 0, torch.zeros_like(q), q * q.log())
    ).sum(1),
    "nan_to_num": lambda log_joint, q: (
        (q * log_joint).sum(1) - (q * q.log()).nan_to_num(0.0).sum(1)
    ),
    "F.kl_div": lambda log_joint, q: -F.kl_div(log_joint, q, reduction="none").sum(1),
    "evidence minus KL": minus_kl_and_evidence,
    "evidence minus KL of Categoricals": lambda log_joint, q: (
        log_joint.logsumexp(1) - kl_divergence(Categorical(q), Categorical(logits=log_joint))
    ),
    "nansum": lambda log_joint, q: (q * (log_joint - q.log())).nansum(1),
    "loops": bound_loop,
    "einsum": lambda log_joint, q: (
        torch.einsum("nk,nk->n", q, log_joint) - torch.einsum("nk->n", torch.xlogy(q, q))
    ),
    "vmap": torch.vmap(lambda a, w: (w * a - torch.xlogy(w, w)).sum()),
    "chunks": lambda log_joint, q: torch.cat(
        [lower_bound(a, w) for a, w in zip(log_joint.split(1), q.split(1), strict=True)]
    ),
    "columns": lambda log_joint, q: sum(
        q[:, k] * log_joint[:, k] - torch.xlogy(q[:, k], q[:, k]) for k in range(q.shape[1])
    ),
    "bmm": lambda log_joint, q: (
        (q[:, None] @ log_joint[:, :, None]).squeeze((1, 2)) - torch.special.xlogy(q, q).sum(-1)
    ),
    "diagonal": lambda log_joint, q: (q @ log_joint.T).diagonal() - torch.xlogy(q, q).sum(1),
    "smallest float": lambda log_joint, q: (
        q * (log_joint - q.clamp(min=torch.finfo(q.dtype).tiny).log())
    ).sum(1),
}


def bound_no_grad(log_joint, q):
    with torch.no_grad():
        return lower_bound(log_joint, q)


def bound_numpy(log_joint, q):
    q = q.numpy()
    terms = np.where(q > 0, q * (log_joint.numpy() - np.log(np.where(q > 0, q, 1))), 0)
    return torch.from_numpy(terms.sum(1))


WRONG_BOUND = [
    ("sign", lambda a, q: -lower_bound(a, q), "the sign is flipped"),
    ("no entropy", lambda a, q: (q * a).sum(1), "the term −log q is missing"),
    ("entropy alone", lambda a, q: -torch.xlogy(q, q).sum(1), "entropy of q alone"),
    ("+ log q", lambda a, q: (q * (a + q.log())).sum(1), "sign of log q"),
    ("evidence", lambda a, q: a.logsumexp(1), "log P(x) itself"),
    (
        "evidence through q",
        lambda a, q: (q * (a.exp() / q)).sum(1).log(),
        "log P(x) itself, whatever",
    ),
    ("gap", lambda a, q: (q * (q.log() - a.log_softmax(1))).sum(1), "the gap, log P"),
    ("minus the gap", lambda a, q: (q * (a.log_softmax(1) - q.log())).sum(1), "minus the gap"),
    (
        "log of a sum",
        lambda a, q: (q * a.exp()).sum(1).log(),
        "the logarithm is taken after the sum over z",
    ),
    ("no weights", lambda a, q: (a - q.log()).sum(1), "the terms are not weighted by q"),
    (
        "joint without weights",
        lambda a, q: a.sum(1) - torch.xlogy(q, q).sum(1),
        "log P(x, z) is not weighted by q",
    ),
    (
        "log q without weights",
        lambda a, q: (q * a).sum(1) - q.log().sum(1),
        "log q is not weighted by q",
    ),
    ("mean over z", lambda a, q: (q * (a - q.log())).mean(1), "averaged over z"),
    ("axis 0", lambda a, q: (q * (a - q.log())).sum(0), "z is axis 1"),
    ("sum of all", lambda a, q: lower_bound(a, q).sum(), "the result is also summed over the rows"),
    ("mean over rows", lambda a, q: lower_bound(a, q).mean(), "averaged over the rows"),
    ("no sum", lambda a, q: q * (a - q.log()), "the sum over z is missing"),
    ("joint exponentiated", lambda a, q: (q * (a.exp() - q.log())).sum(1), "is exponentiated"),
    ("q subtracted", lambda a, q: (q * (a - q)).sum(1), "q itself is subtracted"),
    ("divided", lambda a, q: (q * a / q.log()).sum(1), "divided by log q"),
    (
        "posterior's weights",
        lambda a, q: (a.softmax(1) * (a - q.log())).sum(1),
        "the terms are weighted by P(z|x)",
    ),
    (
        "softmax of q",
        lambda a, q: lower_bound(a, q.softmax(1)),
        "a softmax is applied to q, which is already a distribution",
    ),
    ("swapped", lambda a, q: lower_bound(q, a), "arguments are swapped"),
    ("bits", lambda a, q: lower_bound(a, q) / math.log(2), "is in bits"),
    ("log2 of q", lambda a, q: (q * (a - q.log2())).sum(1), "log q is in bits"),
    ("log10 of q", lambda a, q: (q * (a - q.log10())).sum(1), "log q is to base 10"),
    (
        "half an entropy",
        lambda a, q: (q * a).sum(1) - torch.xlogy(q, q).sum(1) / 2,
        "entropy is halved",
    ),
    ("above", lambda a, q: (q * a).sum(1) + 3, "a lower bound cannot exceed log P(x)"),
    ("minus 0.1", lambda a, q: lower_bound(a, q) - 0.1, "a value is wrong"),
    ("0 · log 0", lambda a, q: (q * (a - q.log())).sum(1), "0 · log 0"),
    (
        "xlogy of the joint",
        lambda a, q: (torch.xlogy(q, a.exp()) - torch.xlogy(q, q)).sum(1),
        "do not exponentiate",
    ),
    (
        "xlogy of a ratio",
        lambda a, q: torch.xlogy(q, a.exp() / q).nan_to_num().sum(1),
        "exp(−1000) rounds to 0",
    ),
    ("joint clamped", lambda a, q: lower_bound(a.clamp(min=-100), q), "Is something clamped?"),
    (
        "joint + 1e-30",
        lambda a, q: (q * (a.exp() + 1e-30).log() - torch.xlogy(q, q)).sum(1),
        "Is something clamped?",
    ),
    (
        "q clamped at 1e-3",
        lambda a, q: lower_bound(a, q.clamp(min=1e-3)),
        "a value is wrong where q is 0",
    ),
    (
        "log of q clamped",
        lambda a, q: (q * (a - q.clamp(min=1e-12).log())).sum(1),
        "Is q clamped, or is a small number added?",
    ),
    (
        "q + 1e-12",
        lambda a, q: (q * (a - (q + 1e-12).log())).sum(1),
        "Is q clamped, or is a small number added?",
    ),
    (
        "q + 1e-8",
        lambda a, q: (q * (a - (q + 1e-8).log())).sum(1),
        "Is q clamped, or is a small number added?",
    ),
    (
        "detached",
        lambda a, q: lower_bound(a, q).detach(),
        "gradient with respect to log_joint is cut",
    ),
    (
        "joint detached",
        lambda a, q: lower_bound(a.detach(), q),
        "gradient with respect to log_joint is cut",
    ),
    ("q detached", lambda a, q: lower_bound(a, q.detach()), "gradient with respect to q is cut"),
    (
        "log q detached",
        lambda a, q: (q * a - torch.xlogy(q.detach(), q.detach())).sum(1),
        "gradient with respect to q is wrong",
    ),
    ("no_grad", bound_no_grad, "gradient with respect to log_joint is cut"),
    ("NumPy", bound_numpy, "NumPy passes no gradient on"),
    (
        "range(3)",
        lambda a, q: sum(q[:, k] * a[:, k] - torch.xlogy(q[:, k], q[:, k]) for k in range(3)),
        "Is a size hard-coded?",
    ),
    (
        "two rows",
        lambda a, q: torch.stack([lower_bound(a[[i]], q[[i]])[0] for i in range(2)]),
        "Is a size hard-coded?",
    ),
    (
        "reshape(2, 3)",
        lambda a, q: lower_bound(a.reshape(2, 3), q.reshape(2, 3)),
        "Is a size hard-coded?",
    ),
    ("in place", lambda a, q: (q.mul_(a - q.log())).sum(1), "in place"),
    ("a column", lambda a, q: lower_bound(a, q)[:, None], "the axes are not"),
    ("list", lambda a, q: lower_bound(a, q).tolist(), "but got list"),
]


def with_package_bound(log_w):
    k, n = log_w.shape
    silent = torch.zeros(k, n)  # prior and q say nothing, so that the likelihood is the weight
    model = LatentModel(Fixed(silent), lambda z: Fixed(log_w))
    return package_importance_weighted_bound(model, Fixed(silent, (n,), silent), torch.zeros(n), k)


def own_maximum(log_w):
    largest = log_w.amax(0)
    return largest + (log_w - largest).exp().mean(0).log()


def running(log_w):
    total = log_w[0]
    for row in log_w[1:]:
        total = torch.logaddexp(total, row)
    return total - math.log(len(log_w))


def one_pass(log_w):
    largest, total = log_w[0], torch.ones(log_w.shape[1])
    for row in log_w[1:]:
        new = torch.maximum(largest, row)
        total = total * (largest - new).exp() + (row - new).exp()
        largest = new
    return largest + (total / len(log_w)).log()


def image_by_image(log_w):
    sums = torch.stack([torch.logsumexp(column, 0) for column in log_w.unbind(1)])
    return sums - math.log(len(log_w))


def accumulated_tiles(log_w):
    parts = torch.stack([part.logsumexp(0) for part in log_w.split(2)])
    return parts.logsumexp(0) - math.log(log_w.size(0))


def sorted_first(log_w):
    falling = log_w.sort(0, descending=True).values
    return falling[0] + (falling - falling[0]).exp().sum(0).log() - math.log(len(log_w))


RIGHT_WEIGHTS = {
    "reference": importance_weighted_bound,
    "the package's": with_package_bound,
    "float64": lambda log_w: importance_weighted_bound(log_w.double()),
    "own maximum": own_maximum,
    "logaddexp": running,
    "one pass": one_pass,
    "image by image": image_by_image,
    "tiles": accumulated_tiles,
    "sorted": sorted_first,
    "log k inside": lambda log_w: torch.logsumexp(log_w - math.log(len(log_w)), 0),
    "log k as a tensor": lambda log_w: log_w.logsumexp(0) - torch.tensor(float(len(log_w))).log(),
    "np.log": lambda log_w: log_w.logsumexp(0) - float(np.log(log_w.shape[0])),
    "vmap": lambda log_w: (
        torch.vmap(lambda w: w.logsumexp(0), in_dims=1)(log_w) - math.log(len(log_w))
    ),
    "detached maximum": lambda log_w: (
        log_w.amax(0).detach() + (log_w - log_w.amax(0).detach()).exp().mean(0).log()
    ),
    "log_softmax": lambda log_w: (log_w - log_w.log_softmax(0))[0] - math.log(len(log_w)),
    "base 2 and back": lambda log_w: (
        log_w.amax(0)
        + math.log(2) * (((log_w - log_w.amax(0)) / math.log(2)).exp2().mean(0)).log2()
    ),
    "transposed": lambda log_w: log_w.T.logsumexp(1) - math.log(log_w.T.shape[1]),
    "a mixture's log_prob": lambda log_w: (
        log_w + F.log_softmax(torch.zeros(len(log_w)), 0)[:, None]
    ).logsumexp(0),
    "logcumsumexp": lambda log_w: log_w.logcumsumexp(0)[-1] - math.log(len(log_w)),
}


def minus_thousand(log_w):
    largest, total = torch.full((log_w.shape[1],), -1e3), torch.zeros(log_w.shape[1])
    for row in log_w:
        new = torch.maximum(largest, row)
        total = total * (largest - new).exp() + (row - new).exp()
        largest = new
    return largest + (total / len(log_w)).log()


def shifted(by):
    """A log-mean-exp that subtracts something else than each column's own maximum."""

    def wrong(log_w):
        c = by(log_w)
        return c + (log_w - c).exp().mean(0).log()

    return wrong


def weights_no_grad(log_w):
    with torch.no_grad():
        return importance_weighted_bound(log_w)


def weights_numpy(log_w):
    return torch.from_numpy(np.logaddexp.reduce(log_w.numpy(), 0) - np.log(len(log_w)))


def half_detached(log_w):
    return (log_w + log_w.detach()).div(2).logsumexp(0) - math.log(len(log_w))


WRONG_WEIGHTS = [
    (
        "mean of logs",
        lambda w: w.mean(0),
        "the mean of the logs is taken instead of the log of the mean",
    ),
    ("no log k", lambda w: w.logsumexp(0), "log k is not subtracted"),
    ("+ log k", lambda w: w.logsumexp(0) + math.log(len(w)), "log k is added"),
    ("over k", lambda w: w.logsumexp(0) / len(w), "divided by k"),
    ("− k", lambda w: w.logsumexp(0) - len(w), "k itself is subtracted"),
    ("over log k", lambda w: w.logsumexp(0) / math.log(len(w)), "divided by log k"),
    ("log N", lambda w: w.logsumexp(0) - math.log(w.shape[1]), "log N is subtracted"),
    ("sum of logs", lambda w: w.sum(0), "logs are summed"),
    ("maximum", lambda w: w.max(0).values, "only the largest weight counts"),
    (
        "maximum over k",
        lambda w: w.amax(0) - math.log(len(w)),
        "only the largest weight, divided by k, counts",
    ),
    ("no logarithm", lambda w: w.exp().mean(0), "the logarithm is missing"),
    ("sum of weights", lambda w: w.exp().sum(0), "the logarithm is missing"),
    ("sign", lambda w: -importance_weighted_bound(w), "minus the bound"),
    ("axis 1", lambda w: w.exp().mean(1).log(), "reduced over the images"),
    (
        "axis 1, log k",
        lambda w: w.logsumexp(1) - math.log(len(w)),
        "the result is reduced over the images (axis 1), and log k belongs to axis 0",
    ),
    (
        "mean over images",
        lambda w: importance_weighted_bound(w).mean(),
        "the result is also averaged over the images",
    ),
    (
        "sum over images",
        lambda w: importance_weighted_bound(w).sum(),
        "the result is also summed over the images",
    ),
    (
        "all in one",
        lambda w: w.flatten().logsumexp(0) - math.log(w.numel()),
        "all samples of all images are averaged together",
    ),
    ("weighted mean", lambda w: (w.softmax(0) * w).sum(0), "weighted mean of the logs"),
    (
        "log_softmax",
        lambda w: w.log_softmax(0),
        "the result contains the logarithms of normalized weights",
    ),
    ("squared", lambda w: (2 * w).logsumexp(0) - math.log(len(w)), "squared"),
    ("bits", lambda w: importance_weighted_bound(w) / math.log(2), "is in bits"),
    ("log2 k", lambda w: w.logsumexp(0) - math.log2(len(w)), "log k is in bits"),
    ("log10 k", lambda w: w.logsumexp(0) - math.log10(len(w)), "log k is to base 10"),
    (
        "exp2",
        lambda w: w.exp2().mean(0).log(),
        "2 is raised to the power of log w, but log w is in nats",
    ),
    ("base 10", lambda w: importance_weighted_bound(w) / math.log(10), "base 10"),
    ("minus one", lambda w: w.logsumexp(0) - 1, "a value is wrong"),
    ("exp and log", lambda w: w.exp().mean(0).log(), "exp(3000) overflows"),
    ("exp and log, float64", lambda w: w.double().exp().mean(0).log(), "exp(3000) overflows"),
    (
        "shift by the mean",
        shifted(lambda w: w.mean(0)),
        "Subtract each image's own largest log-weight first, as `logsumexp` does",
    ),
    (
        "shift by the smallest",
        shifted(lambda w: w.amin(0)),
        "Subtract each image's own largest log-weight first, as `logsumexp` does",
    ),
    (
        "shift by the first",
        shifted(lambda w: w[0]),
        "Subtract each image's own largest log-weight first, as `logsumexp` does",
    ),
    (
        "shift by the last",
        shifted(lambda w: w[-1]),
        "Subtract each image's own largest log-weight first, as `logsumexp` does",
    ),
    (
        "one shift for all",
        shifted(lambda w: w.max()),
        "Here one image has log-weights near −5000, and another near 3000",
    ),
    (
        "from −1000",
        minus_thousand,
        "Subtract each image's own largest log-weight first, as `logsumexp` does",
    ),
    ("+ 1e-8", lambda w: (w.exp().mean(0) + 1e-8).log(), "Is a small number added"),
    ("+ 1e-38", lambda w: (w.exp().mean(0) + 1e-38).log(), "Is a small number added"),
    ("clamped", lambda w: importance_weighted_bound(w.clamp(-80, 80)), "something clamped?"),
    ("nan_to_num", lambda w: w.exp().mean(0).log().nan_to_num(neginf=-100.0), "something clamped?"),
    (
        "detached",
        lambda w: importance_weighted_bound(w).detach(),
        "gradient with respect to log_w is cut",
    ),
    ("no_grad", weights_no_grad, "gradient with respect to log_w is cut"),
    ("data", lambda w: importance_weighted_bound(w.data), "gradient with respect to log_w is cut"),
    ("half detached", half_detached, "gradient with respect to log_w is wrong"),
    ("NumPy", weights_numpy, "NumPy passes no gradient on"),
    ("log 3", lambda w: w.logsumexp(0) - math.log(3), "Is a size hard-coded?"),
    (
        "range(3)",
        lambda w: torch.stack([w[i] for i in range(3)]).logsumexp(0) - math.log(len(w)),
        "Is a size hard-coded?",
    ),
    (
        "two images",
        lambda w: torch.stack([w[:, i].logsumexp(0) for i in range(2)]) - math.log(len(w)),
        "Is a size hard-coded?",
    ),
    ("in place", lambda w: w.sub_(math.log(len(w))).logsumexp(0), "in place"),
    ("kept axis", lambda w: w.logsumexp(0, keepdim=True) - math.log(len(w)), "the axes are not"),
    ("float", lambda w: importance_weighted_bound(w).sum().item(), "but got float"),
]

RIGHT = [
    (checks.kl_to_standard_normal, RIGHT_KL),
    (checks.lower_bound, RIGHT_BOUND),
    (checks.importance_weighted_bound, RIGHT_WEIGHTS),
]
WRONG = [
    (checks.kl_to_standard_normal, WRONG_KL),
    (checks.lower_bound, WRONG_BOUND),
    (checks.importance_weighted_bound, WRONG_WEIGHTS),
]


@pytest.fixture(params=[torch.float64, torch.float32], ids=["as in the chapter", "float32"])
def default_dtype(request):
    """The chapter computes in double precision; a student's own script may not."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize(
    ("check", "answer"),
    [
        pytest.param(check, answer, id=f"{check.__name__}: {name}")
        for check, table in RIGHT
        for name, answer in table.items()
    ],
)
@pytest.mark.usefixtures("default_dtype")
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


# log P(x) and L_b: `rise` is 1, the gap shrinks from 7 to 2, and log P(x) changes by −4
BEFORE, AFTER = (-3.0, -10.0), (-7.0, -9.0)
ABOUT_CHANGES = [
    ("not started", None, "Write your formula in the cell above."),
    ("right", 1.0 - 7.0, "It agrees with the trap"),
    ("right, a tensor", torch.tensor(-6.0), "It agrees with the trap"),
    ("sign", 7.0 - 1.0, "The sign is flipped"),
    ("rise", 1.0, "This is the change in L_b. The change in the gap is missing"),
    ("−rise", -1.0, "This is minus the change in L_b"),
    ("−gap", -7.0, "right if L_b stayed the same"),
    ("gap", 7.0, "This is the gap before the step"),
    ("rise + gap", 8.0, "The gap has the wrong sign"),
    ("−rise − gap", -8.0, "`rise` has the wrong sign"),
    ("this step", -4.0, "This is the change in the trap"),
    ("change in the gap", -5.0, "This is the change in the gap"),
    ("too high", -3.5, "log P(x) falls farther than your formula allows"),
    ("too low", -20.0, "too low: log P(x) never falls that far"),
    ("NaN", math.nan, "must give a finite number"),
    ("text", "rise", "must give one number, not str"),
]


@pytest.mark.parametrize(
    ("value", "says"), [pytest.param(value, says, id=name) for name, value, says in ABOUT_CHANGES]
)
def test_the_lowest_change_is_compared_with_a_step(value, says):
    assert says in checks.bound.lowest_change(value, BEFORE, AFTER)
