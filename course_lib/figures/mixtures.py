"""Figures for the chapter "Gaussian mixtures and EM", with one function per figure.

Every function takes results computed in the chapter, shows one figure, and returns None.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike
from torch import Tensor

from course_lib import plots

# Weights, means and variances, each (K,), and responsibilities (N, K).
Mixture1D = tuple[Tensor, Tensor, Tensor, Tensor]
# Weights (K,), means (K, 2), covariances (K, 2, 2), and responsibilities (N, K).
Mixture2D = tuple[ArrayLike, ArrayLike, ArrayLike, Tensor]


def density(grid: Tensor, curves: Mapping[str, Tensor], samples: Tensor) -> None:
    """Plot densities on a grid, with the first one in black, over a histogram of the samples."""
    plots.density(grid, dict(curves), samples=samples)
    plt.show()


def two_ways_to_sample(grid: Tensor, exact: Tensor, ancestral: Tensor, averaged: Tensor) -> None:
    """Plot a mixture's exact density over histograms of ancestral samples and of averaged draws."""
    _, (left, right) = plt.subplots(1, 2, figsize=(11, 3.2), sharex=True)
    plots.density(
        grid, {"exact density": exact}, samples=ancestral, ax=left, title="ancestral sampling"
    )
    plots.density(
        grid,
        {"exact density": exact},
        samples=averaged,
        ax=right,
        title="one draw of each, averaged",
    )
    plt.show()


def em_steps_1d(
    x: Tensor, trace: Sequence[Mixture1D], log_likelihoods: Sequence[float], steps: Sequence[int]
) -> None:
    """Plot four steps of EM in one dimension: the weighted Gaussians, their sum,
    and the points coloured by responsibility.
    """
    _, axes = plt.subplots(2, 2, figsize=(11, 5.8), sharex=True)
    for ax, step in zip(axes.flat, steps, strict=True):
        plots.mixture_1d(x, *trace[step], ax=ax)
        ax.set_title(f"step {step}: {log_likelihoods[step]:.3f} nats".replace("-", "−"))
    plt.show()


def em_steps_2d(
    x: Tensor, trace: Sequence[Mixture2D], log_likelihoods: Sequence[float], steps: Sequence[int]
) -> None:
    """Plot the chosen steps of two-dimensional EM side by side, with ellipses for each Gaussian."""
    _, axes = plt.subplots(1, len(steps), figsize=(3.1 * len(steps), 3.5), sharex=True, sharey=True)
    for ax, step in zip(axes, steps, strict=True):
        _, means, covariances, resp = trace[step]
        plots.mixture_2d(x, means, covariances, resp, ax=ax)
        ax.set_title(f"step {step}: {log_likelihoods[step]:.3f} nats".replace("-", "−"))
        _limit_to(ax, x)
    plt.show()


def log_likelihood(history: Sequence[float], skip: int = 1, truth: float | None = None) -> None:
    """Plot the log-likelihood after each step of EM.

    The first `skip` values, which would dwarf the differences between the rest, are omitted.
    """
    _, ax = plt.subplots(figsize=(7, 3))
    steps = range(skip, len(history))
    ax.plot(steps, history[skip:], color=plots.MODEL, lw=2, label="mixture")
    if truth is not None:
        ax.axhline(
            truth, color=plots.DATA, ls="--", lw=1.5, label="the density that made the points"
        )
        ax.legend()
    ax.set(xlabel="step of EM", ylabel="mean log P(x), nats")
    plt.show()


