"""Chapter 01's checks: the reference solutions pass, and each typical wrong answer is named."""

import pytest
import torch
from torch.distributions import Categorical, Normal

from course_lib import checks
from course_lib.mixtures import e_step as package_e_step
from course_lib.mixtures import m_step as package_m_step


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


def densities(x, means, stds):
    return Normal(means, stds).log_prob(x[:, None]).exp()


def rows(joint):
    return joint / joint.sum(1, keepdim=True)


def without_one_over_std(x, weights, means, stds):
    return rows(weights * torch.exp(-(((x[:, None] - means) / stds) ** 2) / 2))


RESPONSIBILITIES = {
    "not normalised": lambda x, w, m, s: w * densities(x, m, s),
    "normalised over the points": lambda x, w, m, s: (w.log() + Normal(m, s).log_prob(x[:, None])).softmax(0),
    "weights are forgotten": lambda x, w, m, s: rows(densities(x, m, s)),
    "read as a variance": lambda x, w, m, s: responsibilities(x, w, m, s.sqrt()),
    "1/std is missing": without_one_over_std,
    "½ in the exponent": lambda x, w, m, s: rows(w / s * torch.exp(-(((x[:, None] - m) / s) ** 2))),
    "log-responsibilities": lambda x, w, m, s: responsibilities(x, w, m, s).log(),
    "hard labels": lambda x, w, m, s: torch.nn.functional.one_hot(responsibilities(x, w, m, s).argmax(1)),
    "add its logarithm": lambda x, w, m, s: (w + Normal(m, s).log_prob(x[:, None])).softmax(1),
    "0/0 is NaN": lambda x, w, m, s: rows(w * densities(x, m, s)),
    "small number in the denominator": lambda x, w, m, s: (
        w * densities(x, m, s) / ((w * densities(x, m, s)).sum(1, True) + 1e-12)
    ),
    "the axes are not": lambda x, w, m, s: responsibilities(x, w, m, s).T,
    "row must sum to 1": lambda x, w, m, s: (w * densities(x, m, s)) / (w * densities(x, m, s)).sum(),
    "a wrong value": lambda x, w, m, s: responsibilities(x, w.flip(0), m, s),
    "which axis": lambda x, w, m, s: (w * densities(x, m, s)).sum(1),
}


def with_covariances(change):
    """A wrong M-step whose weights and means are right."""

    def wrong(x, resp):
        weights, means, covariances = m_step(x, resp)
        return weights, means, change(x, resp, means, covariances)

    return wrong


def n_k(resp):
    return resp.sum(0)[:, None, None]


M_STEP = {
    "weights are not divided by N": lambda x, resp: (resp.sum(0), *m_step(x, resp)[1:]),
    "your weights: a wrong shape": lambda x, resp: (resp.mean(1), *m_step(x, resp)[1:]),
    "means are divided by N:": lambda x, resp: (resp.mean(0), resp.T @ x / len(x), m_step(x, resp)[2]),
    "means are not divided by N_k": lambda x, resp: (resp.mean(0), resp.T @ x, m_step(x, resp)[2]),
    "mean of the data": lambda x, resp: (resp.mean(0), x.mean(0).repeat(3, 1), m_step(x, resp)[2]),
    "not centred": with_covariances(
        lambda x, resp, means, c: torch.einsum("nk,ni,nj->kij", resp, x, x) / n_k(resp)
    ),
    "mean of all data": with_covariances(
        lambda x, resp, means, c: (
            torch.einsum("nk,ni,nj->kij", resp, x - x.mean(0), x - x.mean(0)) / n_k(resp)
        )
    ),
    "covariances are divided by N:": with_covariances(lambda x, resp, means, c: c * n_k(resp) / len(x)),
    "N_k − 1": with_covariances(lambda x, resp, means, c: c * n_k(resp) / (n_k(resp) - 1)),
    "your covariances: a wrong value.": with_covariances(lambda x, resp, means, c: c * n_k(resp)),
    "resp is squared": with_covariances(
        lambda x, resp, means, c: torch.stack(
            [(d := resp[:, [k]] * (x - means[k])).T @ d / resp[:, k].sum() for k in range(3)]
        )
    ),
    "off the diagonal": with_covariances(
        lambda x, resp, means, c: torch.diag_embed(c.diagonal(dim1=1, dim2=2))
    ),
    "your covariances: a wrong shape": with_covariances(
        lambda x, resp, means, c: (resp.T @ x**2) / resp.sum(0)[:, None] - means**2,
    ),
    "your covariances: a wrong value": with_covariances(lambda x, resp, means, c: c + 1e-2 * torch.eye(2)),
    "return weights, means, cov": lambda x, resp: m_step(x, resp)[:2],
    "`return` line": lambda x, resp: None,
}


