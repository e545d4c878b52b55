"""L_b, its parts and its gap against scipy, torch.distributions, quadrature and each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch.distributions import (
    Bernoulli,
    Categorical,
    Independent,
    Laplace,
    MultivariateNormal,
    Normal,
    Uniform,
    kl_divergence,
)

from course_lib.probability.elbo import (
    Bound,
    LatentModel,
    LinearGaussian,
    elbo,
    importance_weighted_bound,
    log_posterior,
    mixture_model,
)
from course_lib.probability.em import e_step

EXACT = {"rtol": 0, "atol": 1e-10}  # what the design asks of float64 where P(x) is exact


@pytest.fixture(autouse=True)
def double():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def random_covariance(*shape: int) -> torch.Tensor:
    factor = torch.randn(*shape, shape[-1])
    return factor @ factor.mT + 0.2 * torch.eye(shape[-1])


# ---- mixtures: z is one of K ----


def mixture(k: int = 4, dim: int = 2):
    weights = torch.distributions.Dirichlet(torch.ones(k)).sample()
    return weights, 2 * torch.randn(k, dim), random_covariance(k, dim)


def scipys_log_joint(x, weights, means, covariances) -> np.ndarray:
    parts = [
        stats.multivariate_normal.logpdf(x.numpy(), m.numpy(), c.numpy()) + math.log(w)
        for w, m, c in zip(weights, means, covariances, strict=True)
    ]
    return np.stack(parts)  # (K, N)


@pytest.mark.parametrize("seed", range(5))
def test_for_any_q_over_a_mixture_the_bound_and_its_gap_add_up_to_log_px(seed):
    torch.manual_seed(seed)
    parameters, x = mixture(), 3 * torch.randn(7, 2)
    q = Categorical(torch.rand(7, 4))
    bound = elbo(mixture_model(*parameters), q, x)
    joint = scipys_log_joint(x, *parameters)  # (K, N)
    log_px = np.logaddexp.reduce(joint)
    posterior = Categorical(logits=torch.tensor(joint.T))
    torch.testing.assert_close(bound.log_px, torch.tensor(log_px), **EXACT)
    torch.testing.assert_close(
        bound.elbo + kl_divergence(q, posterior), torch.tensor(log_px), **EXACT
    )
    torch.testing.assert_close(bound.gap, kl_divergence(q, posterior), **EXACT)
    torch.testing.assert_close(bound.kl, kl_divergence(q, Categorical(parameters[0])), **EXACT)
    likelihood = torch.tensor(joint) - parameters[0].log()[:, None]
    torch.testing.assert_close(bound.reconstruction, (q.probs.T * likelihood).sum(0), **EXACT)
    assert bound.se.tolist() == [0] * 7
    assert bool((bound.gap > 0).all())


def test_the_e_step_closes_the_gap():
    parameters, x = mixture(), 3 * torch.randn(50, 2)
    model = mixture_model(*parameters)
    resp, log_px = e_step(x, *parameters)
    bound = elbo(model, Categorical(resp), x)
    torch.testing.assert_close(bound.gap, torch.zeros(50), **EXACT)
    torch.testing.assert_close(bound.elbo, log_px, **EXACT)
    torch.testing.assert_close(log_posterior(model, x).exp().T, resp, **EXACT)
    assert log_posterior(model, x).shape == (4, 50)


def test_one_q_for_all_points():
    parameters, x = mixture(), torch.randn(7, 2)
    probs, model = torch.rand(4), mixture_model(*parameters)
    one, each = elbo(model, Categorical(probs), x), elbo(model, Categorical(probs.expand(7, 4)), x)
    for name in ("reconstruction", "kl", "log_px", "se", "elbo", "gap"):
        assert getattr(one, name).shape == (7,)
        torch.testing.assert_close(getattr(one, name), getattr(each, name), **EXACT)


def test_classes_that_q_or_the_prior_rules_out():
    parameters, x = mixture(), torch.randn(5, 2)
    logits = torch.tensor([0.3, -math.inf, 1.0, -math.inf]).expand(5, 4).clone().requires_grad_()
    bound = elbo(mixture_model(*parameters), Categorical(logits=logits), x)
    kept = [0, 2]
    probs = Categorical(logits=logits).probs[:, kept]
    likelihood = (
        torch.tensor(scipys_log_joint(x, *parameters))[kept] - parameters[0][kept].log()[:, None]
    )
    torch.testing.assert_close(bound.reconstruction, (probs.T * likelihood).sum(0), **EXACT)
    torch.testing.assert_close(
        bound.kl, (probs * (probs.log() - parameters[0][kept].log())).sum(1), **EXACT
    )
    bound.elbo.sum().backward()
    assert bool(torch.isfinite(logits.grad).all())
    # a prior that rules out a class which q uses: infinitely wrong, not NaN
    never = Categorical(logits=torch.tensor([0.0, 0.0, -math.inf, 0.0]))
    wrong = elbo(
        LatentModel(never, mixture_model(*parameters).likelihood), Categorical(torch.ones(5, 4)), x
    )
    assert wrong.kl.tolist() == [math.inf] * 5
    assert bool(torch.isfinite(wrong.log_px).all())


def test_x_may_be_whole_numbers_or_bits():
    model = LatentModel(
        Categorical(torch.tensor([0.3, 0.7])),
        lambda k: Independent(Bernoulli(torch.tensor([[0.2, 0.9], [0.6, 0.5]])[k]), 1),
    )
    bound = elbo(model, Categorical(torch.ones(1, 2)), torch.tensor([[1.0, 0.0]]))
    # P = 0.3 · 0.2 · 0.1 + 0.7 · 0.6 · 0.5
    assert float(bound.log_px) == pytest.approx(math.log(0.216), abs=1e-12)
    expected = (
        0.5 * math.log(0.02)
        + 0.5 * math.log(0.3)
        - 0.5 * math.log(0.5 / 0.3)
        - 0.5 * math.log(0.5 / 0.7)
    )
    assert float(bound.elbo) == pytest.approx(expected, abs=1e-12)


# ---- linear-Gaussian: everything in closed form ----


def linear(d: int = 2, dim: int = 5) -> LinearGaussian:
    return LinearGaussian.create(torch.randn(dim, d), torch.randn(dim), 0.3)


def gaussian_q(kind: str, n: int, d: int):
    if kind == "full":
        return MultivariateNormal(torch.randn(n, d), random_covariance(n, d))
    if kind == "diagonal":
        return Independent(Normal(torch.randn(n, d), torch.rand(n, d) + 0.1), 1)
    return Independent(Normal(torch.randn(d), torch.rand(d) + 0.1), 1)  # one for all


@pytest.mark.parametrize("kind", ["full", "diagonal", "one for all"])
@pytest.mark.parametrize("d", [1, 2, 4])
def test_for_any_gaussian_q_the_bound_and_its_gap_add_up_to_log_px(kind, d):
    model, x = linear(d), 2 * torch.randn(7, 5)
    q = gaussian_q(kind, 7, d)
    bound = elbo(model, q, x)
    spread = (model.weight @ model.weight.T + 0.3 * torch.eye(5)).numpy()
    log_px = stats.multivariate_normal.logpdf(x.numpy(), model.bias.numpy(), spread)
    torch.testing.assert_close(bound.log_px, torch.tensor(log_px), **EXACT)
    full_q = q if kind == "full" else MultivariateNormal(q.mean, torch.diag_embed(q.variance))
    # the posterior by conditioning the joint Gaussian of (z, x): another way than the model's own
    gain = model.weight.T @ torch.tensor(np.linalg.inv(spread))
    posterior = MultivariateNormal((x - model.bias) @ gain.T, torch.eye(d) - gain @ model.weight)
    gap = kl_divergence(full_q, posterior)
    torch.testing.assert_close(bound.gap, gap, **EXACT)
    torch.testing.assert_close(bound.elbo + gap, torch.tensor(log_px), **EXACT)
    standard = MultivariateNormal(torch.zeros(d), torch.eye(d))
    torch.testing.assert_close(bound.kl, kl_divergence(full_q, standard).expand(7), **EXACT)
    assert all(
        getattr(bound, name).shape == (7,) for name in ("reconstruction", "kl", "log_px", "se")
    )


def test_the_linear_models_own_posterior_closes_the_gap():
    model, x = linear(3), torch.randn(9, 5)
    torch.testing.assert_close(elbo(model, model.true_posterior(x), x).gap, torch.zeros(9), **EXACT)


def test_the_reconstruction_is_the_squared_error_when_q_is_sharp():
    model, x = linear(), torch.randn(6, 5)
    z = torch.randn(6, 2)
    bound = elbo(model, Independent(Normal(z, 1e-8), 1), x)
    squared = ((x - z @ model.weight.T - model.bias) ** 2).sum(1)
    constant = -2.5 * math.log(2 * math.pi * 0.3)
    torch.testing.assert_close(bound.reconstruction, constant - squared / 0.6, **EXACT)


def test_closed_form_agrees_with_monte_carlo_and_other_qs_are_left_to_it():
    model, x = linear(), torch.randn(6, 5)
    q = gaussian_q("diagonal", 6, 2)
    drawn = elbo(model, q, x, samples=20_000)
    assert drawn.log_px is None
    # six draws, seed fixed
    assert float(((elbo(model, q, x).elbo - drawn.elbo) / drawn.se).abs().max()) < 4
    with pytest.raises(
        ValueError, match=r"no closed form for this bound. Pass grid=… .* or samples=…"
    ):
        elbo(model, Independent(Laplace(torch.zeros(6, 2), torch.ones(6, 2)), 1), x)


# ---- z of one number: quadrature ----

GRID = torch.linspace(-10, 10, 2001, dtype=torch.float64)
CURVED = {
    "sine": lambda z: Normal(torch.sin(2 * z), 0.3),
    "spread grows": lambda z: Normal(z, 0.2 + z**2),
    "jump": lambda z: Normal(torch.tanh(20 * z), 0.5),
}


@pytest.mark.parametrize("decoder", CURVED)
@pytest.mark.parametrize("prior", [Normal(0.0, 1.0), Normal(0.5, 0.7), Laplace(0.0, 0.5)])
def test_a_one_dimensional_decoder_by_quadrature(decoder, prior):
    prior = type(prior)(prior.loc.double(), prior.scale.double())
    model, x = LatentModel(prior, CURVED[decoder]), torch.tensor([-1.2, 0.1, 0.8])
    q = Normal(torch.tensor([-0.5, 0.0, 0.6]), torch.tensor([0.3, 1.0, 0.6]))
    kinked = isinstance(prior, Laplace)
    bound = elbo(model, q, x, grid=torch.linspace(-10, 10, 20_001) if kinked else GRID)
    # the trapezoid rule leaves h² / 12 times the kink's change of slope:
    # 1e-6 / 12 · 4, relative to P(x)
    tolerance = 2e-6 if kinked else 1e-8

    def integral(f, n):
        return integrate.quad(
            lambda z: f(torch.tensor(z), n), -10, 10, points=[-0.5, 0, 0.5], limit=400
        )[0]

    def q_n(n):
        return Normal(q.loc[n], q.scale[n])

    for n in range(3):
        px = integral(
            lambda z, n: float((prior.log_prob(z) + CURVED[decoder](z).log_prob(x[n])).exp()), n
        )
        assert float(bound.log_px[n]) == pytest.approx(math.log(px), abs=tolerance)
        rec = integral(
            lambda z, n: float(q_n(n).log_prob(z).exp() * CURVED[decoder](z).log_prob(x[n])), n
        )
        assert float(bound.reconstruction[n]) == pytest.approx(rec, abs=tolerance)
        kl = integral(
            lambda z, n: float(q_n(n).log_prob(z).exp() * (q_n(n).log_prob(z) - prior.log_prob(z))),
            n,
        )
        assert float(bound.kl[n]) == pytest.approx(kl, abs=tolerance)


def test_on_a_grid_the_gap_is_the_kl_to_the_posterior_and_a_posterior_closes_it():
    model, x = LatentModel(Normal(0.0, 1.0), CURVED["sine"]), torch.tensor([0.4, -0.9])
    q = Normal(torch.tensor([0.0, 0.5]), torch.tensor([0.8, 0.4]))
    log_post = log_posterior(model, x, grid=GRID)  # (G, N)
    assert log_post.shape == (2001, 2)
    torch.testing.assert_close(torch.trapezoid(log_post.exp(), GRID, dim=0), torch.ones(2), **EXACT)
    log_q = q.log_prob(GRID[:, None])
    gap = torch.trapezoid(log_q.exp() * (log_q - log_post), GRID, dim=0)
    torch.testing.assert_close(elbo(model, q, x, grid=GRID).gap, gap, **EXACT)
    # x = z + noise: the posterior is N(x/2, 1/2)
    conjugate = LatentModel(Normal(0.0, 1.0), lambda z: Normal(z, 1.0))
    bound = elbo(conjugate, Normal(x / 2, math.sqrt(0.5)), x, grid=GRID)
    torch.testing.assert_close(bound.gap, torch.zeros(2), **EXACT)
    torch.testing.assert_close(bound.log_px, Normal(0.0, math.sqrt(2)).log_prob(x), **EXACT)


def test_an_uneven_grid_does_as_well():
    model, x = LatentModel(Normal(0.0, 1.0), CURVED["sine"]), torch.tensor([0.4, -0.9])
    q = Normal(torch.zeros(2), torch.ones(2))
    uneven = torch.cat([torch.linspace(-10, -1, 1500)[:-1], torch.linspace(-1, 10, 9000)])
    even, other = elbo(model, q, x, grid=GRID), elbo(model, q, x, grid=uneven)
    # the trapezoid rule's error is h²/12 times the change of slope where the step h changes:
    # 6e-3² / 12
    torch.testing.assert_close(other.elbo, even.elbo, rtol=0, atol=3e-5)


def test_a_uniform_prior_on_a_grid_that_ends_where_it_ends():
    prior, x = Uniform(-1.0, 2.0), torch.tensor([0.3, 1.9, -2.0])
    model = LatentModel(prior, lambda z: Normal(z, 0.5))
    bound = elbo(
        model,
        Uniform(torch.full((3,), -1.0), torch.full((3,), 2.0)),
        x,
        grid=torch.linspace(-1, 2, 3001),
    )
    # ∫ N(x; z, ½) dz / 3, in closed form
    normal = stats.norm(x.numpy(), 0.5)
    log_px = np.log((normal.cdf(2) - normal.cdf(-1)) / 3)
    np.testing.assert_allclose(
        bound.log_px, log_px, atol=1e-5
    )  # the trapezoid rule's h² / 12 · slope, relative
    torch.testing.assert_close(bound.kl, torch.zeros(3), **EXACT)
    # E over z uniform of −(x − z)²: in closed form too
    cubes = ((2 - x) ** 3 - (-1 - x) ** 3) / 9
    expected = -0.5 * math.log(2 * math.pi * 0.25) - cubes / 0.5
    torch.testing.assert_close(bound.reconstruction, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("grid", "q", "words"),
    [
        (torch.linspace(-1, 1, 2001), Normal(0.0, 1.0), "On this grid, q integrates to 0.6"),
        (
            torch.linspace(-3, 3, 2001),
            Normal(0.0, 0.1),
            "On this grid, the prior integrates to 0.997",
        ),
        (torch.linspace(-10, 10, 21), Normal(0.0, 0.01), "Make the grid wider or finer"),
        (GRID.flip(0), Normal(0.0, 1.0), "grid must be a strictly increasing tensor"),
        (torch.zeros(5), Normal(0.0, 1.0), "grid must be a strictly increasing tensor"),
        (GRID[:, None], Normal(0.0, 1.0), r"of shape \(G,\), and z must be a scalar"),
    ],
)
def test_a_grid_that_would_give_a_wrong_number_is_refused(grid, q, words):
    model = LatentModel(Normal(0.0, 1.0), CURVED["sine"])
    q = Normal(q.loc.double(), q.scale.double())
    with pytest.raises(ValueError, match=words):
        elbo(model, q, torch.zeros(2), grid=grid.double())


# ---- Monte Carlo ----


def sine_problem():
    model, x = LatentModel(Normal(0.0, 1.0), CURVED["sine"]), torch.tensor([0.4, -0.9, 1.3])
    return model, Normal(torch.tensor([0.3, -0.5, 0.8]), torch.tensor([0.8, 0.4, 0.3])), x


class OwnNormal(Normal):
    """A normal whose KL torch does not know, so that it is drawn as well."""


@torch.distributions.register_kl(OwnNormal, Normal)
def _unknown(q, p):
    raise NotImplementedError


@pytest.mark.parametrize("own", [False, True])
def test_monte_carlo_is_right_within_its_standard_error(own):
    model, q, x = sine_problem()
    exact = elbo(model, q, x, grid=GRID)
    if own:
        q = OwnNormal(q.loc, q.scale)
    deviations = []
    for seed in range(20):
        torch.manual_seed(seed)
        drawn = elbo(model, q, x, samples=4000)
        deviations.append((drawn.elbo - exact.elbo) / drawn.se)
        if not own:
            torch.testing.assert_close(drawn.kl, exact.kl, **EXACT)
    deviations = torch.stack(deviations)  # 60 of them, standard normal
    assert float(deviations.abs().max()) < 4  # chance of a right program failing: 60 · 6e-5 = 0.4 %
    # their mean has a standard error of 1/√60, their standard deviation one of 1/√120: four of each
    assert abs(float(deviations.mean())) < 4 / math.sqrt(60)
    assert abs(float(deviations.std()) - 1) < 4 / math.sqrt(120)


@pytest.mark.parametrize("own", [False, True])
def test_the_standard_error_is_the_spread_over_repeats(own):
    model, q, x = sine_problem()
    q = OwnNormal(q.loc, q.scale) if own else q
    bounds = [elbo(model, q, x, samples=200) for _ in range(400)]
    spread = torch.stack([b.elbo for b in bounds]).std(0)
    stated = torch.stack([b.se for b in bounds]).square().mean(0).sqrt()
    # a standard deviation from 400 repeats is known to 1/√800 = 3.5 %: four of those
    torch.testing.assert_close(spread / stated, torch.ones(3), rtol=0, atol=0.14)
    of_mean = torch.stack([b.mean().elbo for b in bounds]).std()
    stated = torch.stack([b.mean().se for b in bounds]).square().mean().sqrt()
    assert float(of_mean / stated) == pytest.approx(1, abs=0.14)


def test_monte_carlo_over_classes_and_with_one_q_for_all():
    parameters, x = mixture(), torch.randn(6, 2)
    model = mixture_model(*parameters)
    for q in (Categorical(torch.rand(6, 4)), Categorical(torch.rand(4))):
        exact, drawn = elbo(model, q, x), elbo(model, q, x, samples=20_000)
        assert drawn.elbo.shape == drawn.kl.shape == (6,)
        assert float(((drawn.elbo - exact.elbo) / drawn.se).abs().max()) < 4
    lin = linear()
    q = gaussian_q("one for all", 5, 2)
    drawn = elbo(lin, q, x5 := torch.randn(5, 5), samples=20_000)
    assert float(((drawn.elbo - elbo(lin, q, x5).elbo) / drawn.se).abs().max()) < 4


def test_the_gap_is_not_made_up_where_log_px_is_unknown():
    model, q, x = sine_problem()
    with pytest.raises(ValueError, match="The gap requires log P"):
        _ = elbo(model, q, x, samples=10).gap


# ---- the importance-weighted bound ----


def test_the_importance_weighted_bound_rises_from_the_elbo_to_log_px():
    model, _, x = sine_problem()
    q = Normal(torch.zeros(3), torch.ones(3))  # far from the posterior: the bounds differ
    exact = elbo(model, q, x, grid=GRID)
    means, errors = [], []
    for k in (1, 4, 16, 64):
        draws = torch.stack([importance_weighted_bound(model, q, x, k) for _ in range(2000)])
        assert draws.shape == (2000, 3)
        means.append(draws.mean(0))
        errors.append(draws.std(0) / math.sqrt(2000))
    assert bool(((means[0] - exact.elbo).abs() < 4 * errors[0]).all())  # k = 1 is a draw of L_b
    for low, high, se_low, se_high in zip(means, means[1:], errors, errors[1:], strict=False):
        assert bool((high - low > 2 * (se_low**2 + se_high**2).sqrt()).all())
    assert bool((means[-1] < exact.log_px + 4 * errors[-1]).all())
    many = importance_weighted_bound(model, q, x, 200_000, at_once=10_000)
    # the weights' relative spread is about 2:
    # 200,000 draws know their mean to 2 / √200,000 = 0.0045
    torch.testing.assert_close(many, exact.log_px, rtol=0, atol=4 * 0.0045)


def test_large_images_pass_through_the_model_a_few_draws_at_a_time():
    """In float64, one copy of 200 digits for 50 draws is 63 MB; a likelihood makes several."""
    x = torch.zeros(200, 784)
    model = linear(d=2, dim=784)
    seen = []

    def likelihood(z):
        seen.append(z.shape[0] * x.numel())
        return model.likelihood(z)

    watched = LatentModel(model.prior, likelihood)
    q = model.true_posterior(x)
    importance_weighted_bound(watched, q, x, 30)
    assert max(seen) <= 500_000
    assert len(seen) == 10  # three draws at a time

    seen.clear()
    importance_weighted_bound(watched, q, x, 30, at_once=30)  # whoever names a number gets it
    assert seen == [30 * x.numel()]


def test_drawing_in_chunks_is_the_same_estimate():
    model, q, x = sine_problem()
    chunked = torch.stack(
        [importance_weighted_bound(model, q, x, 10, at_once=3) for _ in range(2000)]
    )
    together = torch.stack(
        [importance_weighted_bound(model, q, x, 10, at_once=10) for _ in range(2000)]
    )
    for n in range(3):
        assert stats.ks_2samp(chunked[:, n], together[:, n]).pvalue > 1e-3
    torch.manual_seed(3)
    first = importance_weighted_bound(model, q, x, 10, at_once=1)
    torch.manual_seed(3)
    z = torch.stack([q.rsample() for _ in range(10)])
    log_w = model.likelihood(z).log_prob(x) + model.prior.log_prob(z) - q.log_prob(z)
    torch.testing.assert_close(first, torch.tensor(np.log(np.exp(log_w.numpy()).mean(0))), **EXACT)


def test_with_the_posterior_one_draw_is_enough():
    model, x = linear(), torch.randn(4, 5)
    q = model.true_posterior(x)
    torch.testing.assert_close(importance_weighted_bound(model, q, x, 1), model.log_px(x), **EXACT)
    torch.testing.assert_close(
        importance_weighted_bound(model, q, x, 7, at_once=2), model.log_px(x), **EXACT
    )


def test_the_importance_weighted_bound_has_a_gradient():
    model, _, x = sine_problem()
    mu = torch.zeros(3, requires_grad=True)
    importance_weighted_bound(model, Normal(mu, 0.5), x, 7, at_once=2).sum().backward()
    assert bool(torch.isfinite(mu.grad).all())
    assert bool((mu.grad != 0).all())


# ---- gradients: the same function trains q and the model ----


def test_gradients_are_those_of_finite_differences():
    x, x5 = torch.randn(3), torch.randn(3, 5)
    mu, log_sigma = torch.randn(3, requires_grad=True), (0.3 * torch.randn(3)).requires_grad_()
    model = LatentModel(Normal(0.0, 1.0), CURVED["sine"])

    def on_grid(mu, log_sigma):
        return elbo(model, Normal(mu, log_sigma.exp()), x, grid=GRID).elbo

    assert torch.autograd.gradcheck(on_grid, (mu, log_sigma))

    def exact(logits, means):
        mixture = LatentModel(Categorical(torch.ones(4)), lambda k: Normal(means[k], 1.0))
        return elbo(mixture, Categorical(logits=logits), x).elbo

    assert torch.autograd.gradcheck(
        exact, (torch.randn(3, 4, requires_grad=True), torch.randn(4, requires_grad=True))
    )

    def closed(mean, log_sigma, weight, log_variance):
        lin = LinearGaussian.create(weight, torch.zeros(5), log_variance.exp())
        bound = elbo(lin, Independent(Normal(mean, log_sigma.exp()), 1), x5)
        return bound.elbo, bound.log_px

    shapes = ((3, 2), (3, 2), (5, 2), ())
    assert torch.autograd.gradcheck(
        closed, tuple(torch.randn(s).mul(0.5).requires_grad_() for s in shapes)
    )


def test_climbing_the_bound_closes_the_gap_and_leaves_log_px_alone():
    model, x = LatentModel(Normal(0.0, 1.0), lambda z: Normal(z, 1.0)), torch.tensor([1.0, -2.0])
    mu, log_sigma = torch.zeros(2, requires_grad=True), torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.Adam([mu, log_sigma], lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        bound = elbo(model, Normal(mu, log_sigma.exp()), x, grid=GRID)
        (-bound.elbo.sum()).backward()
        optimizer.step()
    torch.testing.assert_close(bound.log_px, Normal(0.0, math.sqrt(2)).log_prob(x), **EXACT)
    assert float(bound.gap.max().detach()) < 1e-6
    torch.testing.assert_close(mu.detach(), x / 2, rtol=0, atol=1e-3)


def test_the_drawn_bounds_gradient_is_on_average_the_exact_one():
    model, _, x = sine_problem()
    mu = torch.tensor([0.3, -0.5, 0.8], requires_grad=True)
    (exact,) = torch.autograd.grad(elbo(model, Normal(mu, 0.5), x, grid=GRID).elbo.sum(), mu)
    drawn = torch.stack(
        [
            torch.autograd.grad(elbo(model, Normal(mu, 0.5), x, samples=20).elbo.sum(), mu)[0]
            for _ in range(500)
        ]
    )
    assert bool(((drawn.mean(0) - exact).abs() < 4 * drawn.std(0) / math.sqrt(500)).all())


# ---- the mean, and what does not fit ----


def test_the_mean_over_points():
    bound = Bound(
        torch.tensor([1.0, 3.0]),
        torch.tensor([0.5, 1.5]),
        torch.tensor([2.0, 4.0]),
        torch.tensor([0.3, 0.4]),
    )
    mean = bound.mean()
    assert (float(mean.reconstruction), float(mean.kl), float(mean.log_px)) == (2, 1, 3)
    assert (float(mean.elbo), float(mean.gap)) == (1, 2)
    assert float(mean.se) == pytest.approx(0.25)  # √(0.3² + 0.4²) / 2
    assert Bound(bound.reconstruction, bound.kl, None, bound.se).mean().log_px is None


def test_what_does_not_fit_together_is_named():
    x5, many = torch.randn(7, 5), torch.zeros(7, 2)
    lin = linear()
    no_wrap = Normal(many, torch.ones(7, 2))
    q = Independent(no_wrap, 1)
    cases = [
        (
            lin,
            no_wrap,
            r"q has event shape \(\), and the prior has event shape \(2,\) .*Independent",
        ),
        (
            LatentModel(Normal(torch.zeros(2), 1.0), lin.likelihood),
            q,
            r"batch shape \(2,\).*wrap q and the prior",
        ),
        (
            LatentModel(lin.prior, lambda z: Normal(z @ lin.weight.T, 1.0)),
            q,
            r"event shape \(\), but each x has shape \(5,\)\. Wrap the likelihood in Indep",
        ),
        (
            lin,
            Independent(Normal(torch.zeros(3, 2), 1.0), 1),
            r"q must have batch shape \(\) or, with one distribution per x, \(7,\), but got \(3,\)",
        ),
    ]
    for model, bad_q, words in cases:
        with pytest.raises(ValueError, match=words):
            elbo(model, bad_q, x5, samples=5)
        with pytest.raises(ValueError, match=words):
            importance_weighted_bound(model, bad_q, x5, 5)
    with pytest.raises(ValueError, match="z must be a scalar"):
        elbo(lin, q, x5, grid=GRID)
    for samples in (1, 0):
        with pytest.raises(
            ValueError, match=f"samples must be an integer of at least 2, but got {samples}"
        ):
            elbo(lin, q, x5, samples=samples)
    with pytest.raises(ValueError, match="at least 1, but got k=0"):
        importance_weighted_bound(lin, q, x5, 0)
    with pytest.raises(ValueError, match="no closed form for this bound"):
        log_posterior(LatentModel(lin.prior, lin.likelihood), x5)


def test_bytes_and_parts_of_draws_are_named():
    model = LinearGaussian.create(torch.ones(3, 2), torch.zeros(3), 0.5)
    q, x = model.true_posterior(torch.zeros(4, 3)), torch.full((4, 3), 200, dtype=torch.uint8)
    for measure in (lambda: elbo(model, q, x), lambda: importance_weighted_bound(model, q, x, 3)):
        with pytest.raises(
            ValueError, match=r"x must contain pixels in \[0, 1\], but it contains bytes above 1"
        ):
            measure()
    for samples in (1, 2.5, True):
        with pytest.raises(
            ValueError, match=f"samples must be an integer of at least 2, but got {samples}"
        ):
            elbo(model, q, x / 255, samples=samples)
    for k in (0, 2.5):
        with pytest.raises(ValueError, match=f"at least 1, but got k={k}"):
            importance_weighted_bound(model, q, x / 255, k)
