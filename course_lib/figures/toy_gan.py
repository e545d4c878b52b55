"""Figures for the chapter "A GAN in one dimension".

Further figures are in `course_lib.toy_gan.figures`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import ArrayLike

from course_lib import plots
from course_lib.plots import BOUND, DATA, GAP, MODEL, PRIOR
from course_lib.toy_gan import History
from course_lib.toy_gan.figures import BEST, LOOKS, compare

Shot = tuple[Any, Any]  # generated points (N, 1), and D on the line (G, 1)
PROBABILITY = {"ylim": (-0.03, 1.03), "yticks": [0, 0.5, 1], "yticklabels": ["0", "½", "1"]}


def snapshots(line: Any, density: ArrayLike, shots: Mapping[str, Shot]) -> None:
    """Plot each stage of a game in its own panel: the data density, the generated points, and D.

    line: the grid for the density and for D, of shape (G,).
    """
    x, p = np.asarray(line).ravel(), np.asarray(density).ravel()
    figure, axes = plt.subplots(1, len(shots), figsize=(2.5 * len(shots), 2.8), sharey=True)
    for ax, (title, (points, d)) in zip(axes, shots.items(), strict=True):
        bins = np.linspace(x[0], x[-1], 91)
        ax.hist(
            np.asarray(points).ravel(),
            bins,
            density=True,
            color=BOUND,
            alpha=0.5,
            label="generated points",
        )
        ax.plot(x, p, ":", color=DATA, lw=2.2, label="data p(x)")
        ax.set(title=title, xlabel="x", ylim=(0, 2.2 * p.max()))
        right = _axis_of_d(ax)
        right.plot(x, np.asarray(d).ravel(), "--", color=MODEL, lw=2, label="D(x), right axis")
    axes[0].set_ylabel("density")
    handles = [*axes[0].get_legend_handles_labels()[0], right.lines[-1]]
    figure.legend(handles, [h.get_label() for h in handles], loc="outside lower center", ncols=3)


def best_discriminator(x: ArrayLike, p: ArrayLike, q: ArrayLike, d: ArrayLike) -> None:
    """Plot two densities on the left, and the trained D and the best D on the right.

    All arguments have shape (G,).
    """
    p, q = np.asarray(p), np.asarray(q)
    _, (left, right) = plt.subplots(1, 2, figsize=(8.4, 2.8))
    left.plot(x, p, ":", color=DATA, lw=2.2, label="data p(x)")
    left.plot(x, q, color=BOUND, lw=2, label="generator q(x), frozen")
    left.set(xlabel="x", ylabel="density", ylim=(0, 1.35 * max(p.max(), q.max())))
    left.legend(loc="upper center", ncols=2)
    right.plot(x, p / (p + q), color=BEST, lw=4, alpha=0.6, label="p / (p + q)")
    right.plot(x, d, "--", color=MODEL, lw=2, label="D(x) after training")
    right.axhline(0.5, color=PRIOR, lw=0.8)
    right.set(xlabel="x", ylabel="D", **PROBABILITY)
    right.legend()


def lengths_of_step(lengths: ArrayLike, means: ArrayLike, jsds: ArrayLike, before: float) -> None:
    """Plot the mean of the points and the JSD after one generator step
    as functions of the step length.

    lengths, means, jsds: shape (L,). before: the JSD before the step.
    """
    mean = "mean of the generated points (data: 0)"
    jsd = "JSD(p, q), nats (dotted: before the step)"
    panels = {mean: {"": (lengths, means)}, jsd: {"": (lengths, jsds)}}
    compare(panels, "learning rate of the one step", marks={mean: 0, jsd: before}, xlog=True)


def frozen_and_free(paths: Mapping[str, Sequence[tuple[ArrayLike, ArrayLike]]]) -> None:
    """Plot the loss and the shift of the mean during training, with one line per kind and seed.

    Each curve has shape (T,).
    """
    _, axes = plt.subplots(1, 2, figsize=(7.6, 2.7))
    for (name, seeds), (colour, dash) in zip(paths.items(), LOOKS, strict=False):
        for number, curves in enumerate(seeds):
            for ax, curve in zip(axes, curves, strict=True):
                label = None if number else name
                ax.plot(np.asarray(curve), dash, color=colour, lw=1.6, label=label)
    axes[0].set(
        title="generator's loss, −log D(G(z)), nats", xlabel="generator step", ylim=(0, None)
    )
    axes[1].set(title="how far the mean of the points moved", xlabel="generator step")
    axes[0].legend()


def gradients(distances: ArrayLike, curves: Mapping[str, ArrayLike]) -> None:
    """Plot the gradient against the generator's distance from the data, with one line per loss.

    The distances and each curve have shape (M,).
    """
    title = "gradient against the best D, nats per unit of x"
    lines = {name: (distances, curve) for name, curve in curves.items()}
    compare({title: lines}, "distance μ", log=[title])
    plt.gcf().set_size_inches(5.6, 3)


def divergences(shifts: ArrayLike, jsds: ArrayLike, works: ArrayLike) -> None:
    """Plot the JSD and the Wasserstein distance between two blocks against the shift between them.

    The blocks have width 1. All arguments have shape (M,).
    """
    titles = "JSD(p, q), nats (dotted: log 2)", "Wasserstein distance $W_1$(p, q)"
    panels = {titles[0]: {"": (shifts, jsds)}, titles[1]: {"": (shifts, works)}}
    highest = {titles[0]: float(np.log(2))}
    for ax in compare(panels, "shift μ between the two blocks", marks=highest):
        ax.axvline(1, color=GAP, lw=1, ls="--")
        ax.annotate("the blocks part", (1.03, 0.03), xycoords=("data", "axes fraction"), color=GAP)


def runs(
    kinds: Mapping[str, Sequence[History]],
    columns: Mapping[str, str],
    log: Sequence[str] = (),
    levels: Mapping[str, float] | None = None,
    changes: Sequence[float] = (),
) -> None:
    """Plot one panel per column of the histories, with one colour per kind of game
    and one line per seed.

    columns: maps column names from `toy_gan.HEAD` to panel titles. log: the columns with a
    logarithmic axis. levels: maps each column to the height of its dotted horizontal line. changes:
    the rounds at which a learning rate was changed, which are marked by vertical lines.
    """
    _, axes = plt.subplots(1, len(columns), figsize=(3.9 * len(columns), 2.6), squeeze=False)
    for ax, (column, title) in zip(axes[0], columns.items(), strict=True):
        for (kind, games), (colour, dash) in zip(kinds.items(), LOOKS, strict=False):
            for number, game in enumerate(games):
                label = None if number else kind
                rounds, values = game.column("step"), game.column(column)
                ax.plot(rounds, values, dash, color=colour, lw=1.5, label=label)
        ax.set(title=title, xlabel="round", yscale="log" if column in log else "linear")
        if levels and column in levels:
            ax.axhline(levels[column], color=PRIOR, lw=1.4, ls=":")
        for at in changes:
            ax.axvline(at, color=PRIOR, lw=1.2)
    if len(kinds) > 1:
        axes[0, 0].legend()


def rate_map(wrong: ArrayLike, rates: Sequence[float], rounds: int) -> None:
    """Draw the misplaced mass for each pair of learning rates, with darker cells for more mass.

    wrong: the misplaced mass, of shape (G, D), with one row per learning rate of G and one column
    per learning rate of D.
    """
    plots.rate_map(np.asarray(wrong), rates, f"mass in the wrong place after {rounds} rounds")


def curves(
    kinds: Mapping[str, Sequence[ArrayLike]],
    title: str,
    xlabel: str,
    every: int = 1,
    log: bool = False,
) -> None:
    """Plot one line per seed, with one colour per kind of game.

    Each line has shape (T,), and its points are `every` rounds apart.
    """
    _, ax = plt.subplots(figsize=(4.4, 2.6))
    for (kind, seeds), (colour, dash) in zip(kinds.items(), LOOKS, strict=False):
        for number, values in enumerate(seeds):
            label = None if number else kind
            rounds = every * np.arange(len(np.asarray(values)))
            ax.plot(rounds, values, dash, color=colour, lw=1.5, label=label)
    ax.set(title=title, xlabel=xlabel, yscale="log" if log else "linear")
    ax.legend()


def generators(history: History, moments: Mapping[str, int], ax_title: str = "x = G(z)") -> None:
    """Plot G as a function of z in one panel per stage of a game,
    and the data density in the last panel.
    """
    grid = history.game.grid
    _, axes = plt.subplots(
        1, len(moments) + 1, figsize=(2.4 * (len(moments) + 1), 2.7), sharey=True
    )
    for ax, (title, at) in zip(axes, moments.items(), strict=False):
        ax.plot(history.column("z")[at], history.column("x")[at], color=BOUND, lw=2.5)
        ax.set(title=title, xlabel="z")
    axes[-1].plot(grid.p[1:-1] / grid.dx, grid.x, ":", color=DATA, lw=2)
    axes[-1].set(title="data", xlabel="density p(x)", ylim=(float(grid.x[0]), float(grid.x[-1])))
    axes[0].set_ylabel(ax_title)


def _axis_of_d(ax: Any) -> Any:
    """Add a vertical axis for probabilities on the right, and return it."""
    right = ax.twinx()
    right.tick_params(axis="y", colors=MODEL, length=0)
    right.axhline(0.5, color=MODEL, lw=0.8, alpha=0.3)
    right.set(**PROBABILITY)
    return right
