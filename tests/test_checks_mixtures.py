"""Checks of "Gaussian mixtures and EM": right answers of any style pass, wrong ones are named."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch.distributions import Categorical, MixtureSameFamily, Normal

from course_lib import checks
from course_lib.probability.em import e_step as package_e_step
from course_lib.probability.em import m_step as package_m_step


def responsibilities(x, weights, means, stds):
    """Reference solution."""
    log_joint = weights.log() + Normal(means, stds).log_prob(x[:, None])  # (N, K)
    return (log_joint - log_joint.logsumexp(dim=1, keepdim=True)).exp()


def m_step(x, resp):
    """Reference solution."""
    n_k = resp.sum(dim=0)  # (K,)
    means = resp.T @ x / n_k[:, None]  # (K, D)
    centred = x[:, None, :] - means  # (N, K, D)
    covariances = torch.einsum("nk,nki,nkj->kij", resp, centred, centred) / n_k[:, None, None]
    return n_k / len(x), means, covariances


def sample_mixture(n, weights, means, stds, generator):
    """Reference solution."""
    z = torch.multinomial(weights, n, replacement=True, generator=generator)  # (n,)
    return means[z] + stds[z] * torch.randn(n, generator=generator, dtype=means.dtype)


def log_joint(x, w, m, s):
    return w.log() + Normal(m, s).log_prob(x[:, None])


def joint(x, w, m, s):
    return w * densities(x, m, s)


def densities(x, means, stds):
    return Normal(means, stds).log_prob(x[:, None]).exp()


def rows(joint):
    return joint / joint.sum(1, keepdim=True)


def with_package_e_step(x, weights, means, stds):
    return package_e_step(
        x[:, None], weights, means[:, None], stds[:, None] ** 2, covariance_type="diag"
    )[0]


def by_hand(x, w, m, s):
    log_p = w.log() - s.log() - (x.view(-1, 1) - m.view(1, -1)) ** 2 / (2 * s**2)  # without √(2π)
    largest = log_p.max(dim=1, keepdim=True).values
    scaled = torch.exp(log_p - largest)
    return scaled / scaled.sum(dim=1, keepdim=True)


def double_loop(x, w, m, s):
    log_p = torch.zeros(len(x), len(w))
    for i in range(len(x)):
        for k in range(len(w)):
            log_p[i, k] = torch.log(w[k]) - torch.log(s[k]) - 0.5 * ((x[i] - m[k]) / s[k]) ** 2
    return torch.softmax(log_p, dim=-1)


def component_by_component(x, w, m, s):
    columns = [w[k].log() + Normal(m[k], s[k]).log_prob(x) for k in range(w.numel())]
    return torch.stack(columns, dim=1).log_softmax(1).exp()


def with_scipy(x, w, m, s):
    log_p = scipy.stats.norm.logpdf(x.numpy()[:, None], m.numpy(), s.numpy()) + np.log(w.numpy())
    return torch.from_numpy(scipy.special.softmax(log_p, axis=1))


def one_point(x, w, m, s):
    return (w.log() + Normal(m, s, validate_args=False).log_prob(x)).softmax(0)


def ratios(x, w, m, s):
    """1 / Σ exp(difference): an overflow gives 1/∞ = 0, which is right."""
    a = log_joint(x, w, m, s)
    return 1 / (a[:, None, :] - a[:, :, None]).exp().sum(2)


def in_place_on_own(x, w, m, s):
    log_p = Normal(m, s).log_prob(x[:, None])
    log_p += w.log()
    log_p -= log_p.logsumexp(1, keepdim=True)
    return log_p.exp_()


RIGHT_RESP = {
    "reference": responsibilities,
    "the package's": with_package_e_step,
    "float64": lambda *given: responsibilities(*(value.double() for value in given)),
    "softmax": lambda *given: log_joint(*given).softmax(1),
    "by hand, without √(2π)": by_hand,
    "double loop": double_loop,
    "component by component": component_by_component,
    "SciPy": with_scipy,
    "vmap over points": lambda x, w, m, s: torch.vmap(lambda one: one_point(one, w, m, s))(x),
    "Categorical": lambda *given: Categorical(logits=log_joint(*given)).probs,
    "log_softmax": lambda *given: log_joint(*given).log_softmax(dim=-1).exp(),
    "ratios of differences": ratios,
    "in place on its own tensor": in_place_on_own,
    "chunks": lambda x, *rest: torch.cat([responsibilities(part, *rest) for part in x.split(2)]),
    "point by point": lambda x, *rest: torch.cat(
        [responsibilities(x[i : i + 1], *rest) for i in range(len(x))]
    ),
    "unequal lines": lambda x, w, m, s: (
        torch.softmax(
            torch.stack(
                [w[k].log() - s[k].log() - ((x - m[k]) / s[k]).square() / 2 for k in range(len(m))]
            ),
            0,
        ).T
    ),
    "base 2 throughout": lambda *given: torch.exp2(
        log_joint(*given) / math.log(2) - log_joint(*given).logsumexp(1, True) / math.log(2)
    ),
    "mixture's log_prob": lambda x, w, m, s: (
        log_joint(x, w, m, s) - MixtureSameFamily(Categorical(w), Normal(m, s)).log_prob(x)[:, None]
    ).exp(),
    "expanded square": lambda x, w, m, s: (
        w.log() - s.log() - (x[:, None] ** 2 - 2 * x[:, None] * m + m**2) / (2 * s**2)
    ).softmax(1),
}


def shifted(by):
    """A softmax that subtracts something else than each row's own maximum."""

    def wrong(*given):
        a = log_joint(*given)
        return rows((a - by(a)).exp())

    return wrong


