"""Figures for the chapter "The evidence lower bound".

Log-densities, bounds and divergences are in nats.

Blue marks log P(x), green the bound L_b, vermilion the gap between them, orange q, and grey the
prior.
"""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from torch import Tensor

from course_lib import plots
from course_lib.plots import BOUND, DATA, GAP, MODEL, PRIOR, Q
from course_lib.probability.elbo import Bound

CLOSED = 1e-10  # nats; a gap below this value is rounding error
DARK_GREEN = "#00704F"  # for small text, because text needs more contrast than lines
METHODS = (DATA, Q, "#CC79A7")  # colours of the methods that find q; MARKERS are their markers
MARKERS = ("o", "s", "^")


def finite_mixtures(
    x: Tensor, p: Tensor, mixtures: dict[int, Tensor], kl: dict[int, float]
) -> None:
    """Plot the density p with one mixture of K Gaussians per panel,
    and show KL(p‖mixture) in the titles.

    x: a grid of shape (X,), on which p and the mixtures are evaluated.
    """
    _, axes = plt.subplots(1, len(mixtures), figsize=(9.5, 2.9), sharey=True)
    for ax, (count, density) in zip(axes, mixtures.items(), strict=True):
        ax.plot(x, p, color=DATA, lw=2.5, label="integral")
        ax.plot(x, density, color=MODEL, lw=1.8, label="K Gaussians")
        ax.set(xlabel="x", title=f"K = {count}\nKL {kl[count]:.2g} nats", ylim=(0, None))
    axes[0].set_ylabel("density")
    axes[-1].legend(loc="upper right")
    plt.show()


def distributions_of_z(z: Tensor, prior: Tensor, posterior: Tensor, q: Tensor) -> None:
    """Plot three densities of z on a grid: the prior, the posterior
    and an approximate posterior q.

    All arguments have shape (G,).
    """
    ax = plt.subplots(figsize=(8, 2.9))[1]
    ax.plot(z, prior, color=PRIOR, lw=2, ls=":", label="prior P(z)")
    ax.plot(z, posterior, color=MODEL, lw=2.5, label="posterior P(z|x)")
    ax.plot(z, q, color=Q, lw=2, ls="--", label="approximate posterior q(z|x)")
    ax.set(xlabel="z", ylabel="density", xlim=(-3, 3), ylim=(0, None))
    ax.legend(loc="upper left")
    plt.show()


def tangent(t: Tensor) -> None:
    """Plot log t and its tangent t − 1 at t = 1."""
    ax = plt.subplots(figsize=(6, 2.9))[1]
    ax.plot(t, t - 1, color=BOUND, lw=2, ls="--", label="t − 1")
    ax.plot(t, t.log(), color=MODEL, lw=2.5, label="log t")
    ax.plot([1], [0], "o", color=DATA)
    ax.annotate("equal at t = 1 only", (1, 0), (12, -14), textcoords="offset points")
    ax.set(xlabel="t", ylim=(-3, 3))
    ax.legend(loc="upper left")
    plt.show()


def two_directions(z: Tensor, p: Tensor, least_q_to_p: Tensor, least_p_to_q: Tensor) -> None:
    """Plot a density p with two modes, and the best Gaussian q for each direction of the KL.

    All arguments have shape (G,).
    """
    ax = plt.subplots(figsize=(8, 2.9))[1]
    ax.plot(z, p, color=DATA, lw=2.5, label="p")
    ax.plot(z, least_q_to_p, color=Q, lw=2, label="q with the least KL(q‖p)")
    ax.plot(z, least_p_to_q, color=MODEL, lw=2, ls="--", label="q with the least KL(p‖q)")
    ax.set(xlabel="z", ylabel="density", xlim=(-5, 5), ylim=(0, None))
    ax.legend(loc="upper right")
    plt.show()


def over_w(
    w: Tensor, log_evidence: Tensor, bound: Tensor, start: float, end: float, y_min: float
) -> None:
    """Plot log P(x) and L_b against the parameter w, and mark the start and end values of w.

    w, log_evidence and bound have shape (G,).
    """
    ax = plt.subplots(figsize=(8, 3.4))[1]
    for values, colour, style, label in (
        (log_evidence, MODEL, "-", "log P(x)"),
        (bound, BOUND, "--", "$L_b$"),
    ):
        ax.plot(w, values, color=colour, lw=2.5, ls=style, label=label)
        at = [int((w - place).abs().argmin()) for place in (start, end)]
        heights = [float(values[i]) for i in at]
        ax.plot([start, end], heights, "o", color=colour)
        between = {"arrowstyle": "->", "color": colour, "lw": 1.5}
        ax.annotate("", (end, heights[1]), (start, heights[0]), arrowprops=between)
    for place, name in ((start, "start"), (end, "end")):
        ax.axvline(place, color=PRIOR, ls=":", lw=1)
        ax.annotate(name, (place, y_min), (3, 4), textcoords="offset points")
    top = float(log_evidence.max())
    ax.set(xlabel="w", ylabel="nats", ylim=(y_min, top + 0.1 * (top - y_min)))
    ax.legend(loc="lower right")
    plt.show()


