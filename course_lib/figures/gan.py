"""Figures for the chapter "GANs on MNIST", with one function per figure.

Every function takes results computed in the chapter, shows one figure or table, and returns None.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown, display
from numpy.typing import ArrayLike
from torch import Tensor

from course_lib import plots
from course_lib.evaluation import gan_figures

MARKERS = "osD^vPX"  # one shape per group, so that groups differ in more than colour


def digit_rows(rows: Mapping[str, Tensor], *, shape: Sequence[int] | None = None) -> None:
    """Draw a row of at most 16 images (N, D) for each name, with the name on the left."""
    gan_figures.digit_rows(rows, shape=shape)
    plt.show()


def preference_by_digit(shares: Sequence[float], errors: Sequence[float]) -> None:
    """Plot, for each digit, how often D prefers the edit at a stroke to the scattered edit.

    The error bars show two standard errors.
    """
    _, ax = plt.subplots(figsize=(7, 3))
    digits = range(len(shares))
    ax.errorbar(digits, shares, 2 * np.asarray(errors), fmt="o", color=plots.MODEL, capsize=4, ms=7)
    ax.axhline(0.5, color=plots.PRIOR, ls=":")
    ax.annotate(" no preference", (len(shares) - 0.5, 0.5), va="center", color=plots.PRIOR)
    ax.set(xticks=digits, xlabel="digit", ylabel="share of images", ylim=(0, 1.03))
    ax.set_xlim(-0.5, len(shares) + 1.2)
    ax.set_title("D gives the edit at a stroke the larger logit")
    plt.show()


def tournament(ranking: Tensor) -> None:
    """Draw how often each version of D ranks a real digit above one from each version of G.

    ranking: these frequencies, of shape (G, D).
    """
    table = ranking.detach().cpu().numpy()
    _, ax = plt.subplots(figsize=(6.6, 5.2))
    picture = ax.imshow(table, vmin=0, vmax=1, cmap="PuOr")
    for (i, j), value in np.ndenumerate(table):
        colour = "white" if abs(value - 0.5) > 0.35 else "black"
        ax.annotate(f"{value:.2f}", (j, i), ha="center", va="center", fontsize=10, color=colour)
    ax.set_xticks(range(table.shape[1]), [f"v{j + 1}" for j in range(table.shape[1])])
    ax.set_yticks(range(table.shape[0]), [f"v{i + 1}" for i in range(table.shape[0])])
    ax.set(xlabel="version of D, the judge", ylabel="version of G")
    bar = ax.figure.colorbar(picture, ax=ax, ticks=[0, 0.5, 1])
    bar.ax.set_yticklabels(["0: fooled", "½: cannot tell", "1: caught"])
    plt.show()


def losses_against_distance(runs: Sequence[Mapping[str, Sequence[float]]]) -> None:
    """Plot each run's losses against the Fréchet distance of its samples.

    D's losses are on the left, G's on the right. Each run has the keys "discriminator", "generator"
    and "distance", with one number per evaluation.
    """
    _, axes = plt.subplots(1, 2, figsize=(10.5, 3.6), sharex=True)
    names = {"discriminator": "D's loss, nats", "generator": "G's loss, nats"}
    for ax, (key, label) in zip(axes, names.items(), strict=True):
        for i, run in enumerate(runs):
            style = {"marker": MARKERS[i % len(MARKERS)], "ms": 5, "lw": 1}
            ax.plot(
                run["distance"], run[key], color=plots.COMPONENTS[i % 8], label=f"seed {i}", **style
            )
            ax.plot(
                run["distance"][-1],
                run[key][-1],
                "o",
                ms=12,
                mfc="none",
                mec=plots.COMPONENTS[i % 8],
            )
        ax.set(xscale="log", xlabel="Fréchet distance (better to the left)", ylabel=label)
        plots.plain_numbers(ax.xaxis)
    axes[0].axhline(np.log(4), color=plots.PRIOR, ls=":")
    axes[0].annotate(
        "log 4: D gives ½ to every image",
        (0.98, np.log(4)),
        xycoords=("axes fraction", "data"),
        ha="right",
        va="bottom",
        color=plots.PRIOR,
    )
    axes[1].legend(ncols=2)
    plt.show()


def pull(images: Tensor, slope: Tensor, *, shape: Sequence[int] | None = None) -> None:
    """Draw images and, below them, the sign of a slope: red for positive, blue for negative.

    images, slope: shape (N, D).
    """
    gan_figures.pull(images, slope, shape=shape)
    plt.show()


def frozen_and_free(runs: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """Plot G's loss and the Fréchet distance for each kind of run, with one point per seed."""
    _, axes = plt.subplots(1, 2, figsize=(9.5, 2.6), sharey=True)
    labels = ("G's loss, nats (what G minimizes)", "Fréchet distance (lower is better)")
    for i, (ax, label) in enumerate(zip(axes, labels, strict=True)):
        for j, (name, pairs) in enumerate(runs.items()):
            values = [pair[i] for pair in pairs]
            style = {"marker": MARKERS[j % len(MARKERS)], "color": plots.COMPONENTS[j % 8]}
            ax.plot(
                values,
                [j] * len(values),
                ls="none",
                ms=9,
                alpha=0.7,
                clip_on=False,
                label=name,
                **style,
            )
        ax.set_yticks(range(len(runs)), list(runs))
        ax.set(xlabel=label, xlim=(0, None), ylim=(len(runs) - 0.4, -0.6))
    plt.show()