WRONG_RESP = [
    (
        "without stds",
        lambda x, w, m, s: responsibilities(x, w, m, torch.ones_like(s)),
        "the stds are ignored",
    ),
    ("joint", joint, "not normalized"),
    ("log joint", log_joint, "the result is log P(x, k)"),
    ("axis 0", lambda *given: log_joint(*given).softmax(0), "the sum is over the points (axis 0)"),
    (
        "axis 0 by hand",
        lambda *given: joint(*given) / joint(*given).sum(0),
        "the sum is over the points (axis 0)",
    ),
    (
        "over all",
        lambda *given: joint(*given) / joint(*given).sum(),
        "the result is divided by the total sum",
    ),
    ("no weights", lambda x, w, m, s: rows(densities(x, m, s)), "the weights are missing"),
    (
        "weights twice",
        lambda x, w, m, s: (w.log() + log_joint(x, w, m, s)).softmax(1),
        "the weights are applied twice",
    ),
    ("weights after", lambda x, w, m, s: w * rows(densities(x, m, s)), "after normalizing"),
    (
        "divided by weights",
        lambda x, w, m, s: rows(densities(x, m, s) / w),
        "divided by the weights",
    ),
    (
        "std as variance",
        lambda x, w, m, s: responsibilities(x, w, m, s.sqrt()),
        "the std is treated as a variance",
    ),
    (
        "Normal of the variance",
        lambda x, w, m, s: responsibilities(x, w, m, s**2),
        "the std is squared",
    ),
    (
        "no 1/std",
        lambda x, w, m, s: rows(w * torch.exp(-(((x[:, None] - m) / s) ** 2) / 2)),
        "the factor 1/std of the density is missing",
    ),
    (
        "1/std²",
        lambda x, w, m, s: rows(w / s**2 * torch.exp(-(((x[:, None] - m) / s) ** 2) / 2)),
        "the density is divided by std², not by the std",
    ),
    (
        "times std",
        lambda x, w, m, s: rows(w * s * torch.exp(-(((x[:, None] - m) / s) ** 2) / 2)),
        "the density is multiplied by the std",
    ),
    (
        "no ½",
        lambda x, w, m, s: rows(w / s * torch.exp(-(((x[:, None] - m) / s) ** 2))),
        "½ in the exponent",
    ),
    (
        "no square",
        lambda x, w, m, s: rows(w / s * torch.exp(-((x[:, None] - m) / s).abs() / 2)),
        "the square in the exponent is missing",
    ),
    (
        "over std",
        lambda x, w, m, s: rows(w / s * torch.exp(-((x[:, None] - m) ** 2) / (2 * s))),
        "the exponent is divided by std",
    ),
    (
        "not over std²",
        lambda x, w, m, s: rows(w / s * torch.exp(-((x[:, None] - m) ** 2) / 2)),
        "is not divided by std²",
    ),
    (
        "sign of the exponent",
        lambda x, w, m, s: rows(w / s * torch.exp(((x[:, None] - m) / s) ** 2 / 2)),
        "exponent's sign",
    ),
    (
        "log",
        lambda *given: responsibilities(*given).log(),
        "the result contains log-responsibilities",
    ),
    (
        "log2",
        lambda *given: responsibilities(*given).log2(),
        "the result contains log-responsibilities to base 2",
    ),
    (
        "one-hot",
        lambda *given: torch.nn.functional.one_hot(responsibilities(*given).argmax(1)),
        "hard labels",
    ),
    ("rounded", lambda *given: responsibilities(*given).round(), "hard labels"),
    (
        "argmax",
        lambda *given: responsibilities(*given).argmax(1),
        "the result contains component indices",
    ),
    (
        "weight added",
        lambda x, w, m, s: (w + Normal(m, s).log_prob(x[:, None])).softmax(1),
        "the weight is added to a log-density",
    ),
    (
        "weight times log",
        lambda x, w, m, s: (w * Normal(m, s).log_prob(x[:, None])).softmax(1),
        "the log-density is multiplied by the weight",
    ),
    (
        "softmax of densities",
        lambda *given: joint(*given).softmax(1),
        "the softmax is taken of densities",
    ),
    (
        "softmax twice",
        lambda *given: responsibilities(*given).softmax(1),
        "the softmax is applied twice",
    ),
    (
        "log2 of the weights",
        lambda x, w, m, s: (w.log2() + Normal(m, s).log_prob(x[:, None])).softmax(1),
        "base-2 logarithms of the weights are added to natural log-densities",
    ),
    (
        "log10 of the weights",
        lambda x, w, m, s: (w.log10() + Normal(m, s).log_prob(x[:, None])).softmax(1),
        "base-10 logarithms of the weights are added to natural log-densities",
    ),
    (
        "log2 and exp",
        lambda *given: (log_joint(*given) / math.log(2)).softmax(1),
        "logarithms to base 2 (bits) do not match `exp`",
    ),
    ("densities", lambda *given: rows(joint(*given)), "0/0 is NaN"),
    (
        "+ 1e-12",
        lambda *given: joint(*given) / (joint(*given).sum(1, True) + 1e-12),
        "Perhaps a clamp or a small added number hides that all densities round to 0 far away",
    ),
    (
        "joint + 1e-30",
        lambda *given: rows(joint(*given) + 1e-30),
        "Perhaps a clamp or a small added number hides that all densities round to 0 far away",
    ),
    (
        "clamped sum",
        lambda *given: joint(*given) / joint(*given).sum(1, True).clamp(min=1e-20),
        "Perhaps a clamp or a small added number hides that all densities round to 0 far away",
    ),
    (
        "clamped logs",
        lambda *given: log_joint(*given).clamp(min=-80).softmax(1),
        "Perhaps a clamp or a small added number hides that all densities round to 0 far away",
    ),
    (
        "nan_to_num",
        lambda *given: rows(joint(*given)).nan_to_num(),
        "Perhaps a clamp or a small added number hides that all densities round to 0 far away",
    ),
    ("log of density", lambda *given: joint(*given).log().softmax(1), "all densities round to 0"),
    (
        "shift by the smallest",
        shifted(lambda a: a.amin(1, True)),
        "`exp` overflows if anything other than the row's largest logarithm is subtracted",
    ),
    (
        "shift by the mean",
        shifted(lambda a: a.mean(1, True)),
        "`exp` overflows if anything other than the row's largest logarithm is subtracted",
    ),
    (
        "shift by the first",
        shifted(lambda a: a[:, :1]),
        "`exp` overflows if anything other than the row's largest logarithm is subtracted",
    ),
    ("one shift for all", shifted(lambda a: a.max()), "Here a batch contains near and far points"),
    ("column maxima", shifted(lambda a: a.amax(0)), "a value is wrong"),
    ("turned", lambda *given: responsibilities(*given).T, "the axes are not"),
    ("row sums", lambda *given: joint(*given).sum(1), "Which axis do you reduce over"),
    (
        "weights turned round",
        lambda x, w, m, s: responsibilities(x, w.flip(0), m, s),
        "a value is wrong",
    ),
    (
        "three components",
        lambda x, w, m, s: responsibilities(x, w[:3], m[:3], s[:3]),
        "Is a size hard-coded?",
    ),
    (
        "range(3)",
        lambda *given: torch.stack([log_joint(*given)[:, k] for k in range(3)], 1).softmax(1),
        "Is a size hard-coded?",
    ),
    (
        "zeros(4, 3)",
        lambda *given: torch.zeros(4, 3) + responsibilities(*given),
        "Is a size hard-coded?",
    ),
    (
        "view(4, 1)",
        lambda x, *rest: responsibilities(x.view(4, 1)[:, 0], *rest),
        "Is a size hard-coded?",
    ),
    ("x sorted in place", lambda x, *rest: responsibilities(x.sub_(0.5), *rest), "in place"),
    ("list", lambda *given: list(responsibilities(*given)), "but got list"),
]