def where_starts_end(ends: Mapping[str, Sequence[float]], truth: float | None = None) -> None:
    """Plot EM's final log-likelihood for each start, with one row of dots per kind of start."""
    _, ax = plt.subplots(figsize=(7.5, 1.2 + 0.6 * len(ends)))
    for row, values in enumerate(ends.values()):
        # offsets, so that equal values can be counted
        heights = row + np.linspace(-0.18, 0.18, len(values))
        ax.plot(values, heights, "o", color=plots.COMPONENTS[row], ms=7, alpha=0.8)
    if truth is not None:
        ax.axvline(truth, color=plots.DATA, ls="--", lw=1.5)
        ax.text(truth, len(ends) - 0.45, "true density", ha="center", va="bottom")
    ax.set_yticks(range(len(ends)), list(ends))
    ax.set(xlabel="mean log P(x) at the end, nats", ylim=(-0.5, len(ends) - 0.5))
    plt.show()


def hardening(x: Tensor, found: Mapping[float, tuple[Tensor, Tensor]]) -> None:
    """Plot means and responsibilities for several values of the standard deviation
    that all Gaussians share, with one panel per value.

    found: maps each standard deviation to the means (K, 2) and the responsibilities (N, K).
    """
    _, axes = plt.subplots(1, len(found), figsize=(3.3 * len(found), 3.6), sharex=True, sharey=True)
    for ax, (sigma, (means, resp)) in zip(axes, found.items(), strict=True):
        ax.scatter(x[:, 0], x[:, 1], c=plots.blend(resp), s=10, linewidths=0)
        ax.scatter(
            means[:, 0],
            means[:, 1],
            c=plots.COMPONENTS[: len(means)],
            marker="X",
            s=90,
            edgecolors="white",
        )
        ax.set_title(f"σ = {sigma:g}")
        ax.set_aspect("equal")
    plt.show()


def spike(widths: Tensor, log_likelihoods: Tensor) -> None:
    """Plot a mixture's log-likelihood against the width of a Gaussian that shrinks onto a point."""
    _, ax = plt.subplots(figsize=(7, 3))
    ax.semilogx(widths, log_likelihoods, color=plots.MODEL, lw=2)
    ax.set_xticks([10.0**power for power in range(0, -101, -20)])
    ax.minorticks_off()
    ax.invert_xaxis()
    ax.set(xlabel="standard deviation s of the Gaussian on one point (shrinking to the right)")
    ax.set(ylabel="mean log P(x), nats")
    plt.show()


def price_of_narrowness(floors: Sequence[float], fitted: Tensor, fresh: Tensor) -> None:
    """Plot the log-likelihoods of the training points and of new points against the variance floor.

    fitted, fresh: the log-likelihoods of the two sets of points, each of shape (floors, seeds).
    """
    _, ax = plt.subplots(figsize=(7, 3.2))
    for values, colour, marker, label in (
        (fitted, plots.DATA, "o", "points used for the fit"),
        (fresh, plots.GAP, "s", "fresh points"),
    ):
        ax.semilogx(floors, values, marker, color=colour, ms=4, alpha=0.35)
        ax.semilogx(floors, values.mean(1), marker + "-", color=colour, label=label)
    ax.set(xlabel="reg_covar, added to each variance", ylabel="mean log P(x), nats")
    ax.legend()
    plt.show()


def fitted_densities(grid: Tensor, truth: Tensor, log_densities: Mapping[int, Tensor]) -> None:
    """Plot fitted mixtures over the true density, with one panel per number of components."""
    _, axes = plt.subplots(
        1, len(log_densities), figsize=(4 * len(log_densities), 3.2), sharey=True
    )
    for ax, (components, log_q) in zip(axes, log_densities.items(), strict=True):
        ax.fill_between(grid, truth, color="#D0D0D0", label="truth")
        ax.plot(grid, log_q.exp(), color=plots.MODEL, lw=1.8, label="mixture")
        ax.set(title=f"K = {components}", xlabel="x", ylim=(0, 1.25 * float(truth.max())))
    axes[0].set_ylabel("density")
    axes[0].legend()
    plt.show()


