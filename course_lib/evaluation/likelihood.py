"""Measures of how much probability a model assigns to the test images,
and of how it uses its latent code.

A model is any object with `prior`, `likelihood(z)` and `approximate_posterior(x)`. Each of the
three gives a distribution over single codes z or single images, such as Independent(…, 1). The
codes z have shape (S, N, d), with S draws per image, or (N, d). For a conditional model, pass `y`,
either labels of shape (N,) or one label for all images; the model receives the labels through its
method `given(y)`. The images x are rows of floats, of shape (N, D), with N > 1. The training mode
of the model and torch's random state are restored after each measurement.

NLLs under a Bernoulli likelihood and under a Gaussian likelihood are not comparable, because a
Gaussian assigns a density rather than a probability, and its NLL may be negative. Evaluate each
model on the kind of pixels that it was trained on.
"""

import math
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    kl_divergence,
)
from tqdm import tqdm

from course_lib import require
from course_lib.probability.elbo import Bound, log_importance_weights
from course_lib.probability.elbo import elbo as bound_of
from course_lib.training.state import aside


class Estimate(NamedTuple):
    """A measured value and its standard error."""

    mean: float
    se: float

    def __repr__(self) -> str:
        return f"{self.mean:.2f} ± {self.se:.2f}"


@dataclass(frozen=True, repr=False)
class NLL:
    """Upper bounds on −log P(x) for each k, both for each image and averaged over the images.

    `per_image` has shape (len(ks), N), and `nll[k]` is the mean over the N images. The standard
    error describes the variation between samples of N images; the random draws of z contribute
    little to it.
    """

    ks: tuple[int, ...]
    per_image: Tensor
    seconds: float

    def __getitem__(self, k: int) -> Estimate:
        if k not in self.ks:
            raise ValueError(
                f"No bound was computed for k = {k}. Choose k from {', '.join(map(str, self.ks))}."
            )
        # Apple's GPUs do not support float64
        values = self.per_image[self.ks.index(k)].cpu().double()
        return Estimate(float(values.mean()), float(values.std()) / math.sqrt(len(values)))

    def __repr__(self) -> str:
        head = f"NLL, nats per image, {self.per_image.shape[1]:,} images in {self.seconds:.0f} s"
        return "\n".join([head, *(f"  k = {k:<5} {self[k]}" for k in self.ks)])