def no_broadcast(x, resp):
    means = torch.stack(
        [(resp[:, k : k + 1] * x).sum(0) / resp[:, k].sum() for k in range(resp.shape[1])]
    )
    covariances = []
    for k in range(resp.shape[1]):
        centred = x - means[k]
        covariances.append((resp[:, k] * centred.T) @ centred / resp[:, k].sum())
    return resp.mean(0), means, torch.stack(covariances)


def point_by_point(x, resp):
    n, d = x.shape
    k = resp.shape[1]
    n_k, means, covariances = torch.zeros(k), torch.zeros(k, d), torch.zeros(k, d, d)
    for i in range(n):
        n_k += resp[i]
        means += resp[i][:, None] * x[i]
    means /= n_k[:, None]
    for i in range(n):
        for j in range(k):
            covariances[j] += resp[i, j] * torch.outer(x[i] - means[j], x[i] - means[j])
    return n_k / n, means, covariances / n_k[:, None, None]


def with_numpy(x, resp):
    x, resp = x.double().numpy(), resp.double().numpy()
    means = np.array([np.average(x, axis=0, weights=r) for r in resp.T])
    covariances = np.array([np.cov(x.T, aweights=r, ddof=0) for r in resp.T])
    return tuple(torch.from_numpy(part) for part in (resp.mean(0), means, covariances))


def with_torch_cov(x, resp):
    covariances = torch.stack([torch.cov(x.T, aweights=r, correction=0) for r in resp.T])
    return resp.mean(0), resp.T @ x / resp.sum(0)[:, None], covariances


def with_roots(x, resp):
    n_k = resp.sum(0)
    means = torch.einsum("nk,nd->kd", resp, x) / n_k.unsqueeze(1)
    scaled = resp.sqrt().T[:, :, None] * (x - means[:, None])  # (K, N, D)
    return n_k / n_k.sum(), means, scaled.mT @ scaled / n_k.view(-1, 1, 1)


def with_vmap(x, resp):
    def one(r):
        mean = r @ x / r.sum()
        return r.mean(), mean, ((x - mean).T * r) @ (x - mean) / r.sum()

    return torch.vmap(one, in_dims=1)(resp)


def normalized_first(x, resp):
    share = resp / resp.sum(0, keepdim=True)  # (N, K), columns sum to 1
    means = share.T @ x
    d = x.unsqueeze(1) - means.unsqueeze(0)
    return (
        resp.sum(0) / len(resp),
        means,
        (share[:, :, None, None] * d[..., None] * d[..., None, :]).sum(0),
    )


def moments(x, resp):
    """E[xxᵀ] − E[x]E[x]ᵀ in float64, so that little is lost in the difference."""
    x, resp = x.double(), resp.double()
    n_k = resp.sum(0)
    means = resp.T @ x / n_k[:, None]
    second = torch.einsum("nk,ni,nj->kij", resp, x, x) / n_k[:, None, None]
    return n_k / len(x), means, second - means[:, :, None] * means[:, None, :]