def matching(cases: Mapping[str, Sequence[tuple[float, float, float]]]) -> None:
    """Plot D's ranking, the spread and the Fréchet distance in panels,
    with one row per kind of game.
    """
    _, axes = plt.subplots(1, 3, figsize=(12, 0.5 * len(cases) + 1.3), sharey=True)
    labels = (
        "0: fooled, ½: cannot tell, 1: caught",
        "0: all the same, 1: like digits",
        "lower is better",
    )
    titles = ("D ranks the real one first", "spread of G's images", "Fréchet distance")
    for i, (ax, title, label) in enumerate(zip(axes, titles, labels, strict=True)):
        for row, values in enumerate(cases.values()):
            chosen = [value[i] for value in values]
            ax.plot(chosen, [row] * len(chosen), "o", color=plots.MODEL, ms=8, alpha=0.6)
        ax.set(title=title, xlabel=label, ylim=(len(cases) - 0.5, -0.5))
        ax.grid(axis="y", alpha=0.3)
    axes[0].set_yticks(range(len(cases)), list(cases))
    widest = max(1.0, *(value[1] for values in cases.values() for value in values))
    for ax, right in zip(axes[:2], (1.0, widest), strict=True):
        ax.set_xticks([0, 0.5, 1], ["0", "½", "1"])
        ax.set_xlim(-0.05 * right, 1.05 * right)
    axes[2].set_xlim(0, None)
    plt.show()


def judgements(rows: Mapping[str, Mapping[str, float]]) -> None:
    """Show the results of `evaluation.judge` as a table, with one row per kind of image."""
    head = list(next(iter(rows.values())))
    lines = ["| | " + " | ".join(head) + " |", "|---|" + "---:|" * len(head)]
    for name, row in rows.items():
        lines.append(f"| {name} | " + " | ".join(f"{row[key]:.3g}" for key in head) + " |")
    display(Markdown("\n".join(lines)))


def two_sample_test(accuracies: Mapping[str, Sequence[float]]) -> None:
    """Plot the accuracies of a two-sample test on each kind of image,
    with one point per repetition.
    """
    _, ax = plt.subplots(figsize=(8, 0.45 * len(accuracies) + 1.2))
    for row, values in enumerate(accuracies.values()):
        ax.plot(list(values), [row] * len(values), "o", color=plots.MODEL, ms=8, alpha=0.6)
    ax.axvline(0.5, color=plots.PRIOR, ls=":")
    ax.set_yticks(range(len(accuracies)), list(accuracies))
    ax.set(xlim=(0.4, 1.02), ylim=(len(accuracies) - 0.5, -0.5))
    ax.set_xlabel("accuracy on held-out images (½: cannot tell)")
    plt.show()


def boxes(values: Mapping[str, Tensor], xlabel: str) -> None:
    """Draw a horizontal box plot of the values (N,) for each name."""
    gan_figures.boxes(values, xlabel)
    plt.show()


def step_sizes(walk: ArrayLike, confidence: Mapping[str, ArrayLike]) -> None:
    """Plot the step lengths of walks (N, steps), and a classifier's confidence along paths.

    The step lengths are relative to those of a cross-fade.
    """
    sizes = np.asarray(walk)
    _, (left, right) = plt.subplots(1, 2, figsize=(10.5, 3.2))
    steps = np.arange(1, sizes.shape[1] + 1)
    low, middle, high = np.quantile(sizes, [0.1, 0.5, 0.9], axis=0)
    left.fill_between(steps, low, high, color=plots.MODEL, alpha=0.25, label="80 % of the walks")
    left.plot(steps, middle, "o-", color=plots.MODEL, label="median walk")
    left.axhline(1, color=plots.GAP, ls="--", label="cross-fade")
    left.set(xlabel="step", ylabel="step length", ylim=(0, None))
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)
    for (name, values), (colour, line) in zip(
        confidence.items(), ((plots.MODEL, "o-"), (plots.GAP, "s--")), strict=False
    ):
        right.plot(np.asarray(values), line, color=colour, label=name)
    right.set(
        xlabel="step along the path", ylabel="classifier's largest probability", ylim=(0, 1.02)
    )
    right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    plt.show()
