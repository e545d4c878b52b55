"""The lower bound L_b on log P(x), its two terms and its gap, for any model and any q, in nats.

    log P(x)  =  L_b + KL(q(z|x) ‖ P(z|x)),        L_b  =  E_q[log P(x|z)] − KL(q(z|x) ‖ P(z))

The first equation holds for every q. The expectation over z is exact if z is one of K classes, or
if the model is linear-Gaussian and q is Gaussian. For a scalar z, the expectation can be computed
by quadrature. In all other cases, the expectation is estimated by Monte Carlo.
Sources: Kingma & Welling 2014, equations 1–3; Neal & Hinton 1998 for EM as the maximization of
the same bound.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, MultivariateNormal, Normal
from torch.nn.functional import pad

from course_lib import require

MASS_TOLERANCE = 1e-6  # the largest error allowed when q or the prior is integrated over the grid
DRAWS_AT_ONCE = 50
# Values of x per block of draws: 4 MB in float64, which fits in a CPU cache.
NUMBERS_AT_ONCE = 500_000


@dataclass(frozen=True)
class LatentModel:
    """A model P(x) = ∫ P(z) P(x|z) dz, defined by a prior over z and the likelihood of x given z.

    `likelihood` maps z of shape (..., [d]) to a torch distribution whose batch shape is (...) and
    whose event shape is the shape of one x. The prior may be any torch distribution; a Categorical
    prior gives a finite mixture.
    """

    prior: Distribution
    likelihood: Callable[[Tensor], Distribution]


@dataclass(frozen=True)
class Bound:
    """The bound L_b for each x, split into its two terms.

    All fields have shape (N,) and are in nats. `reconstruction` is E_q[log P(x|z)], and `kl` is
    KL(q(z|x) ‖ P(z)). `log_px` is log P(x), or None if the bound is a Monte Carlo estimate. `se` is
    the standard error of L_b, or 0 if nothing was sampled.
    """

    reconstruction: Tensor
    kl: Tensor
    log_px: Tensor | None
    se: Tensor

    @property
    def elbo(self) -> Tensor:
        """The bound L_b = reconstruction − kl, of shape (N,)."""
        return self.reconstruction - self.kl

    @property
    def gap(self) -> Tensor:
        """The gap log P(x) − L_b = KL(q(z|x) ‖ P(z|x)), of shape (N,).

        Raises ValueError if log P(x) is unknown.
        """
        if self.log_px is None:
            raise ValueError(
                "The gap requires log P(x), which a Monte Carlo estimate of the bound does not "
                "provide. If z is a scalar, pass a grid; otherwise, bound log P(x) with "
                "importance_weighted_bound."
            )
        return self.log_px - self.elbo

    def mean(self) -> "Bound":
        """Return the average of the bound over the N points, as a Bound of scalars."""
        se = self.se.square().sum().sqrt() / self.se.numel()
        log_px = None if self.log_px is None else self.log_px.mean()
        return Bound(self.reconstruction.mean(), self.kl.mean(), log_px, se)


def mixture_model(weights: Tensor, means: Tensor, covariances: Tensor) -> LatentModel:
    """Return the Gaussian mixture with weights (K,), means (K, D) and full covariances (K, D, D).

    The latent variable z is the index of the component.
    """
    return LatentModel(Categorical(weights), lambda k: MultivariateNormal(means[k], covariances[k]))


@dataclass(frozen=True)
class LinearGaussian(LatentModel):
    """A linear-Gaussian model: z ~ N(0, I) in d dimensions, and x ~ N(weight z + bias, variance I).

    All terms of the bound have closed forms if q is Gaussian. weight has shape (D, d), bias has
    shape (D,), and variance is a scalar. Source: probabilistic PCA, Tipping & Bishop 1999.
    """

    weight: Tensor
    bias: Tensor
    variance: Tensor

    @classmethod
    def create(cls, weight: Tensor, bias: Tensor, variance: Tensor | float) -> "LinearGaussian":
        """Create the model with the given parameters."""
        variance = torch.as_tensor(variance, dtype=weight.dtype, device=weight.device)
        prior = Independent(Normal(weight.new_zeros(weight.shape[1]), weight.new_ones(())), 1)

        def likelihood(z: Tensor) -> Distribution:
            return Independent(Normal(z @ weight.T + bias, variance.sqrt()), 1)

        return cls(prior, likelihood, weight, bias, variance)

    def log_px(self, x: Tensor) -> Tensor:
        """Return log P(x) for x (N, D); the covariance of x is weight weightᵀ + variance I."""
        eye = torch.eye(len(self.bias)).to(self.weight)
        covariance = self.weight @ self.weight.T + self.variance * eye
        return MultivariateNormal(self.bias, covariance).log_prob(x)

    def true_posterior(self, x: Tensor) -> MultivariateNormal:
        """Return P(z|x): a Gaussian with the same covariance for every x.

        x has shape (N, D), and the covariance has shape (d, d).
        """
        eye = torch.eye(self.weight.shape[1]).to(self.weight)
        covariance = torch.linalg.inv(eye + self.weight.T @ self.weight / self.variance)
        mean = (x - self.bias) @ self.weight @ covariance / self.variance
        return MultivariateNormal(mean, covariance)


def elbo(
    model: LatentModel,
    q: Distribution,
    x: Tensor,
    *,
    grid: Tensor | None = None,
    samples: int | None = None,
) -> Bound:
    """Return the bound L_b for each x under q(z|x).

    The bound is differentiable in the parameters of q and of the model. x has shape (N, ...). q is
    a torch distribution over z with batch shape (N,), or () to use the same q for every x. The
    method depends on the arguments:

    - A categorical prior and a categorical q: the exact sum over z.
    - A LinearGaussian model and a Gaussian q: the closed form.
    - `grid`, an increasing tensor of shape (G,): integrals over a scalar z, computed by the
      trapezoid rule.
    - `samples`, a number S: a Monte Carlo estimate and its standard error, computed from S values
      of z that are drawn for each x with torch's global generator. The KL divergence from the prior
      is computed in closed form if torch implements one.

    Raises ValueError if none of these methods applies, if the prior, q and the likelihood are
    incompatible, or if the grid misses part of the mass of q or of the prior.
    """
    _check(model, q, x)
    if samples is not None:
        return _monte_carlo(model, q, x, samples)
    if grid is None and isinstance(model, LinearGaussian) and _is_gaussian(q):
        return _closed_form(model, q, x)
    log_joint, log_prior, log_lik, log_width, z = _on_points(model, x, grid)
    log_q = q.log_prob(z).expand_as(log_lik)  # (S, N)
    mass = torch.exp(log_q + log_width)  # (S, N): the mass of q at each point
    for name, total in (("q", mass.sum(0)), ("the prior", torch.exp(log_prior + log_width).sum(0))):
        worst = total.flatten()[(total - 1).abs().argmax()]
        if abs(float(worst.detach()) - 1) > MASS_TOLERANCE:
            raise ValueError(
                f"On this grid, {name} integrates to {float(worst.detach()):.6g} instead of 1. "
                "Make the grid wider or finer, or make q and the prior broader. For a uniform "
                "distribution, start and end the grid at the limits of the distribution."
            )

    def average(values: Tensor) -> Tensor:  # E_q, with 0 · (−∞) = 0
        return (mass * torch.where(mass > 0, values, 0.0)).sum(0)

    log_px = torch.logsumexp(log_joint + log_width, 0)  # (N,)
    return Bound(average(log_lik), average(log_q - log_prior), log_px, torch.zeros_like(log_px))


def log_posterior(model: LatentModel, x: Tensor, *, grid: Tensor | None = None) -> Tensor:
    """Return log P(z|x) for each class z or, with a grid, at each grid point.

    x has shape (N, ...), and the result has shape (K, N) or, with a grid, (G, N). On a grid, the
    values are log-densities. For a mixture, `Categorical(logits=log_posterior(model, x).T)` is the
    result of the E-step: the q that closes the gap.
    """
    log_joint, _, _, log_width, _ = _on_points(model, x, grid)
    return log_joint - torch.logsumexp(log_joint + log_width, 0)


def log_importance_weights(
    model: LatentModel, q: Distribution, x: Tensor, k: int, at_once: int | None = None
) -> Tensor:
    """Return log P(x|z) + log P(z) − log q(z|x) in nats for k draws of z from q.

    The result has shape (k, N). `at_once` is the number of draws that the model processes at once.
    The default is 50, or fewer if x is large. Raises ValueError unless k is a positive integer.
    """
    if not require.is_count(k):
        raise ValueError(
            f"k, the number of draws, must be an integer of at least 1, but got k={k}."
        )
    _check(model, q, x)
    if at_once is None:
        at_once = max(1, min(DRAWS_AT_ONCE, NUMBERS_AT_ONCE // max(1, x.numel())))
    blocks = []
    for start in range(0, k, at_once):
        z = _draw(q, min(at_once, k - start), len(x))
        blocks.append(_log_lik(model, z, x) + model.prior.log_prob(z) - q.log_prob(z))  # (S, N)
    return torch.cat(blocks)


def importance_weighted_bound(
    model: LatentModel, q: Distribution, x: Tensor, k: int, at_once: int | None = None
) -> Tensor:
    """Return the importance-weighted lower bound on log P(x) for each x, in nats.

    The result has shape (N,). The bound is the log of the mean of k importance weights
    P(x|z) P(z) / q(z|x), with z drawn from q. For k=1, the result is an unbiased estimate of L_b.
    The expected value increases with k towards log P(x) (Burda et al. 2016, equation 8). Use this
    function for a few images or if gradients are needed; for test sets, use `evaluation.nll`, which
    evaluates several values of k with the same draws. `at_once` is the number of draws that the
    model processes at once. Raises ValueError unless k is a positive integer.
    """
    log_w = log_importance_weights(model, q, x, k, at_once)  # (k, N)
    return torch.logsumexp(log_w, 0) - math.log(k)  # average the weights, then take the log


def _check(model: LatentModel, q: Distribution, x: Tensor) -> None:
    if q.event_shape != model.prior.event_shape or math.prod(model.prior.batch_shape) != 1:
        event, batch = tuple(model.prior.event_shape), tuple(model.prior.batch_shape)
        raise ValueError(
            f"q and the prior are incompatible: q has event shape {tuple(q.event_shape)}, "
            f"and the prior has event shape {event} and batch shape {batch}. "
            "If z is a vector, wrap q and the prior in Independent(…, 1)."
        )
    if x.dtype == torch.uint8 and x.numel() and int(x.max()) > 1:
        raise ValueError(
            "x must contain pixels in [0, 1], but it contains bytes above 1. Use digits.pixels()."
        )
    if q.batch_shape not in ((), (len(x),)):
        raise ValueError(
            f"q must have batch shape () or, with one distribution per x, ({len(x)},), "
            f"but got {tuple(q.batch_shape)}."
        )


def _log_lik(model: LatentModel, z: Tensor, x: Tensor) -> Tensor:
    likelihood = model.likelihood(z)
    if likelihood.event_shape != x.shape[1:]:
        raise ValueError(
            f"The likelihood has event shape {tuple(likelihood.event_shape)}, but each x has shape "
            f"{tuple(x.shape[1:])}. Wrap the likelihood in Independent(…, {x.ndim - 1})."
        )
    return likelihood.log_prob(x)


def _is_gaussian(q: Distribution) -> bool:
    return isinstance(q, MultivariateNormal) or (
        isinstance(q, Independent) and isinstance(q.base_dist, Normal)
    )


def _on_points(model: LatentModel, x: Tensor, grid: Tensor | None) -> tuple[Tensor, ...]:
    """Return log P(x, z), log P(z), log P(x|z), the log weight of each point, and the points z.

    Each tensor has shape (S, N) or (S, 1), where S is the number of points: G for a grid, K for a
    discrete z. The weight of a point in the integral over z is the width of its cell. For a
    discrete z, the integral is a sum, and every weight is 1.
    """
    if isinstance(model.prior, Categorical):
        z = torch.arange(model.prior.probs.shape[-1], device=x.device)[:, None]  # (K, 1)
        log_width = x.new_zeros(len(z), 1)  # log 1
    elif grid is not None:
        steps = grid.diff()
        if grid.ndim != 1 or model.prior.event_shape != () or not bool((steps > 0).all()):
            raise ValueError(
                "grid must be a strictly increasing tensor of shape (G,), and z must be a scalar."
            )
        # stay just below the upper end, which torch's Uniform excludes from its support
        z = torch.cat([grid[:-1], torch.nextafter(grid[-1:], grid[:1])])[:, None]  # (G, 1)
        # trapezoid rule: a cell consists of half of the step on either side of its point
        to_the_left, to_the_right = pad(steps, (1, 0)), pad(steps, (0, 1))  # 0 beyond the ends
        log_width = ((to_the_left + to_the_right) / 2).log()[:, None]  # (G, 1)
    else:
        raise ValueError(
            "There is no closed form for this bound. Pass grid=… (for a scalar z) or samples=…."
        )
    log_prior = model.prior.log_prob(z)  # (S, 1)
    log_lik = _log_lik(model, z, x)  # (S, N)
    return log_prior + log_lik, log_prior, log_lik, log_width, z


def _draw(q: Distribution, samples: int, n: int) -> Tensor:
    """Draw z of shape (S, N, [d]). If q can be reparameterized, gradients flow through z to q."""
    shape = (samples,) if len(q.batch_shape) else (samples, n)
    return q.rsample(shape) if q.has_rsample else q.sample(shape)


def _monte_carlo(model: LatentModel, q: Distribution, x: Tensor, samples: int) -> Bound:
    if not require.is_count(samples, 2):
        raise ValueError(f"samples must be an integer of at least 2, but got {samples!r}.")
    z = _draw(q, samples, len(x))
    log_lik = _log_lik(model, z, x)  # (S, N)
    try:
        kl = torch.distributions.kl_divergence(q, model.prior).expand(len(x))  # (N,)
        draws = log_lik  # the KL term is exact, so only log P(x|z) varies between draws
    except NotImplementedError:
        log_ratio = q.log_prob(z) - model.prior.log_prob(z)
        kl, draws = log_ratio.mean(0), log_lik - log_ratio
    return Bound(log_lik.mean(0), kl, None, draws.std(0) / math.sqrt(samples))


def _closed_form(model: LinearGaussian, q: Any, x: Tensor) -> Bound:
    """Return the exact bound for q = N(m, C).

    The reconstruction term is E_q[log N(x; W z + b, v)] = log N(x; W m + b, v) − tr(W C Wᵀ) / 2v.
    """
    covariance = getattr(q, "covariance_matrix", None)
    if covariance is None:
        covariance = torch.diag_embed(q.variance)  # (N, d, d), or (d, d) for one q for all x
    # tr(W C Wᵀ) = tr(WᵀW C), and tr(A C) is the sum of A ∘ C because C is symmetric
    trace = (model.weight.T @ model.weight * covariance).sum((-1, -2))  # (N,) or ()
    reconstruction = model.likelihood(q.mean).log_prob(x) - 0.5 * trace / model.variance
    full_q = MultivariateNormal(q.mean, covariance)
    d = model.weight.shape[1]
    prior = MultivariateNormal(model.weight.new_zeros(d), torch.eye(d).to(model.weight))
    kl = torch.distributions.kl_divergence(full_q, prior).expand(len(x))
    log_px = model.log_px(x)
    return Bound(reconstruction, kl, log_px, torch.zeros_like(log_px))