def in_chunks(x, resp):
    n_k, total = 0, 0
    for a, r in zip(x.split(3), resp.split(3), strict=True):
        n_k, total = n_k + r.sum(0), total + r.T @ a
    means, covariances = total / n_k[:, None], 0
    for a, r in zip(x.split(3), resp.split(3), strict=True):
        d = a[:, None] - means
        covariances = covariances + torch.einsum("nk,nki,nkj->kij", r, d, d)
    return n_k / len(x), means, covariances / n_k[:, None, None]


RIGHT_M_STEP = {
    "reference": m_step,
    "the package's": package_m_step,
    "a list": lambda x, resp: list(m_step(x, resp)),
    "float64": lambda x, resp: m_step(x.double(), resp.double()),
    "component by component": no_broadcast,
    "point by point": point_by_point,
    "NumPy": with_numpy,
    "torch.cov": with_torch_cov,
    "roots of resp": with_roots,
    "vmap": with_vmap,
    "normalized first": normalized_first,
    "moments in float64": moments,
    "chunks": in_chunks,
    "no_grad": torch.no_grad()(m_step),
    "symmetrized": lambda x, resp: (
        *m_step(x, resp)[:2],
        (m_step(x, resp)[2] + m_step(x, resp)[2].mT) / 2,
    ),
    "weights of all resp": lambda x, resp: (resp.sum(0) / resp.sum(), *m_step(x, resp)[1:]),
}


def with_covariances(change):
    """A wrong M-step whose weights and means are right."""

    def wrong(x, resp):
        weights, means, covariances = m_step(x, resp)
        return weights, means, change(x, resp, means, covariances)

    return wrong


def with_means(change):
    """A wrong M-step whose weights and covariances are right."""

    def wrong(x, resp):
        weights, _, covariances = m_step(x, resp)
        return weights, change(x, resp), covariances

    return wrong


def n_k(resp):
    return resp.sum(0)[:, None, None]


def squared_resp(x, resp, means, c):
    scaled = [resp[:, [k]] * (x - means[k]) for k in range(resp.shape[1])]
    return torch.stack([d.T @ d / resp[:, k].sum() for k, d in enumerate(scaled)])


def small_number_added(x, resp):
    n_k = resp.sum(0) + 1e-4
    means = resp.T @ x / n_k[:, None]
    d = x[:, None] - means
    return n_k / len(x), means, torch.einsum("nk,nki,nkj->kij", resp, d, d) / n_k[:, None, None]


def clamped(x, resp):
    n_k = resp.sum(0).clamp(min=0.1)
    means = resp.T @ x / n_k[:, None]
    d = x[:, None] - means
    return resp.mean(0), means, torch.einsum("nk,nki,nkj->kij", resp, d, d) / n_k[:, None, None]


def three_components(x, resp):
    return tuple(torch.stack([part[k] for k in range(3)]) for part in m_step(x, resp))


def hard(x, resp):
    return m_step(x, torch.nn.functional.one_hot(resp.argmax(1), resp.shape[1]).float())


def hard_covariances(x, resp, means):
    label = resp.argmax(1)
    clouds = [x[label == k] - mean for k, mean in enumerate(means)]
    return torch.stack([cloud.T @ cloud / len(cloud) for cloud in clouds])


def data_centred_in_place(x, resp):
    x -= x.mean(0)
    return m_step(x, resp)