def kl_and_price(kl: Mapping[int, float], price: Sequence[float]) -> None:
    """Plot KL(data‖mixture) and the cost of estimating the parameters
    against the number of components.
    """
    _, ax = plt.subplots(figsize=(6.5, 3.4))
    ax.loglog(list(kl), list(kl.values()), "o-", color=plots.GAP, label="KL(data‖mixture)")
    ax.loglog(list(kl), price, ":", color=plots.PRIOR, lw=2, label="rule of thumb: (3K − 1) / 2N")
    ax.set_xticks(list(kl), [str(k) for k in kl])
    ax.minorticks_off()
    ax.set(xlabel="number of components K", ylabel="nats")
    ax.legend()
    plt.show()


def bic_curves(candidates: Sequence[int], bics: Sequence[Sequence[float]], truth: int) -> None:
    """Plot the BIC minus its lowest value against the number of components,
    with one curve per data set.
    """
    _, ax = plt.subplots(figsize=(6.5, 3.2))
    for values in bics:
        lowest = int(np.argmin(values))
        ax.plot(candidates, np.array(values) - values[lowest], color=plots.MODEL, alpha=0.5, lw=1.5)
        ax.plot(candidates[lowest], 0, "o", color=plots.GAP, ms=9)
    ax.axvline(truth, color=plots.DATA, ls="--", lw=1.2)
    ax.set(xlabel="number of components K (dashed: the truth)", ylabel="BIC above its minimum")
    plt.show()


def digit_likelihoods(
    fitted: Mapping[int, float], held_out: Mapping[int, float], bic: Mapping[int, float]
) -> None:
    """Plot −log P per digit and BIC / 2N against the number of components.

    −log P is shown both for the digits used for the fit and for held-out digits.
    """
    _, ax = plt.subplots(figsize=(7, 3.6))
    sizes = list(fitted)
    ax.plot(
        sizes,
        [-v for v in fitted.values()],
        "o-",
        color=plots.DATA,
        label="digits used for the fit",
    )
    ax.plot(sizes, [-v for v in held_out.values()], "s-", color=plots.GAP, label="held-out digits")
    ax.plot(sizes, list(bic.values()), "^--", color=plots.MODEL, label="BIC / 2N")
    ax.set_xscale("log", base=2)
    ax.set_xticks(sizes, [str(k) for k in sizes])
    ax.set(
        xlabel="number of components K", ylabel="−log P, nats per digit", title="lower is better"
    )
    ax.legend()
    plt.show()


def digit_sheets(rows: Mapping[str, Tensor]) -> None:
    """Draw one row of images per title; pixel values outside [0, 1] are clipped."""
    _, axes = plt.subplots(len(rows), 1, figsize=(9, 1.25 * len(rows)))
    for ax, (title, images) in zip(axes, rows.items(), strict=True):
        plots.digits(images.clamp(0, 1), columns=len(images), ax=ax, title=title)
    plt.show()


def bits_with_bits(label: Mapping[float, float], vector: Mapping[int, float], limit: float) -> None:
    """Plot the explained variance against the number of bits in a code.

    The code is either one label or a vector of bits.
    """
    _, ax = plt.subplots(figsize=(7, 3.6))
    ax.plot(list(label), list(label.values()), "o-", color=plots.Q, label="one label of K")
    ax.plot(list(vector), list(vector.values()), "s-", color=plots.MODEL, label="a vector of bits")
    ax.axhline(limit, color=plots.PRIOR, ls=":", label="the same directions, unrounded")
    ax.set(xlabel="bits in the code", ylabel="variance explained", ylim=(-0.02, 1))
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    plt.show()


def _limit_to(ax: Axes, x: Tensor) -> None:
    """Limit the axes to the range of the points plus a small margin,
    even if the ellipses extend further.
    """
    margin = 0.1 * float(x.max() - x.min())
    ax.set(xlim=(float(x[:, 0].min()) - margin, float(x[:, 0].max()) + margin))
    ax.set(ylim=(float(x[:, 1].min()) - margin, float(x[:, 1].max()) + margin))