def _number(value: float) -> str:
    """Format a number with two decimals and the minus sign that matplotlib uses."""
    return f"{value:.2f}".replace("-", "−")


def levels(states: dict[str, tuple[float, float]]) -> None:
    """Draw each state (log P(x), L_b) as two levels, with the gap between them shaded.

    Log-densities have no natural zero, so no bar starts at 0, and only the length of a gap is
    meaningful.
    """
    ax = plt.subplots(figsize=(1.9 * len(states) + 2.4, 3.6))[1]
    centred: dict[str, Any] = {"textcoords": "offset points", "ha": "center"}
    for i, (log_px, bound) in enumerate(states.values()):
        ax.bar(
            i,
            log_px - bound,
            0.5,
            bottom=bound,
            color=GAP,
            alpha=0.3,
            label="gap" if i == 0 else "",
        )
        ax.hlines(log_px, i - 0.32, i + 0.32, color=MODEL, lw=3, label="log P(x)" if i == 0 else "")
        ax.hlines(
            bound, i - 0.32, i + 0.32, color=BOUND, lw=3, ls="--", label="$L_b$" if i == 0 else ""
        )
        ax.annotate(_number(log_px), (i, log_px), (0, 5), color=MODEL, **centred)
        ax.annotate(_number(bound), (i, bound), (0, -15), color=DARK_GREEN, **centred)
    low = min(bound for _, bound in states.values())
    high = max(log_px for log_px, _ in states.values())
    ax.set_xticks(range(len(states)), list(states))
    room = 0.15 * (high - low)
    ax.set(ylabel="nats", ylim=(low - room, high + room), xlim=(-0.6, len(states) - 0.4))
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    plt.show()


def half_rounds(runs: dict[str, Sequence[tuple[float, float]]], y_min: float) -> None:
    """Plot log P(x) and L_b after every half round, with one panel per run.

    A dotted line marks the first value of log P(x) in each run.
    """
    _, axes = plt.subplots(1, len(runs), figsize=(9.5, 3.2), sharey=True)
    for ax, (name, history) in zip(axes, runs.items(), strict=True):
        log_px, bound = np.array(history).T
        rounds = (np.arange(len(history)) + 1) / 2
        ax.fill_between(rounds, bound, log_px, color=GAP, alpha=0.3, label="gap")
        ax.plot(rounds, log_px, color=MODEL, lw=2.5, label="log P(x)")
        ax.plot(rounds, bound, color=BOUND, lw=1.8, ls="--", label="$L_b$")
        ax.axhline(log_px[0], color=PRIOR, lw=1, ls=":")
        ax.set(title=name, xlabel="round")
    top = max(log_px for history in runs.values() for log_px, _ in history)
    axes[0].set(ylabel="nats", ylim=(y_min, top + 0.1 * (top - y_min)))
    axes[-1].legend(loc="lower right")
    plt.show()


def methods(histories: dict[str, Sequence[Bound]]) -> None:
    """Plot log P(x) after each P-step and the gap after each q-step,
    for several methods of finding q.

    A history contains `Bound.mean()` after each half round; q-steps and P-steps alternate, starting
    with a q-step.
    Gaps below CLOSED are rounding errors; they are drawn on a separate line at the bottom, so that
    the larger gaps fill the scale.
    """
    _, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.5))
    gaps = {
        name: np.array([float(b.gap) for b in history[::2]]) for name, history in histories.items()
    }
    opened = np.concatenate([gap[gap > CLOSED] for gap in gaps.values()])
    floor = 10 ** (np.floor(np.log10(opened.min())) - 1) if len(opened) else CLOSED
    styles = zip(histories.items(), METHODS, MARKERS, strict=False)
    for (name, history), colour, marker in styles:
        look: dict[str, Any] = {"color": colour, "marker": marker, "ms": 4, "lw": 1.5}
        rounds = np.arange(1, len(gaps[name]) + 1)
        left.plot(rounds, [float(b.elbo + b.gap) for b in history[1::2]], label=name, **look)
        right.plot(rounds, np.where(gaps[name] > CLOSED, gaps[name], floor), label=name, **look)
    right.axhline(floor, color=PRIOR, lw=1, ls=":")
    right.annotate("closed: below $10^{-10}$", (1, floor), (2, 6), textcoords="offset points")
    right.set(yscale="log", xlabel="round", ylabel="gap after the q-step, nats")
    left.set(xlabel="round", ylabel="log P(x) after the P-step, nats")
    left.legend(loc="lower right")
    plt.show()