WRONG_M_STEP = [
    (
        "weights not divided",
        lambda x, r: (r.sum(0), *m_step(x, r)[1:]),
        "weights are not divided by N",
    ),
    (
        "weights equal",
        lambda x, r: (torch.full((r.shape[1],), 1 / r.shape[1]), *m_step(x, r)[1:]),
        "weights are all equal",
    ),
    ("weights over K", lambda x, r: (r.sum(0) / r.shape[1], *m_step(x, r)[1:]), "divided by K"),
    (
        "weights over components",
        lambda x, r: (r.mean(1), *m_step(x, r)[1:]),
        "the sum is over the components",
    ),
    (
        "weights (1, K)",
        lambda x, r: (r.mean(0, True), *m_step(x, r)[1:]),
        "your weights: the shape is wrong",
    ),
    (
        "softmax of weights",
        lambda x, r: (r.mean(0).softmax(0), *m_step(x, r)[1:]),
        "your weights: a value is wrong",
    ),
    ("means over N", with_means(lambda x, r: r.T @ x / len(x)), "the means are divided by N"),
    ("means not divided", with_means(lambda x, r: r.T @ x), "means are not divided by N_k"),
    (
        "means of the data",
        with_means(lambda x, r: x.mean(0).repeat(r.shape[1], 1)),
        "mean of the data",
    ),
    (
        "means over weights",
        with_means(lambda x, r: r.T @ x / r.mean(0)[:, None]),
        "divided by the weights N_k / N",
    ),
    (
        "hard means",
        with_means(lambda x, r: hard(x, r)[1]),
        "each point is assigned to a single component",
    ),
    ("means turned", with_means(lambda x, r: m_step(x, r)[1].T), "your means: the shape is wrong"),
    ("hard labels", hard, "each point is assigned to a single component. Sum resp itself"),
    (
        "hard covariances",
        with_covariances(lambda x, r, m, c: hard_covariances(x, r, m)),
        "each point is assigned to a single component",
    ),
    (
        "shared covariance",
        with_covariances(lambda x, r, m, c: torch.einsum("k,kij->ij", r.mean(0), c).expand_as(c)),
        "all components share one covariance",
    ),
    (
        "not centred",
        with_covariances(lambda x, r, m, c: torch.einsum("nk,ni,nj->kij", r, x, x) / n_k(r)),
        "not centred",
    ),
    (
        "centred at all",
        with_covariances(
            lambda x, r, m, c: (
                torch.einsum("nk,ni,nj->kij", r, x - x.mean(0), x - x.mean(0)) / n_k(r)
            )
        ),
        "mean of all data",
    ),
    (
        "cov over N",
        with_covariances(lambda x, r, m, c: c * n_k(r) / len(x)),
        "the covariances are divided by N",
    ),
    (
        "cov over N − 1",
        with_covariances(lambda x, r, m, c: c * n_k(r) / (len(x) - 1)),
        "divided by N − 1",
    ),
    ("cov over N_k − 1", with_covariances(lambda x, r, m, c: c * n_k(r) / (n_k(r) - 1)), "N_k − 1"),
    (
        "torch.cov's default",
        with_covariances(lambda x, r, m, c: torch.stack([torch.cov(x.T, aweights=k) for k in r.T])),
        "corrected for bias. Divide by N_k, or pass `correction=0`",
    ),
    (
        "cov not divided",
        with_covariances(lambda x, r, m, c: c * n_k(r)),
        "covariances are not divided by N_k",
    ),
    ("resp squared", with_covariances(squared_resp), "resp is squared"),
    (
        "no resp",
        with_covariances(
            lambda x, r, m, c: torch.einsum("nki,nkj->kij", x[:, None] - m, x[:, None] - m) / n_k(r)
        ),
        "resp is missing",
    ),
    (
        "no resp, mean",
        with_covariances(
            lambda x, r, m, c: torch.einsum("nki,nkj->kij", x[:, None] - m, x[:, None] - m) / len(x)
        ),
        "mean over all points",
    ),
    (
        "cov of the data",
        with_covariances(lambda x, r, m, c: torch.cov(x.T, correction=0).repeat(r.shape[1], 1, 1)),
        "covariance of the data",
    ),
    (
        "diagonal matrices",
        with_covariances(lambda x, r, m, c: torch.diag_embed(c.diagonal(dim1=1, dim2=2))),
        "the result contains only variances",
    ),
    (
        "variances",
        with_covariances(lambda x, r, m, c: (r.T @ x**2) / r.sum(0)[:, None] - m**2),
        "only variances, (K, D)",
    ),
    (
        "stds",
        with_covariances(lambda x, r, m, c: c.diagonal(dim1=1, dim2=2).sqrt()),
        "standard deviations, (K, D)",
    ),
    (
        "precisions",
        with_covariances(lambda x, r, m, c: torch.linalg.inv(c)),
        "the result contains precision matrices, the inverses of the covariances",
    ),
    ("Cholesky", with_covariances(lambda x, r, m, c: torch.linalg.cholesky(c)), "Cholesky"),
    (
        "correlations",
        with_covariances(
            lambda x, r, m, c: torch.stack([k / k.diag().outer(k.diag()).sqrt() for k in c])
        ),
        "correlations",
    ),
    (
        "ridge",
        with_covariances(lambda x, r, m, c: c + 1e-2 * torch.eye(len(c[0]))),
        "your covariances: a value is wrong",
    ),
    (
        "reg_covar",
        with_covariances(lambda x, r, m, c: c + 1e-6 * torch.eye(len(c[0]))),
        "such as `reg_covar`, added to the covariances?",
    ),
    (
        "a tiny reg_covar",
        with_covariances(lambda x, r, m, c: c + 1e-12 * torch.eye(len(c[0]))),
        "such as `reg_covar`, added to the covariances?",
    ),
    (
        "the package's, reg_covar",
        lambda x, r: tuple(package_m_step(x, r, reg_covar=1e-6)),
        "such as `reg_covar`, added to the covariances?",
    ),
    (
        "variances clamped",
        with_covariances(lambda x, r, m, c: c.clamp(min=1e-6) + c.clamp(max=-1e-6)),
        "a value is wrong",
    ),
    (
        "cov (D, D, K)",
        with_covariances(lambda x, r, m, c: c.permute(1, 2, 0)),
        "your covariances: the shape is wrong",
    ),
    (
        "one covariance",
        with_covariances(lambda x, r, m, c: c.sum(0)),
        "your covariances: the shape is wrong",
    ),
    ("sign", with_covariances(lambda x, r, m, c: -c), "never negative"),
    ("two results", lambda x, r: m_step(x, r)[:2], "return 3 tensors: weights, means, covariances"),
    (
        "means first",
        lambda x, r: (m_step(x, r)[1], m_step(x, r)[0], m_step(x, r)[2]),
        "in the wrong order",
    ),
    ("backwards", lambda x, r: m_step(x, r)[::-1], "in the wrong order"),
    (
        "backwards and wrong",
        lambda x, r: (m_step(x, r)[2] + 1, *m_step(x, r)[:2]),
        "in the wrong order",
    ),
    ("dict", lambda x, r: dict(zip("wmc", m_step(x, r), strict=True)), "return 3 tensors"),
    ("None", lambda x, r: None, "`return` line"),
    (
        "a NumPy part",
        lambda x, r: (m_step(x, r)[0].numpy(), *m_step(x, r)[1:]),
        "your weights must be a torch tensor of real numbers, but got ndarray",
    ),
    ("N = 7", lambda x, r: (r.sum(0) / 7, *m_step(x, r)[1:]), "Is a size hard-coded?"),
    ("range(3)", three_components, "Is a size hard-coded?"),
    ("D = 2", with_covariances(lambda x, r, m, c: c.reshape(-1, 2, 2)), "Is a size hard-coded?"),
    ("+ 1e-4", small_number_added, "a small number added to N_k"),
    ("clamped N_k", clamped, "N_k clamped"),
    ("in place", data_centred_in_place, "in place"),
    (
        "resp normalized over points",
        lambda x, r: m_step(x, r / r.sum(0)),
        "your weights: a value is wrong",
    ),
]


