"""The lower bound L_b of log P(x), its two parts and its gap, for any model and any q. All in nats.

    log P(x)  =  L_b + KL(q(z|x) ‖ P(z|x)),        L_b  =  E_q[log P(x|z)] − KL(q(z|x) ‖ P(z))

The first line holds for every q. The expectation over z is taken exactly where z is one of K classes or where
model and q are linear and Gaussian, by quadrature where z is one number, by Monte Carlo otherwise. Sources:
Kingma & Welling 2014, equations 1–3; Neal & Hinton 1998 for EM as the same bound.
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

MASS_TOLERANCE = 1e-6  # a grid that misses more of q or of the prior than this is not worth integrating on
DRAWS_AT_ONCE = 50
NUMBERS_AT_ONCE = 500_000  # of all draws' x together: 4 MB in float64, which a processor's cache holds


@dataclass(frozen=True)
class LatentModel:
    """P(x) = ∫ P(z) P(x|z) dz: a prior over z and the distribution of x that each z stands for.

    `likelihood` maps z (..., [d]) to a torch distribution with batch shape (...) and one x as its event. The
    prior may be Categorical (then P is a finite mixture), one-dimensional, or any torch distribution.
    """

    prior: Distribution
    likelihood: Callable[[Tensor], Distribution]


@dataclass(frozen=True)
class Bound:
    """L_b of each x, in parts: everything (N,), in nats.

    `reconstruction` is E_q[log P(x|z)], `kl` is KL(q(z|x) ‖ P(z)). `log_px` is log P(x), or None where only
    Monte Carlo could tell. `se` is the standard error of L_b, 0 where nothing was drawn at random.
    """

    reconstruction: Tensor
    kl: Tensor
    log_px: Tensor | None
    se: Tensor

    @property
    def elbo(self) -> Tensor:
        """L_b = reconstruction − kl, (N,)."""
        return self.reconstruction - self.kl

    @property
    def gap(self) -> Tensor:
        """log P(x) − L_b = KL(q(z|x) ‖ P(z|x)), (N,). Raises ValueError where log P(x) is not known."""
        if self.log_px is None:
            raise ValueError(
                "The gap needs log P(x), which Monte Carlo does not give: pass a grid, or bound it."
            )
        return self.log_px - self.elbo

    def mean(self) -> "Bound":
        """The same, averaged over the N points: what is plotted and what is trained."""
        se = self.se.square().sum().sqrt() / self.se.numel()
        log_px = None if self.log_px is None else self.log_px.mean()
        return Bound(self.reconstruction.mean(), self.kl.mean(), log_px, se)


def mixture_model(weights: Tensor, means: Tensor, covariances: Tensor) -> LatentModel:
    """A Gaussian mixture, z its component: weights (K,), means (K, D), full covariances (K, D, D)."""
    return LatentModel(Categorical(weights), lambda k: MultivariateNormal(means[k], covariances[k]))


@dataclass(frozen=True)
class LinearGaussian(LatentModel):
    """z ~ N(0, I) of d numbers, x ~ N(weight z + bias, variance I): the one decoder with everything exact.

    weight (D, d), bias (D,), variance a number. Source: probabilistic PCA, Tipping & Bishop 1999.
    """

    weight: Tensor
    bias: Tensor
    variance: Tensor

    @classmethod
    def create(cls, weight: Tensor, bias: Tensor, variance: Tensor | float) -> "LinearGaussian":
        """The model with these parameters (prior and likelihood follow from them)."""
        variance = torch.as_tensor(variance, dtype=weight.dtype, device=weight.device)
        prior = Independent(Normal(weight.new_zeros(weight.shape[1]), weight.new_ones(())), 1)

        def likelihood(z: Tensor) -> Distribution:
            return Independent(Normal(z @ weight.T + bias, variance.sqrt()), 1)

        return cls(prior, likelihood, weight, bias, variance)

    def log_px(self, x: Tensor) -> Tensor:
        """log P(x) of x (N, D): x is Gaussian with covariance weight weightᵀ + variance I."""
        eye = torch.eye(len(self.bias)).to(self.weight)
        return MultivariateNormal(self.bias, self.weight @ self.weight.T + self.variance * eye).log_prob(x)

    def true_posterior(self, x: Tensor) -> MultivariateNormal:
        """P(z|x) for x (N, D): Gaussian, with one covariance (d, d) for all x."""
        eye = torch.eye(self.weight.shape[1]).to(self.weight)
        covariance = torch.linalg.inv(eye + self.weight.T @ self.weight / self.variance)
        return MultivariateNormal((x - self.bias) @ self.weight @ covariance / self.variance, covariance)


def elbo(
    model: LatentModel, q: Distribution, x: Tensor, *, grid: Tensor | None = None, samples: int | None = None
) -> Bound:
    """L_b of each x under q(z|x), in parts; differentiable in the parameters of both q and the model.

    x is (N, ...); q is a torch distribution over z with batch shape (N,), or () for one q for all. How:

    - Categorical prior and q: the sum over z, exact.
    - LinearGaussian and a Gaussian q: closed form.
    - `grid` (G,), increasing: z is one number, integrals by the trapezoid rule on the grid.
    - `samples` S: S draws from q per x (torch's global generator), with a standard error; the KL to the
      prior is taken in closed form where torch knows one.

    Raises ValueError when none of these applies, when prior, q and likelihood do not fit together, or when
    the grid misses a part of q or of the prior.
    """
    _check(model, q, x)
    if samples is not None:
        return _monte_carlo(model, q, x, samples)
    if grid is None and isinstance(model, LinearGaussian) and _is_gaussian(q):
        return _closed_form(model, q, x)
    log_joint, log_prior, log_lik, log_width, z = _on_points(model, x, grid)
    log_q = q.log_prob(z).expand_as(log_lik)  # (S, N)
    mass = torch.exp(log_q + log_width)  # (S, N): how much of q each point stands for
    for name, total in (("q", mass.sum(0)), ("the prior", torch.exp(log_prior + log_width).sum(0))):
        worst = total.flatten()[(total - 1).abs().argmax()]
        if abs(float(worst.detach()) - 1) > MASS_TOLERANCE:
            raise ValueError(
                f"On this grid {name} adds up to {float(worst.detach()):.6g}, not 1: make the grid wider "
                "or finer, or give q and the prior more spread (a uniform one: end the grid where it ends)."
            )

    def average(values: Tensor) -> Tensor:  # E_q, with 0 · (−∞) = 0
        return (mass * torch.where(mass > 0, values, 0.0)).sum(0)

    log_px = torch.logsumexp(log_joint + log_width, 0)  # (N,)
    return Bound(average(log_lik), average(log_q - log_prior), log_px, torch.zeros_like(log_px))


def log_posterior(model: LatentModel, x: Tensor, *, grid: Tensor | None = None) -> Tensor:
    """log P(z|x) at every class z (K, N), or as a density at every point of the grid (G, N), for x (N, ...).

    For a mixture, `Categorical(logits=log_posterior(model, x).T)` is the E-step: the q without a gap.
    """
    log_joint, _, _, log_width, _ = _on_points(model, x, grid)
    return log_joint - torch.logsumexp(log_joint + log_width, 0)


def log_importance_weights(
    model: LatentModel, q: Distribution, x: Tensor, k: int, at_once: int | None = None
) -> Tensor:
    """log P(x|z) + log P(z) − log q(z|x) for k draws of z from q: (k, N), in nats.

    `at_once` draws pass through the model together: unless told, 50, or fewer where x is large. Raises
    ValueError for k < 1.
    """
    if not require.is_count(k):
        raise ValueError(f"The bound needs a whole number of draws, at least one draw, k={k}.")
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
    """log mean of k importance weights P(x|z) P(z) / q(z|x), z drawn from q: (N,), in nats.

    For a few images, with gradients; `evaluation.nll` measures test images, at several k from the same draws.
    For k=1 a draw of L_b; it rises with k towards log P(x) (Burda et al. 2016, equation 8). `at_once` draws
    pass through the model together. Raises ValueError for k < 1.
    """
    log_w = log_importance_weights(model, q, x, k, at_once)  # (k, N)
    return torch.logsumexp(log_w, 0) - math.log(k)  # log w is averaged as w: the logarithm comes last


def _check(model: LatentModel, q: Distribution, x: Tensor) -> None:
    if q.event_shape != model.prior.event_shape or math.prod(model.prior.batch_shape) != 1:
        shapes = [tuple(s) for s in (q.event_shape, model.prior.event_shape, model.prior.batch_shape)]
        raise ValueError(
            "One z has shape {} for q, {} for the prior, whose batch shape is {}: a z of several numbers "
            "needs Independent(…, 1) around q and around the prior.".format(*shapes)
        )
    if x.dtype == torch.uint8 and x.numel() and int(x.max()) > 1:
        raise ValueError("These x are bytes, up to 255: pass pixels in [0, 1], as digits.pixels() are.")
    if q.batch_shape not in ((), (len(x),)):
        raise ValueError(
            f"q must have batch shape ({len(x)},), one q for each x, not {tuple(q.batch_shape)}."
        )


def _log_lik(model: LatentModel, z: Tensor, x: Tensor) -> Tensor:
    likelihood = model.likelihood(z)
    if likelihood.event_shape != x.shape[1:]:
        raise ValueError(
            f"The likelihood describes an x of shape {tuple(likelihood.event_shape)}, but one x has shape "
            f"{tuple(x.shape[1:])}: put Independent(…, {x.ndim - 1}) around it."
        )
    return likelihood.log_prob(x)


def _is_gaussian(q: Distribution) -> bool:
    return isinstance(q, MultivariateNormal) or (
        isinstance(q, Independent) and isinstance(q.base_dist, Normal)
    )


def _on_points(model: LatentModel, x: Tensor, grid: Tensor | None) -> tuple[Tensor, ...]:
    """log P(x, z), log P(z), log P(x|z), log of the width each z stands for, and z: (S, N) or (S, 1)."""
    if isinstance(model.prior, Categorical):
        z = torch.arange(model.prior.probs.shape[-1], device=x.device)[:, None]  # (K, 1)
        log_width = x.new_zeros(len(z), 1)
    elif grid is not None:
        steps = grid.diff()
        if grid.ndim != 1 or model.prior.event_shape != () or not bool((steps > 0).all()):
            raise ValueError("A grid is for z of one number: (G,), increasing from one point to the next.")
        # torch's Uniform excludes its upper end: stay a hair below
        z = torch.cat([grid[:-1], torch.nextafter(grid[-1:], grid[:1])])[:, None]  # (G, 1)
        # trapezoid rule: half a step on either side of every point
        log_width = ((pad(steps, (1, 0)) + pad(steps, (0, 1))) / 2).log()[:, None]  # (G, 1)
    else:
        raise ValueError("This model has no exact bound: pass grid=… (z of one number) or samples=….")
    log_prior = model.prior.log_prob(z)  # (S, 1)
    log_lik = _log_lik(model, z, x)  # (S, N)
    return log_prior + log_lik, log_prior, log_lik, log_width, z


def _draw(q: Distribution, samples: int, n: int) -> Tensor:
    """z (S, N, [d]), by the reparameterization where q has one, so that gradients reach q."""
    shape = (samples,) if len(q.batch_shape) else (samples, n)
    return q.rsample(shape) if q.has_rsample else q.sample(shape)


def _monte_carlo(model: LatentModel, q: Distribution, x: Tensor, samples: int) -> Bound:
    if not require.is_count(samples, 2):
        raise ValueError(f"A standard error needs at least 2 samples, not {samples}.")
    z = _draw(q, samples, len(x))
    log_lik = _log_lik(model, z, x)  # (S, N)
    try:
        kl = torch.distributions.kl_divergence(q, model.prior).expand(len(x))  # (N,)
        draws = log_lik
    except NotImplementedError:
        log_ratio = q.log_prob(z) - model.prior.log_prob(z)
        kl, draws = log_ratio.mean(0), log_lik - log_ratio
    return Bound(log_lik.mean(0), kl, None, draws.std(0) / math.sqrt(samples))


def _closed_form(model: LinearGaussian, q: Any, x: Tensor) -> Bound:
    """E_q[log N(x; W z + b, v)] = log N(x; W m + b, v) − tr(W C Wᵀ) / 2v for q = N(m, C)."""
    spread = getattr(q, "covariance_matrix", None)
    spread = torch.diag_embed(q.variance) if spread is None else spread  # (N, d, d)
    scatter = (model.weight.T @ model.weight * spread).sum((-1, -2))
    reconstruction = model.likelihood(q.mean).log_prob(x) - 0.5 * scatter / model.variance
    full_q = MultivariateNormal(q.mean, spread)
    d = model.weight.shape[1]
    prior = MultivariateNormal(model.weight.new_zeros(d), torch.eye(d).to(model.weight))
    kl = torch.distributions.kl_divergence(full_q, prior).expand(len(x))
    log_px = model.log_px(x)
    return Bound(reconstruction, kl, log_px, torch.zeros_like(log_px))
