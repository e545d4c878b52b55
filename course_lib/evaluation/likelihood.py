"""The yardsticks: how probable a model makes the test images, and what it does with its code.

A model is anything with `prior`, `likelihood(z)` and `approximate_posterior(x)`. All three are distributions
whose event is one z or one image: Independent(…, 1). z comes as (S, N, d), S draws per image, or (N, d). A
model that needs labels gets them as `y=`, (N,) or one for all, through its `given(y)`. Images are float
rows x (N, D), N > 1. The model and torch's random state stay as they were.

Nats of a Bernoulli and of a Gaussian are not comparable: the first measure a probability, the second a
density, and may be negative. Each is measured on the pixels that the model was trained on.
"""

import math
import sys
import warnings
from collections.abc import Iterable, Sequence
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
    """A measured number and its standard error."""

    mean: float
    se: float

    def __repr__(self) -> str:
        return f"{self.mean:.2f} ± {self.se:.2f}"


@dataclass(frozen=True, repr=False)
class NLL:
    """Upper bounds of −log P(x), by k: `per_image` (len(ks), N), and `nll[k]`, their mean over the images.

    The standard error is that of another sample of N images; the noise of the z's is a small part of it.
    """

    ks: tuple[int, ...]
    per_image: Tensor
    seconds: float

    def __getitem__(self, k: int) -> Estimate:
        if k not in self.ks:
            raise ValueError(f"There is no bound of k={k} here, only of {', '.join(map(str, self.ks))}.")
        values = self.per_image[self.ks.index(k)].cpu().double()  # Apple's GPU has no float64
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
    """−log P(x) by importance weighting: −log of the mean of k weights P(x|z) P(z) / q(z|x), z drawn from q.

    Each image gets max(ks) draws of z. For a smaller k they are cut into groups of k and the groups' bounds
    averaged: k=1 is −L_b over all draws, not one. On average a bound lies above the truth, less so for larger
    k. ValueError for grey pixels, which a Bernoulli cannot produce; a warning for a density at black and
    white ones. Source: Burda et al. 2016, equation 8.
    """
    require.tensors(x)
    asked = tuple(ks) if isinstance(ks, Iterable) else (ks,)
    if not asked or not all(require.is_count(k) for k in asked):
        raise ValueError(f"ks are numbers of draws, each at least 1, not {ks}.")
    ks = tuple(sorted({int(k) for k in asked}))
    rows = rows_at_once or (100_000 if x.is_cuda else 500)  # 500 rows of 784 floats stay in a CPU's cache
    start, bounds, size = perf_counter(), [], max(1, rows // 100)
    torch.empty(30 << 20, dtype=torch.uint8)  # glibc then keeps freed blocks of this size: a third faster
    with _measuring(model, x, y, seed, size, exact=True) as parts:
        for part, some in tqdm(parts, "NLL", -(-len(x) // size), False, sys.stdout, disable=not progress):
            at_once = max(1, rows // len(some))
            log_w = log_importance_weights(
                part, part.approximate_posterior(some), some, ks[-1], at_once
            )  # (K, n)
            groups = [log_w[: len(log_w) // k * k].unflatten(0, (-1, k)) for k in ks]  # (K / k, k, n) each
            bounds.append(torch.stack([(g.logsumexp(1) - math.log(g.shape[1])).mean(0) for g in groups]))
    return NLL(ks, -torch.cat(bounds, 1), perf_counter() - start)


def elbo(model: Any, x: Tensor, samples: int = 10, *, y: Tensor | int | None = None, seed: int = 0) -> Bound:
    """Mean of L_b and of its parts over x, `samples` draws of z an image; `se` is over images, as for NLL."""
    with _measuring(model, x, y, seed, 100, exact=True) as parts:
        each = [
            bound_of(part, part.approximate_posterior(some), some, samples=samples) for part, some in parts
        ]
    rec, kl = (torch.cat([getattr(b, name) for b in each]) for name in ("reconstruction", "kl"))  # (N,)
    return Bound(rec.mean(), kl.mean(), None, (rec - kl).std() / math.sqrt(len(x)))


def kl_per_dimension(model: Any, x: Tensor, *, y: Tensor | int | None = None) -> Tensor:
    """KL(q(z_i|x) ‖ P(z_i)), averaged over x: (d,). Together they are the KL term of L_b.

    ValueError where q or the prior is not Independent(…, 1), NotImplementedError where torch knows no KL.
    """
    with _measuring(model, x, y) as parts:
        pairs = [(part.approximate_posterior(some), part.prior) for part, some in parts]
        if not all(isinstance(dist, Independent) for pair in pairs for dist in pair):
            raise ValueError("KL per dimension needs a q and a prior whose dimensions are Independent(…, 1).")
        return torch.cat([kl_divergence(q.base_dist, prior.base_dist) for q, prior in pairs]).mean(0)


def active_units(model: Any, x: Tensor, threshold: float = 0.01, *, y: Tensor | int | None = None) -> Tensor:
    """Which z_i follow x: those whose posterior mean has a variance over x above `threshold`. Bool, (d,).

    `.sum()` counts them; the others have collapsed onto the prior. Source: Burda et al. 2016, section 5.2.
    """
    with _measuring(model, x, y) as parts:
        qs = [part.approximate_posterior(some) for part, some in parts]
        return torch.cat([q.mean for q in qs]).var(0) > threshold


def aggregate_posterior(model: Any, x: Tensor, *, y: Tensor | int | None = None) -> MixtureSameFamily:
    """q(z), the mean of q(z|x) over x: where in z these images lie, with `.sample` and `.log_prob`.

    A mixture of N components: take a few thousand images, because each draw and each log_prob costs N of q's.
    """
    with _measuring(model, x, y, size=len(x)) as parts:
        q = next(parts)[0].approximate_posterior(x)
    return MixtureSameFamily(Categorical(logits=x.new_zeros(len(x))), q)


def elbo_surgery(
    model: Any, x: Tensor, samples: int = 4, *, y: Tensor | int | None = None, seed: int = 0
) -> dict[str, Estimate]:
    """Mean KL(q(z|x) ‖ P(z)) = I(x; z) + KL(q(z) ‖ P(z)), q(z) the aggregate posterior, by Monte Carlo.

    I is how much z tells which of these N images it came from: at most log N, and near that wherever no two
    codes overlap. The last term is how badly the prior misses the codes. Time grows with N² · samples.
    Standard errors are those of the draws of z. Source: Hoffman & Johnson 2016, ELBO surgery.
    """
    if not require.is_count(samples, 2):
        raise ValueError(f"A standard error needs at least 2 samples, not {samples}.")
    aggregate, logs = aggregate_posterior(model, x, y=y), []
    size = max(1, 1_000_000 // (samples * len(x) * aggregate.event_shape.numel()))  # each z meets N q's
    with _measuring(model, x, y, seed, size) as parts:
        for part, some in parts:
            q = part.approximate_posterior(some)
            z = q.sample((samples,))  # (S, n, d)
            logs.append(torch.stack([q.log_prob(z), aggregate.log_prob(z), part.prior.log_prob(z)]))
    log_q, log_agg, log_prior = torch.cat(logs, 2).cpu().double()  # (S, N) each

    def estimate(draws: Tensor) -> Estimate:  # the images are given, only the z's are drawn
        return Estimate(float(draws.mean()), float(draws.var(0).mean() / draws.numel()) ** 0.5)

    terms = {"kl": log_q - log_prior, "information": log_q - log_agg, "aggregate_kl": log_agg - log_prior}
    return {name: estimate(draws) for name, draws in terms.items()}


def linear_probe(z_train: Tensor, y_train: Tensor, z_test: Tensor, y_test: Tensor) -> float:
    """How much of the label a straight cut reads from z (N, d): test accuracy of a logistic regression."""
    from sklearn import linear_model, pipeline, preprocessing  # here, because it takes a second to import

    require.tensors(z_train, y_train, z_test, y_test)
    arrays = [np.asarray(part.detach().cpu()) for part in (z_train, y_train, z_test, y_test)]
    scaled, logistic = preprocessing.StandardScaler(), linear_model.LogisticRegression(max_iter=1000)
    probe = pipeline.make_pipeline(scaled, logistic)
    return float(probe.fit(*arrays[:2]).score(*arrays[2:]))


@torch.no_grad()
def within_class_diversity(images: Tensor, labels: Tensor) -> float:
    """Mean squared distance of two different images of a class, averaged over the classes. Not in nats.

    In pixels (N, D), or in features, as by Classifier.features. Compare like with like: in binary images each
    pixel's own noise counts, in a decoder's means it is missing. Raises ValueError for labels that are not
    one a row, for bytes, and for a class of one image.
    """
    require.tensors(images, labels)
    if not images.is_floating_point():
        raise ValueError(f"Pixels or features are floating numbers, not {images.dtype}: use digits.pixels().")
    if labels.shape != images.shape[:1]:
        raise ValueError(f"{len(images):,} images need a label each, not labels of {tuple(labels.shape)}.")
    groups = [images[labels == label].flatten(1).cpu().double() for label in labels.unique()]  # (n, D) each
    if min(map(len, groups), default=0) < 2:
        raise ValueError("A distance needs two images of a class, and some class here has only one.")
    return float(torch.stack([2 * g.var(0).sum() for g in groups]).mean())  # mean ‖a − b‖² is 2 · variance


@contextmanager
def _measuring(model, x, y, seed=0, size=1000, exact=False):
    """Gives `size` images at a time, each time with the model meant for them; puts all back at the end."""
    require.tensors(x)
    if x.ndim != 2 or len(x) < 2 or not x.is_floating_point():
        raise ValueError(f"x must be float rows (N, D), at least two, not {x.dtype} {tuple(x.shape)}.")
    y = _labels_for(model, y, len(x))

    with aside(x.device, seed, model):
        torch.manual_seed(seed)
        getattr(model, "eval", lambda: None)()
        one = model if y is None else model.given(y[:1])
        _check_model(model, one)
        if exact:
            with suppress(NotImplementedError):  # not every distribution says what it can produce
                _check_pixels(one.likelihood(one.approximate_posterior(x[:1]).sample()).support, x)
        slices = (slice(start, start + size) for start in range(0, len(x), size))
        yield ((model if y is None else model.given(y[rows]), x[rows]) for rows in slices)


def _labels_for(model: Any, y: Tensor | int | None, n: int) -> Tensor | None:
    """The labels (n,) that the model is to be given, or None. Raises ValueError for any that do not fit."""
    if y is None:
        return None
    y = torch.as_tensor(y)
    y = y.expand(n) if y.ndim == 0 else y
    if len(y) != n:
        raise ValueError(f"{n:,} images need as many labels, not {len(y):,}.")
    if not hasattr(model, "given"):
        raise ValueError(f"Only a conditional model takes labels y, and {type(model).__name__} is none.")
    classes = getattr(getattr(model, "config", None), "labels", None)
    if classes:
        require.labels(y, classes)
    return y


def _check_model(model: Any, one: Any) -> None:
    """Raise ValueError unless `one`, the model given its labels if there are any, can be measured."""
    missing = [part for part in ("prior", "likelihood", "approximate_posterior") if not hasattr(one, part)]
    if missing and one is model and hasattr(model, "given"):
        raise ValueError(
            f"{type(model).__name__} needs the images' labels: pass y, one a row, or one for all."
        )
    if missing:
        raise ValueError(
            "Measuring needs a model with prior, likelihood(z) and approximate_posterior(x), "
            f"and {type(model).__name__} has no {missing[0]}."
        )


def _check_pixels(support: Any, x: Tensor) -> None:
    """Raise ValueError for x outside the support; warn if it is continuous but every pixel is 0 or 1."""
    if not support.check(x).all():
        raise ValueError("This likelihood cannot produce such x: use fixed_binarization(images).")
    black_and_white = bool(((x == 0) | (x == 1)).all()) and bool(x.min() < x.max())
    if black_and_white and not support.is_discrete:
        warnings.warn(
            "These pixels are all black or white, and this likelihood is a density of grey ones, which has "
            "no upper limit there: for a model of grey images pass digits.pixels().",
            stacklevel=5,
        )