def pick(n, weights, generator):
    return torch.multinomial(weights, n, replacement=True, generator=generator)


def noise(n, generator):
    return torch.randn(n, generator=generator)


def by_cumulative_weights(n, weights, means, stds, generator):
    u = torch.rand(n, generator=generator)
    z = torch.searchsorted(weights.cumsum(0), u).clamp(max=len(weights) - 1)
    return means[z] + stds[z] * noise(n, generator)


def draw_by_draw(n, weights, means, stds, generator):
    draws = torch.empty(n)
    for i in range(n):
        k = torch.multinomial(weights, 1, generator=generator).item()
        draws[i] = means[k] + stds[k] * torch.randn((), generator=generator)
    return draws


def all_and_choose(n, weights, means, stds, generator):
    every = means + stds * torch.randn(n, len(means), generator=generator)  # (n, K)
    z = pick(n, weights, generator)
    return every[torch.arange(n), z]


def one_hot(n, weights, means, stds, generator):
    # (n, K)
    z = torch.nn.functional.one_hot(pick(n, weights, generator), len(weights)).to(means.dtype)
    return z @ means + (z @ stds) * noise(n, generator)


def gathered(n, weights, means, stds, generator):
    z = pick(n, weights, generator)
    return means.gather(0, z) + stds.gather(0, z) * noise(n, generator)


def gumbel(n, weights, means, stds, generator):
    u = torch.rand(n, len(weights), generator=generator).clamp(min=1e-20)
    z = (weights.log() - (-u.log()).log()).argmax(1)
    return torch.normal(means[z], stds[z], generator=generator)


def counts_then_shuffle(n, weights, means, stds, generator):
    z = pick(n, weights, generator)
    draws = torch.cat(
        [
            m + s * noise(int((z == k).sum()), generator)
            for k, (m, s) in enumerate(zip(means, stds, strict=True))
        ]
    )
    return draws[torch.randperm(n, generator=generator)]


def box_muller(n, weights, means, stds, generator):
    z = pick(n, weights, generator)
    u, v = torch.rand(2, n, generator=generator)
    return means[z] + stds[z] * (-2 * (1 - u).log()).sqrt() * (2 * math.pi * v).cos()


def inverse_cdf(n, weights, means, stds, generator):
    z = pick(n, weights, generator)
    u = torch.rand(n, generator=generator, dtype=torch.float64).clamp(1e-12, 1 - 1e-12)
    return Normal(means[z].double(), stds[z].double()).icdf(u)


def filled_by_mask(n, weights, means, stds, generator):
    z, draws = pick(n, weights, generator), torch.empty(n)
    for k in range(len(weights)):
        own = z == k
        draws[own] = means[k] + stds[k] * noise(int(own.sum()), generator)
    return draws


RIGHT_SAMPLE = {
    "reference": sample_mixture,
    "float64": lambda n, w, m, s, g: sample_mixture(n, w.double(), m.double(), s.double(), g),
    "cumulative weights": by_cumulative_weights,
    "draw by draw": draw_by_draw,
    "all components, then choose": all_and_choose,
    "one-hot": one_hot,
    "Gumbel and torch.normal": gumbel,
    "components together, then shuffled": counts_then_shuffle,
    "Box and Muller": box_muller,
    "inverse distribution function": inverse_cdf,
    "filled by mask": filled_by_mask,
    "gather": gathered,
    "index_select": lambda n, w, m, s, g: (
        lambda z: torch.addcmul(m.index_select(0, z), s.index_select(0, z), noise(n, g))
    )(pick(n, w, g)),
    "noise first": lambda n, w, m, s, g: (lambda e, z: m[z] + s[z] * e)(noise(n, g), pick(n, w, g)),
    "normal_": lambda n, w, m, s, g: (lambda z: m[z] + s[z] * torch.empty(n).normal_(generator=g))(
        pick(n, w, g)
    ),
    "no_grad": torch.no_grad()(sample_mixture),
    "unnormalized weights": lambda n, w, m, s, g: sample_mixture(n, 5 * w, m, s, g),
    "negative noise": lambda n, w, m, s, g: (lambda z: m[z] - s[z] * noise(n, g))(pick(n, w, g)),
}


def added_up(n, weights, means, stds, generator):
    draws = means + stds * noise((n, len(means)), generator)  # (n, K)
    return draws @ weights


def one_component(n, weights, means, stds, generator):
    z = Categorical(weights).sample()
    return means[z] + stds[z] * noise(n, generator)


def one_seeded_component(n, weights, means, stds, generator):
    z = pick(1, weights, generator)
    return means[z] + stds[z] * noise(n, generator)


def one_noise(n, weights, means, stds, generator):
    z = pick(n, weights, generator)
    return means[z] + stds[z] * noise(1, generator)


def of_equal_size(n, weights, means, stds, generator):
    z = torch.arange(n) % len(weights)
    return means[z] + stds[z] * noise(n, generator)


def in_blocks(n, weights, means, stds, generator):
    z = pick(n, weights, generator).sort().values
    return means[z] + stds[z] * noise(n, generator)


def other_component_of_the_std(n, weights, means, stds, generator):
    z = pick(n, weights, generator)
    return means[z] + stds[pick(n, weights, generator)] * noise(n, generator)