def nll(
    model: Any,
    x: Tensor,
    ks: Sequence[int] | int = (1, 50, 5000),
    *,
    y: Tensor | int | None = None,
    seed: int = 0,
    rows_at_once: int | None = None,
    progress: bool = True,
) -> NLL:
    """Estimate −log P(x) as −log of the mean of k importance weights P(x|z) P(z) / q(z|x),
    where z is drawn from q.

    For each image, max(ks) codes z are drawn. For a smaller k, the draws are divided into groups of
    k and the bounds of the groups are averaged, so the result for k = 1 is −L_b averaged over all
    draws. In expectation, each bound is above the true value, and a larger k gives a tighter bound.
    Raises ValueError for grey pixels under a Bernoulli likelihood, and warns if black-and-white
    pixels are modelled by a density. Source: Burda et al. 2016, equation 8.
    """
    require.tensors(x)
    asked = tuple(ks) if isinstance(ks, Iterable) else (ks,)
    if not asked or not all(require.is_count(k) for k in asked):
        raise ValueError(
            "ks must be a positive integer or a non-empty sequence of positive integers, "
            f"but got {ks}."
        )
    ks = tuple(sorted({int(k) for k in asked}))
    # 500 rows of 784 floats fit into a CPU's cache
    rows = rows_at_once or (100_000 if x.is_cuda else 500)
    start, bounds, size = perf_counter(), [], max(1, rows // 100)
    # glibc returns large blocks to the system as soon as they are freed. Once a block of 30 MiB has
    # been freed, it keeps blocks up to this size and uses them again, which is a third faster.
    torch.empty(30 << 20, dtype=torch.uint8)
    with _measuring(model, x, y, seed, size, exact=True) as parts:
        bar = tqdm(parts, "NLL", -(-len(x) // size), False, sys.stdout, disable=not progress)
        for part, some in bar:
            at_once = max(1, rows // len(some))
            q = part.approximate_posterior(some)
            log_w = log_importance_weights(part, q, some, ks[-1], at_once)  # (K, n)
            # each of shape (K / k, k, n)
            groups = [log_w[: len(log_w) // k * k].unflatten(0, (-1, k)) for k in ks]
            each = [(g.logsumexp(1) - math.log(g.shape[1])).mean(0) for g in groups]  # (n,) each
            bounds.append(torch.stack(each))
    return NLL(ks, -torch.cat(bounds, 1), perf_counter() - start)


def elbo(
    model: Any, x: Tensor, samples: int = 10, *, y: Tensor | int | None = None, seed: int = 0
) -> Bound:
    """Return L_b and its parts, averaged over the images x, with `samples` draws of z per image.

    The standard error `se` describes the variation between samples of images, as in `NLL`.
    """
    with _measuring(model, x, y, seed, 100, exact=True) as parts:
        each = [
            bound_of(part, part.approximate_posterior(some), some, samples=samples)
            for part, some in parts
        ]
    rec = torch.cat([bound.reconstruction for bound in each])  # (N,)
    kl = torch.cat([bound.kl for bound in each])  # (N,)
    return Bound(rec.mean(), kl.mean(), None, (rec - kl).std() / math.sqrt(len(x)))


def kl_per_dimension(model: Any, x: Tensor, *, y: Tensor | int | None = None) -> Tensor:
    """Return KL(q(z_i|x) ‖ P(z_i)) for each dimension i, averaged over x.

    The result has shape (d,). The sum over the dimensions is the KL term of L_b. Raises ValueError
    unless both q and the prior are Independent(…, 1), and NotImplementedError if torch has no
    formula for their KL.
    """
    with _measuring(model, x, y) as parts:
        pairs = [(part.approximate_posterior(some), part.prior) for part, some in parts]
        if not all(isinstance(dist, Independent) for pair in pairs for dist in pair):
            raise ValueError(
                "The KL per dimension is defined only if both q and the prior are "
                "Independent(…, 1)."
            )
        each = [kl_divergence(q.base_dist, prior.base_dist) for q, prior in pairs]  # (n, d) each
        return torch.cat(each).mean(0)


def active_units(
    model: Any, x: Tensor, threshold: float = 0.01, *, y: Tensor | int | None = None
) -> Tensor:
    """Return a mask of the active units: those z_i whose posterior mean varies with x.

    The mask has shape (d,). A unit is active if the variance of its posterior mean over x is above
    `threshold`. The sum of the mask is the number of active units; the other units have collapsed
    onto the prior.
    Source: Burda et al. 2016, section 5.2.
    """
    with _measuring(model, x, y) as parts:
        qs = [part.approximate_posterior(some) for part, some in parts]
        return torch.cat([q.mean for q in qs]).var(0) > threshold


def aggregate_posterior(
    model: Any, x: Tensor, *, y: Tensor | int | None = None
) -> MixtureSameFamily:
    """Return the aggregate posterior q(z), the mean of q(z|x) over x.

    The result is a mixture of N components, with the methods `sample` and `log_prob`. Pass at most
    a few thousand images, because the cost of both methods grows with N.
    """
    with _measuring(model, x, y, size=len(x)) as parts:
        q = next(parts)[0].approximate_posterior(x)
    return MixtureSameFamily(Categorical(logits=x.new_zeros(len(x))), q)


def elbo_surgery(
    model: Any, x: Tensor, samples: int = 4, *, y: Tensor | int | None = None, seed: int = 0
) -> dict[str, Estimate]:
    """Split the mean KL(q(z|x) ‖ P(z)) into I(x; z) + KL(q(z) ‖ P(z)).

    Here, q(z) is the aggregate posterior. I(x; z) measures how well z identifies its image among
    the N images. Its value is at most log N, and it is close to log N if no two codes overlap.
    KL(q(z) ‖ P(z)) measures the mismatch between the codes and the prior. All terms are Monte Carlo
    estimates, and their standard errors describe only the randomness of the draws of z. The running
    time is proportional to N² · samples.
    Source: Hoffman & Johnson 2016, ELBO surgery.
    """
    if not require.is_count(samples, 2):
        raise ValueError(f"A standard error requires at least 2 samples, but got {samples}.")
    aggregate, logs = aggregate_posterior(model, x, y=y), []
    # each z needs N densities q
    size = max(1, 1_000_000 // (samples * len(x) * aggregate.event_shape.numel()))
    with _measuring(model, x, y, seed, size) as parts:
        for part, some in parts:
            q = part.approximate_posterior(some)
            z = q.sample((samples,))  # (S, n, d)
            logs.append(torch.stack([q.log_prob(z), aggregate.log_prob(z), part.prior.log_prob(z)]))
    log_q, log_agg, log_prior = torch.cat(logs, 2).cpu().double()  # (S, N) each

    def estimate(draws: Tensor) -> Estimate:  # the images are fixed; only z is random
        return Estimate(float(draws.mean()), float(draws.var(0).mean() / draws.numel()) ** 0.5)

    terms = {
        "kl": log_q - log_prior,
        "information": log_q - log_agg,
        "aggregate_kl": log_agg - log_prior,
    }
    return {name: estimate(draws) for name, draws in terms.items()}


def linear_probe(z_train: Tensor, y_train: Tensor, z_test: Tensor, y_test: Tensor) -> float:
    """Return the test accuracy of a logistic regression that predicts the labels from the codes.

    The codes have shape (N, d), and the labels have shape (N,).
    """
    # imported here: the import takes a second
    from sklearn import linear_model, pipeline, preprocessing

    require.tensors(z_train, y_train, z_test, y_test)
    arrays = [np.asarray(part.detach().cpu()) for part in (z_train, y_train, z_test, y_test)]
    scaled = preprocessing.StandardScaler()
    logistic = linear_model.LogisticRegression(max_iter=1000)
    probe = pipeline.make_pipeline(scaled, logistic)
    return float(probe.fit(*arrays[:2]).score(*arrays[2:]))


@torch.no_grad()
def within_class_diversity(images: Tensor, labels: Tensor) -> float:
    """Return the mean squared distance between two different images of a class,
    averaged over the classes.

    images: pixels of shape (N, D), or features, such as those returned by Classifier.features. The
    distance is not in nats. Compare only images of the same kind, because binary images contain
    noise in every pixel, but the means returned by a decoder do not. Raises ValueError for bytes,
    for labels that are not of shape (N,), and for a class with only one image.
    """
    require.tensors(images, labels)
    if not images.is_floating_point():
        raise ValueError(
            f"Pixels or features must be floating-point numbers, not {images.dtype}. "
            "Use digits.pixels()."
        )
    if labels.shape != images.shape[:1]:
        raise ValueError(
            f"Labels must have shape ({len(images)},), one label per image, "
            f"but got {tuple(labels.shape)}."
        )
    # each of shape (n, D)
    groups = [images[labels == label].flatten(1).cpu().double() for label in labels.unique()]
    if min(map(len, groups), default=0) < 2:
        raise ValueError(
            "Each class must contain at least two images, "
            "because distances are measured within each class."
        )
    # mean ‖a − b‖² is 2 · variance
    return float(torch.stack([2 * g.var(0).sum() for g in groups]).mean())


@contextmanager
def _measuring(
    model: Any,
    x: Tensor,
    y: Tensor | int | None,
    seed: int = 0,
    size: int = 1000,
    exact: bool = False,
) -> Iterator[Iterator[tuple[Any, Tensor]]]:
    """Yield an iterator over batches of at most `size` images, each paired with the model.

    If there are labels, the model in each pair is conditioned on the labels of its images. exact:
    whether to refuse pixels outside the likelihood's support. The training mode of the model and
    torch's random state are restored at the end.
    """
    require.tensors(x)
    if x.ndim != 2 or len(x) < 2 or not x.is_floating_point():
        raise ValueError(
            "x must be a floating-point tensor of shape (N, D) with at least two rows, "
            f"but got {x.dtype} of shape {tuple(x.shape)}."
        )
    y = _labels_for(model, y, len(x))

    with aside(x.device, seed, model):
        torch.manual_seed(seed)
        getattr(model, "eval", lambda: None)()
        one = model if y is None else model.given(y[:1])
        _check_model(model, one)
        if exact:
            with suppress(NotImplementedError):  # not every distribution defines its support
                _check_pixels(one.likelihood(one.approximate_posterior(x[:1]).sample()).support, x)
        slices = (slice(start, start + size) for start in range(0, len(x), size))
        yield ((model if y is None else model.given(y[rows]), x[rows]) for rows in slices)


def _labels_for(model: Any, y: Tensor | int | None, n: int) -> Tensor | None:
    """Return the n labels to pass to the model, or None if y is None.

    Raises ValueError if the labels do not match the model or the number of images.
    """
    if y is None:
        return None
    y = torch.as_tensor(y)
    y = y.expand(n) if y.ndim == 0 else y
    if len(y) != n:
        raise ValueError(
            f"Expected one label per image, but got {len(y):,} labels for {n:,} images."
        )
    if not hasattr(model, "given"):
        raise ValueError(
            "Only a conditional model takes labels y, "
            f"but {type(model).__name__} is not conditional."
        )
    classes = getattr(getattr(model, "config", None), "labels", None)
    if classes:
        require.labels(y, classes)
    return y


def _check_model(model: Any, one: Any) -> None:
    """Raise ValueError if the model `one` (conditioned on its labels, if it has any)
    cannot be measured.
    """
    missing = [
        part for part in ("prior", "likelihood", "approximate_posterior") if not hasattr(one, part)
    ]
    if missing and one is model and hasattr(model, "given"):
        raise ValueError(
            f"{type(model).__name__} requires labels. "
            "Pass y, either one label per image or a single label for all images."
        )
    if missing:
        raise ValueError(
            "The model must have prior, likelihood(z) and approximate_posterior(x), "
            f"but {type(model).__name__} has no {missing[0]}."
        )


def _check_pixels(support: Any, x: Tensor) -> None:
    """Raise ValueError for pixels outside the support,
    and warn if binary pixels are modelled by a density.
    """
    if not support.check(x).all():
        raise ValueError(
            "Some pixels are outside the support of the likelihood. Use fixed_binarization(images)."
        )
    black_and_white = bool(((x == 0) | (x == 1)).all()) and bool(x.min() < x.max())
    if black_and_white and not support.is_discrete:
        warnings.warn(
            "All pixels are black or white, but the likelihood is a density for grey pixels, "
            "which is unbounded for black and white images: "
            "for a model of grey images, pass digits.pixels().",
            stacklevel=5,
        )