def closing(gaps: dict[str, Sequence[float]]) -> None:
    """Plot the gap against the number of gradient steps on q, for a fixed P."""
    ax = plt.subplots(figsize=(7, 3))[1]
    # the first colour and marker belong to EM, which takes no gradient steps
    for (name, values), colour, marker in zip(gaps.items(), METHODS[1:], MARKERS[1:], strict=False):
        every = max(1, len(values) // 12)
        ax.plot(values, color=colour, marker=marker, markevery=every, ms=5, lw=1.8, label=name)
    ax.set(xlabel="gradient steps on q", ylabel="gap, nats per point", yscale="log")
    ax.legend()
    plt.show()


def training(history: Sequence[Bound], steps: Sequence[int], below: float = 50) -> None:
    """Plot the training curves of an encoder: the gap on a logarithmic scale (left)
    and the two parts of L_b (right).

    The vertical axis of the right panel starts `below` nats below 0, so that a bad start does not
    flatten the rest of the curves.
    """
    _, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.5))
    xlabel = "training step of the encoder"
    left.semilogy(steps, [float(b.gap) for b in history], color=GAP, lw=2)
    left.set(xlabel=xlabel, ylabel="gap, nats per image", title="KL(q‖P(z|x)) on test images")
    plots.bound_parts(history, steps, ax=right, xlabel=xlabel)
    top = max(float(b.reconstruction) for b in history)
    right.set_ylim(-below, top + below)
    plt.show()


def estimates(
    counts: Sequence[int], means: Sequence[float], errors: Sequence[float], exact: float
) -> None:
    """Plot averages, with error bars of two standard errors, against the number of samples,
    and draw a line at the exact value.
    """
    ax = plt.subplots(figsize=(7, 2.9))[1]
    bars = [2 * error for error in errors]
    ax.errorbar(
        counts,
        means,
        bars,
        fmt="o",
        color=Q,
        capsize=4,
        lw=1.8,
        label="samples, ± 2 standard errors",
    )
    ax.axhline(exact, color=MODEL, lw=1.8, label="closed form")
    ax.set(xscale="log", xlabel="number of samples", ylabel="KL(q‖P(z)), nats")
    ax.legend()
    plt.show()


def estimator_noise(
    widths: Sequence[float], closed_form: Sequence[float], sampled: Sequence[float]
) -> None:
    """Plot the standard deviation of single-draw estimates of L_b against the width of q.

    The posterior has width 1.
    """
    ax = plt.subplots(figsize=(7.5, 3.2))[1]
    ax.plot(widths, closed_form, "o-", color=BOUND, lw=1.8, label="KL in closed form")
    ax.plot(widths, sampled, "s--", color=Q, lw=1.8, label="KL sampled, too")
    ax.axvline(1, color=PRIOR, lw=1, ls=":")
    ax.annotate("q is the posterior", (1, ax.get_ylim()[1]), (4, -14), textcoords="offset points")
    ax.set(
        xlabel="width of q, posterior = 1",
        ylabel="std. deviation of one draw, nats",
        ylim=(-0.3, None),
    )
    ax.legend(loc="upper left")
    plt.show()


def tightening(ks: Sequence[int], shortfalls: Sequence[float], errors: Sequence[float]) -> None:
    """Plot log P(x) minus the importance-weighted bound against k,
    with error bars of two standard errors.
    """
    ax = plt.subplots(figsize=(7, 2.9))[1]
    bars = [2 * error for error in errors]
    ax.errorbar(ks, shortfalls, bars, fmt="o-", color=GAP, capsize=4, lw=1.8)
    ax.axhline(0, color=MODEL, lw=1.8)
    ax.annotate("log P(x)", (ks[0], 0), (0, 5), textcoords="offset points", color=MODEL)
    ax.set(
        xscale="log",
        xlabel="k, samples in one bound",
        ylabel="nats below log P(x),\n± 2 standard errors",
    )
    plt.show()