def with_noise(other):
    def wrong(n, weights, means, stds, generator):
        z = pick(n, weights, generator)
        return means[z] + stds[z] * other(n, generator)

    return wrong


def one_gaussian(n, w, m, s, g):
    mean = (w * m).sum()
    spread = ((w * (s**2 + m**2)).sum() - mean**2).sqrt()
    return mean + spread * noise(n, g)


def three_components_sampled(n, w, m, s, g):
    z = pick(n, w[:3], g)
    return m[z] + s[z] * noise(n, g)


def other_generator(n, w, m, s, g):
    return sample_mixture(n, w, m, s, torch.Generator().manual_seed(0))


def of_fixed_counts(n, weights, means, stds, generator):
    counts = (n * weights).round().long()
    counts[0] += n - counts.sum()
    z = torch.arange(len(weights)).repeat_interleave(counts)[torch.randperm(n, generator=generator)]
    return means[z] + stds[z] * noise(n, generator)


def one_number_for_both(n, w, m, s, g):
    u = torch.rand(n, generator=g).clamp(1e-6, 1 - 1e-6)
    k = torch.searchsorted(w.cumsum(0), u).clamp(max=len(w) - 1)
    return m[k] + s[k] * Normal(0, 1).icdf(u)


WRONG_SAMPLE = [
    ("fixed counts", of_fixed_counts, "the same number of draws"),
    (
        "equal weights",
        lambda n, w, m, s, g: sample_mixture(n, torch.ones_like(w), m, s, g),
        "weights are ignored",
    ),
    (
        "randint",
        lambda n, w, m, s, g: (lambda z: m[z] + s[z] * noise(n, g))(
            torch.randint(0, 3, (n,), generator=g)
        ),
        "weights are ignored",
    ),
    ("in turn", of_equal_size, "weights are ignored"),
    (
        "softmax of weights",
        lambda n, w, m, s, g: sample_mixture(n, w.softmax(0), m, s, g),
        "a softmax is applied to the weights, which are already probabilities",
    ),
    (
        "std as variance",
        lambda n, w, m, s, g: sample_mixture(n, w, m, s.sqrt(), g),
        "the std is treated as a variance",
    ),
    ("std squared", lambda n, w, m, s, g: sample_mixture(n, w, m, s**2, g), "std is squared"),
    (
        "scale 1",
        lambda n, w, m, s, g: sample_mixture(n, w, m, torch.ones_like(s), g),
        "noise has scale 1",
    ),
    (
        "mean std",
        lambda n, w, m, s, g: sample_mixture(n, w, m, s.mean().expand_as(s), g),
        "same spread",
    ),
    ("no means", lambda n, w, m, s, g: sample_mixture(n, w, 0 * m, s, g), "means are missing"),
    ("added up", added_up, "weighted draws are added into a single bump"),
    (
        "weighted parameters",
        lambda n, w, m, s, g: w @ m + (w @ s) * noise(n, g),
        "weighted means and stds make a single Gaussian",
    ),
    ("one Gaussian", one_gaussian, "mixture's mean and spread. Pick"),
    ("one component", one_seeded_component, "produces all samples"),
    (
        "likeliest component",
        lambda n, w, m, s, g: m[w.argmax()] + s[w.argmax()] * noise(n, g),
        "component 0 produces all samples",
    ),
    ("one noise", one_noise, "few different values"),
    ("no noise", lambda n, w, m, s, g: m[pick(n, w, g)], "few different values"),
    ("no generator", lambda n, w, m, s, g: sample_mixture(n, w, m, s, None), "same seed"),
    (
        "Categorical",
        lambda n, w, m, s, g: (lambda z: m[z] + s[z] * noise(n, g))(Categorical(w).sample((n,))),
        "generator=generator",
    ),
    (
        "MixtureSameFamily",
        lambda n, w, m, s, g: MixtureSameFamily(Categorical(w), Normal(m, s)).sample((n,)),
        "generator=generator",
    ),
    (
        "NumPy",
        lambda n, w, m, s, g: (lambda z: m[z] + s[z] * noise(n, g))(
            torch.from_numpy(
                np.random.default_rng().choice(3, n, p=(w.double() / w.double().sum()).numpy())
            )
        ),
        "generator=generator",
    ),
    ("own seed", other_generator, "seed set inside"),
    ("shifted", lambda n, w, m, s, g: sample_mixture(n, w, m, s, g) + 0.3, "a mean is wrong"),
    (
        "wider",
        lambda n, w, m, s, g: sample_mixture(n, w, m, 1.8 * s, g),
        "the means are right, but the spread is wrong",
    ),
    ("another std", other_component_of_the_std, "come from two components"),
    ("uniform noise", with_noise(lambda n, g: torch.rand(n, generator=g)), "uniform on [0, 1)"),
    (
        "uniform ±1",
        with_noise(lambda n, g: 2 * torch.rand(n, generator=g) - 1),
        "uniform on [−1, 1)",
    ),
    (
        "uniform of variance 1",
        with_noise(lambda n, g: 12**0.5 * (torch.rand(n, generator=g) - 0.5)),
        "not Gaussian",
    ),
    ("half noise", with_noise(lambda n, g: noise(n, g).abs()), "a mean is wrong"),
    ("in blocks", in_blocks, "not independent"),
    ("(n, K)", lambda n, w, m, s, g: m + s * noise((n, 3), g), "not (6000, 3)"),
    ("(n, 1)", lambda n, w, m, s, g: sample_mixture(n, w, m, s, g)[:, None], "not (6000, 1)"),
    (
        "one draw",
        lambda n, w, m, s, g: sample_mixture(1, w, m, s, g),
        "must have shape (6000,), not (1,)",
    ),
    (
        "with component",
        lambda n, w, m, s, g: (sample_mixture(n, w, m, s, g), pick(n, w, g)),
        "but got tuple",
    ),
    ("NumPy array", lambda *given: sample_mixture(*given).numpy(), "but got ndarray"),
    ("components", lambda n, w, m, s, g: pick(n, w, g), "dtype, not torch.int64"),
    (
        "no replacement",
        lambda n, w, m, s, g: m[torch.multinomial(w, n, generator=g)],
        "your function stops",
    ),
    (
        "6,000 draws",
        lambda n, w, m, s, g: sample_mixture(6000, w, m, s, g),
        "Is a size hard-coded?",
    ),
    ("three components", three_components_sampled, "Is a size hard-coded?"),
    (
        "squeezed",
        lambda *given: sample_mixture(*given).squeeze(),
        "for n = 1, the result must have shape (1,)",
    ),
    ("sorted", lambda *given: sample_mixture(*given).sort().values, "not independent"),
    ("one number for both", one_number_for_both, "come from the same random number"),
    (
        "densities",
        lambda n, w, m, s, g: (w * Normal(m, s).log_prob(noise(n, g)[:, None]).exp()).sum(1),
        "your histogram differs from the mixture. The mean",
    ),
]