def pick(n, weights, generator):
    return torch.multinomial(weights, n, replacement=True, generator=generator)


def noise(n, generator):
    return torch.randn(n, generator=generator)


def added_up(n, weights, means, stds, generator):
    draws = means + stds * noise((n, 3), generator)  # (n, K)
    return draws @ weights


def one_component(n, weights, means, stds, generator):
    z = Categorical(weights).sample()
    return means[z] + stds[z] * noise(n, generator)


def one_seeded_component(n, weights, means, stds, generator):
    z = pick(1, weights, generator)
    return means[z] + stds[z] * noise(n, generator)


def one_noise(n, weights, means, stds, generator):
    return means[z := pick(n, weights, generator)] + stds[z] * noise(1, generator)


def rounded_counts_of_equal_size(n, weights, means, stds, generator):
    z = torch.arange(n) % 3
    return means[z] + stds[z] * noise(n, generator)


SAMPLE = {
    "weights are ignored": lambda n, w, m, s, g: sample_mixture(n, torch.ones_like(w), m, s, g),
    "weights are ignored: ": rounded_counts_of_equal_size,
    "read as a variance": lambda n, w, m, s, g: sample_mixture(n, w, m, s.sqrt(), g),
    "std is squared": lambda n, w, m, s, g: sample_mixture(n, w, m, s**2, g),
    "noise has scale 1": lambda n, w, m, s, g: sample_mixture(n, w, m, torch.ones_like(s), g),
    "added up": added_up,
    "makes all samples": one_seeded_component,
    "component 0 makes all samples": lambda n, w, m, s, g: m[w.argmax()] + s[w.argmax()] * noise(n, g),
    "few different values": one_noise,
    "few different values: ": lambda n, w, m, s, g: m[pick(n, w, g)],
    "same seed": lambda n, w, m, s, g: sample_mixture(n, w, m, s, None),
    "seed set inside": lambda n, w, m, s, g: sample_mixture(n, w, m, s, torch.Generator().manual_seed(0)),
    "histogram": lambda n, w, m, s, g: sample_mixture(n, w, m, s, g) + 0.3,
    "shape (20000, 3)": lambda n, w, m, s, g: m + s * noise((n, 3), g),
    "shape (20000, 1)": lambda n, w, m, s, g: sample_mixture(n, w, m, s, g)[:, None],
}


def with_package_e_step(x, weights, means, stds):
    return package_e_step(x[:, None], weights, means[:, None], stds[:, None] ** 2, covariance_type="diag")[0]


@pytest.mark.parametrize(
    ("check", "solution"),
    [
        (checks.responsibilities, responsibilities),
        (checks.responsibilities, with_package_e_step),
        (checks.responsibilities, lambda *given: responsibilities(*(value.float() for value in given))),
        (checks.m_step, m_step),
        (checks.m_step, package_m_step),
        (checks.m_step, lambda x, resp: list(m_step(x.float(), resp.float()))),
        (checks.sample_mixture, sample_mixture),
        (checks.sample_mixture, lambda *given: sample_mixture(*given).float()),
    ],
)
def test_right_answers_pass(check, solution):
    assert check(solution).status == "correct"


@pytest.mark.parametrize(
    ("check", "words", "wrong"),
    [(checks.responsibilities, *pair) for pair in RESPONSIBILITIES.items()]
    + [(checks.m_step, *pair) for pair in M_STEP.items()]
    + [(checks.sample_mixture, *pair) for pair in SAMPLE.items()],
)
def test_wrong_answers_are_named(check, words, wrong):
    result = check(wrong)
    assert result.status == "mistake"
    assert words in result.message


def test_one_component_without_the_generator_is_named():
    torch.manual_seed(0)  # the answer ignores its generator, so it is the global one that decides
    assert "generator=generator" in checks.sample_mixture(one_component).message
