"""Log-densities and KLs of Gaussians against scipy, torch.distributions and quadrature."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from course_lib.probability.gaussians import (
    cholesky,
    kl_diag,
    kl_full,
    log_prob_diag,
    log_prob_full,
)

# Both sides are float64 sums of a few dozen terms of size 1 to 100:
# they agree to some 1e-14 of their size.
SAME = {"rtol": 1e-12, "atol": 1e-12}


def covariance(rng: np.random.Generator, dim: int) -> np.ndarray:
    factor = rng.normal(size=(dim, dim))
    return factor @ factor.T + 0.1 * np.eye(dim)


@pytest.mark.parametrize("dim", [1, 2, 7])
def test_log_prob_diag_is_the_sum_of_scipys(dim):
    rng = np.random.default_rng(dim)
    x, mu, logvar = rng.normal(size=(3, 5, dim)) * 2
    ours = log_prob_diag(*map(torch.tensor, (x, mu, logvar)))
    theirs = stats.norm.logpdf(x, mu, np.exp(logvar / 2)).sum(-1)
    np.testing.assert_allclose(ours, theirs, **SAME)


def test_log_prob_diag_broadcasts_points_against_components():
    rng = np.random.default_rng(0)
    x, mu = torch.tensor(rng.normal(size=(6, 1, 3))), torch.tensor(rng.normal(size=(4, 3)))
    ours = log_prob_diag(x, mu, torch.tensor([0.3, -1.0, 2.0]).double())
    assert ours.shape == (6, 4)
    one = stats.multivariate_normal.logpdf(x[2, 0], mu[3], np.diag(np.exp([0.3, -1.0, 2.0])))
    # the float32 logvar that was given carries 1e-7
    assert float(ours[2, 3]) == pytest.approx(one, abs=1e-6)


def test_log_prob_diag_takes_numbers_and_does_not_truncate_them_for_integer_points():
    whole = log_prob_diag(torch.tensor([1, 2]), 0.5, 0.3)
    assert float(whole) == pytest.approx(
        stats.norm.logpdf([1, 2], 0.5, math.exp(0.15)).sum(), abs=1e-5
    )


@pytest.mark.parametrize("dim", [1, 3, 20])
def test_log_prob_full_is_scipys(dim):
    rng = np.random.default_rng(dim)
    x, mean, spread = rng.normal(size=(4, 6, dim)), rng.normal(size=dim), covariance(rng, dim)
    ours = log_prob_full(*map(torch.tensor, (x, mean, spread)))
    assert ours.shape == (4, 6)
    np.testing.assert_allclose(
        ours, stats.multivariate_normal.logpdf(x, mean, spread).reshape(4, 6), rtol=1e-10
    )  # the covariances have condition numbers of up to 1e3
    alone = log_prob_full(torch.tensor(x[1, 2]), torch.tensor(mean), torch.tensor(spread))
    assert alone.shape == ()
    torch.testing.assert_close(alone, ours[1, 2])


def test_log_prob_full_of_a_diagonal_covariance_is_log_prob_diag():
    rng = np.random.default_rng(1)
    x, mean, logvar = (torch.tensor(rng.normal(size=s)) for s in ((9, 4), (4,), (4,)))
    full = log_prob_full(x, mean, torch.diag(logvar.exp()))
    torch.testing.assert_close(full, log_prob_diag(x, mean, logvar), **SAME)


@pytest.mark.parametrize(
    ("mu", "logvar", "mu_p", "logvar_p"), [(0.7, -1.0, 0.0, 0.0), (-2.0, 0.5, 1.0, -0.3)]
)
def test_kl_diag_is_the_integral_that_defines_it(mu, logvar, mu_p, logvar_p):
    q, p = stats.norm(mu, math.exp(logvar / 2)), stats.norm(mu_p, math.exp(logvar_p / 2))
    integral, _ = integrate.quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), mu - 12, mu + 12)
    ours = kl_diag(*(torch.tensor([v], dtype=torch.float64) for v in (mu, logvar)), mu_p, logvar_p)
    assert float(ours) == pytest.approx(integral, abs=1e-8)  # what quad promises by default


def test_kl_diag_is_torchs():
    rng = np.random.default_rng(2)
    mu, logvar, mu_p, logvar_p = (torch.tensor(v) for v in rng.normal(size=(4, 5, 3)))
    q, p = Normal(mu, (logvar / 2).exp()), Normal(mu_p, (logvar_p / 2).exp())
    theirs = kl_divergence(q, p).sum(-1)
    torch.testing.assert_close(kl_diag(mu, logvar, mu_p, logvar_p), theirs, **SAME)
    standard = kl_divergence(q, Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(kl_diag(mu, logvar), standard, **SAME)


@pytest.mark.parametrize("dim", [1, 2, 8])
def test_kl_full_is_torchs_and_kl_diags(dim):
    rng = np.random.default_rng(dim)
    means = [torch.tensor(rng.normal(size=dim)) for _ in range(2)]
    spreads = [torch.tensor(covariance(rng, dim)) for _ in range(2)]
    q, p = (MultivariateNormal(m, c) for m, c in zip(means, spreads, strict=True))
    ours = kl_full(means[0], spreads[0], means[1], spreads[1])
    torch.testing.assert_close(ours, kl_divergence(q, p), rtol=1e-10, atol=1e-10)
    logvars = [c.diagonal().log() for c in spreads]
    flat = kl_full(means[0], torch.diag(logvars[0].exp()), means[1], torch.diag(logvars[1].exp()))
    torch.testing.assert_close(flat, kl_diag(means[0], logvars[0], means[1], logvars[1]), **SAME)


numbers = st.floats(-20, 20)


@given(mu=numbers, logvar=numbers, mu_p=numbers, logvar_p=numbers)
def test_kl_diag_is_never_negative_and_0_only_when_equal(mu, logvar, mu_p, logvar_p):
    args = [torch.tensor([v], dtype=torch.float64) for v in (mu, logvar, mu_p, logvar_p)]
    kl = float(kl_diag(*args))
    assert kl >= 0
    assert float(kl_diag(args[0], args[1], args[0], args[1])) == 0
    # the KL is about d² / 4 for a difference d of the log-variances: d = 1e-3 is far above rounding
    if abs(logvar - logvar_p) > 1e-3 or abs(mu - mu_p) * math.exp(-logvar_p / 2) > 1e-3:
        assert kl > 1e-8


@given(seed=st.integers(0, 10**6), dim=st.integers(1, 6))
def test_kl_full_is_never_negative_and_0_when_equal(seed, dim):
    rng = np.random.default_rng(seed)
    means = [torch.tensor(rng.normal(size=dim)) for _ in range(2)]
    spreads = [torch.tensor(covariance(rng, dim)) for _ in range(2)]
    assert float(kl_full(means[0], spreads[0], means[1], spreads[1])) > 0
    # zero up to rounding: dim terms of size 1, multiplied by condition numbers up to 1e3
    assert abs(float(kl_full(means[0], spreads[0], means[0], spreads[0]))) < 1e-11


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_kl_diag_keeps_its_digits_when_the_variances_nearly_agree(dtype):
    # e^d − 1 − d = d²/2 + d³/6 + …; with exp instead of expm1 float64 has no digit left at d = 1e-7
    d = torch.tensor([[1e-3 if dtype == torch.float32 else 1e-5]], dtype=dtype)
    series = 0.5 * (d.double() ** 2 / 2 + d.double() ** 3 / 6)
    kl = kl_diag(torch.zeros_like(d), d).double()
    # expm1's own rounding is eps·d, and d²/2 is left of it: a relative error of about 2 eps / d
    torch.testing.assert_close(
        kl, series.sum(-1), rtol=4 * torch.finfo(dtype).eps / float(d), atol=0
    )


def test_the_kls_are_not_symmetric():
    a = kl_diag(torch.zeros(1), torch.tensor([2.0]))
    b = kl_diag(torch.zeros(1), torch.zeros(1), 0.0, 2.0)
    assert abs(float(a - b)) > 1


def test_gradients_are_those_of_finite_differences():
    rng = np.random.default_rng(3)
    mu, logvar, x = (torch.tensor(v, requires_grad=True) for v in rng.normal(size=(3, 4)))
    assert torch.autograd.gradcheck(log_prob_diag, (x, mu, logvar))
    assert torch.autograd.gradcheck(kl_diag, (mu, logvar))
    spread = torch.tensor(covariance(rng, 4), requires_grad=True)

    def symmetric(x, mean, c):
        return log_prob_full(x, mean, (c + c.T) / 2)

    assert torch.autograd.gradcheck(symmetric, (x, mu, spread))


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        ([[1.0, 2.0], [2.0, 1.0]], "not positive definite"),
        ([[1.0, 1.0], [1.0, 1.0]], "not positive definite"),
        ([[0.0, 0.0], [0.0, 0.0]], "Add a small positive number to its diagonal"),
        ([[math.nan, 0.0], [0.0, 1.0]], "not positive definite"),
        ([[1.0, 0.5], [0.0, 1.0]], "not symmetric"),
    ],
)
def test_a_matrix_that_is_no_covariance_is_named(matrix, words):
    bad, good, zero = torch.tensor(matrix), torch.eye(2), torch.zeros(2)
    calls = [
        lambda: cholesky(bad),
        lambda: log_prob_full(zero, zero, bad),
        lambda: kl_full(zero, bad, zero, good),
        lambda: kl_full(zero, good, zero, bad),
        lambda: cholesky(torch.stack([good, bad])),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=words):
            call()


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_symmetry_is_judged_beside_the_matrix_s_own_numbers(scale):
    """In a large covariance rounding is no slip, and in a small one a slip is no rounding."""
    rounded = scale * torch.tensor([[2.0, 0.5], [0.5 + 1e-6, 1.0]]).double()
    slip = scale * torch.tensor([[2.0, 0.5], [0.4, 1.0]]).double()
    cholesky(rounded)
    with pytest.raises(ValueError, match="not symmetric"):
        cholesky(slip)


def test_symmetry_is_judged_in_each_matrix_for_itself():
    large = torch.tensor([[1e4, 0.0], [0.0, 1e4]])
    slip = torch.tensor([[2.0, 0.5], [0.4, 1.0]])
    with pytest.raises(ValueError, match="not symmetric"):
        cholesky(torch.stack([large, slip]))