RIGHT = [
    (checks.responsibilities, RIGHT_RESP),
    (checks.m_step, RIGHT_M_STEP),
    (checks.sample_mixture, RIGHT_SAMPLE),
]
WRONG = [
    (checks.responsibilities, WRONG_RESP),
    (checks.m_step, WRONG_M_STEP),
    (checks.sample_mixture, WRONG_SAMPLE),
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


def test_one_component_without_the_generator_is_named():
    torch.manual_seed(0)  # the answer ignores its generator, so it is the global one that decides
    assert "generator=generator" in checks.sample_mixture(one_component).message


def test_a_wrong_covariance_is_shown_with_its_input():
    message = checks.m_step(with_covariances(lambda x, r, m, c: 2 * c)).message
    assert "a value is wrong for x = ((0.0, 1.0), (2.0, -1.0)" in message
    assert "resp = ((0.7, 0.1, 0.2), (0.2, 0.5, 0.3)" in message


FEW = torch.tensor([-2.0, -1.0, 0.5, 1.0, 3.0, 4.0], dtype=torch.float64)
SOFT = torch.tensor(
    [[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.1, 0.9], [0.2, 0.8]]
).double()


def squares():
    """(x − mean)² for each point and component, (N, K)."""
    return (FEW[:, None] - SOFT.T @ FEW / SOFT.sum(0)) ** 2


def shared():
    """Reference solution."""
    return (SOFT * squares()).sum() / len(FEW)


def own_variances():
    return (SOFT * squares()).sum(0) / SOFT.sum(0)


ABOUT_VARIANCES = [
    ("not started", lambda: None, "Replace None with your formula first."),
    ("right", shared, "0 up to rounding errors"),
    ("number", lambda: float(shared()), "0 up to rounding errors"),
    ("one element", lambda: shared()[None], "0 up to rounding errors"),
    ("weighted average", lambda: (SOFT.mean(0) * own_variances()).sum(), "0 up to rounding errors"),
    (
        "of another step",
        lambda: shared() * (1 + 1e-6),
        "Do all your numbers come from the same M-step?",
    ),
    ("average", lambda: own_variances().mean(), "All components count equally"),
    ("sum", lambda: own_variances().sum(), "are added up"),
    ("not divided", lambda: 6 * shared(), "not divided by N"),
    ("over N · K", lambda: shared() / 2, "divided by N · K"),
    ("over N − 1", lambda: shared() * 6 / 5, "The sum is divided by N − 1, but"),
    ("std", lambda: shared().sqrt(), "standard deviation"),
    ("all points", lambda: FEW.var(correction=0), "the mean of all points. Use"),
    (
        "all points, N − 1",
        lambda: FEW.var(),
        "the mean of all points, and the sum is divided by N − 1",
    ),
    ("no resp", lambda: squares().sum() / 6, "missing from the sum"),
    ("no resp, mean", lambda: squares().mean(), "missing from the mean"),
    ("one for each", own_variances, "one variance for each component"),
    ("one for each point", lambda: (SOFT * squares()).sum(1), "but its shape is (6,)"),
    ("negative", lambda: -shared(), "must be positive and finite"),
    ("NaN", lambda: shared() * math.nan, "must be positive and finite"),
    ("too small", lambda: 0.77 * shared(), "is larger at a larger variance"),
    ("too large", lambda: 1.41 * shared(), "is larger at a smaller variance"),
    ("text", lambda: "x", "must give one number, not str"),
]


@pytest.mark.parametrize(
    ("answer", "says"),
    [pytest.param(answer, says, id=name) for name, answer, says in ABOUT_VARIANCES],
)
def test_a_shared_variance_is_judged_by_its_slope(answer, says):
    assert says in checks.mixtures.shared_variance(answer(), FEW, SOFT)


def test_the_stated_slope_is_that_of_the_objective():
    variance = torch.tensor(2.0, requires_grad=True)
    means = SOFT.T @ FEW / SOFT.sum(0)
    (SOFT * Normal(means, variance.sqrt()).log_prob(FEW[:, None])).sum().backward()
    assert f"is {float(variance.grad):.3g}, so" in checks.mixtures.shared_variance(2.0, FEW, SOFT)
