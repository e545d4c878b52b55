"""Figures for the chapter "From auto-encoder to VAE": moons decoded from codes along a line,
and the effects of the noise added to the codes.

Every function takes results computed in the chapter, draws them in a new figure,
and returns the figure.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from course_lib import plots
from course_lib.data.shapes import image_shape

# The colour, line style and marker of each kind of model in every figure of the chapter
COLOURS = {"AE": plots.COMPONENTS[3], "VAE": plots.MODEL, "VAE without KL": plots.GAP}
DASHES = {"AE": "--", "VAE": "-", "VAE without KL": "-."}
MARKERS = {"AE": "D", "VAE": "o", "VAE without KL": "^"}


def _finished(figure: Figure) -> Figure:
    """Close the figure in pyplot and return it, so that a notebook cell shows it only once."""
    plt.close(figure)
    return figure


def image_rows(rows: Mapping[str, Tensor]) -> Figure:
    """Draw one row of images per name with `plots.digits`, with the name on the left.

    rows: maps each name to images of shape (N, D).
    """
    columns = max(len(images) for images in rows.values())
    figure, axes = plt.subplots(
        len(rows), 1, squeeze=False, figsize=(0.6 * columns + 1.3, 0.66 * len(rows) + 0.2)
    )
    for ax, (name, images) in zip(axes[:, 0], rows.items(), strict=True):
        plots.digits(images, columns=columns, ax=ax)
        width = image_shape(images, None)[-1] + 2
        ax.text(-0.3 * width, 0.5 * width, name, ha="right", va="center")
    return _finished(figure)


def distance_along_line(lines: Mapping[str, Mapping[str, Tensor]], fade: Tensor) -> Figure:
    """Plot the distance from the moons decoded along a line of codes to the nearest true moon,
    with one panel per case.

    lines: `lines[case][kind]` contains distances of shape (seeds, T), measured at T points from
    crescent (0) to full moon (1). Each seed has its own curve. fade: the distances for a pixelwise
    cross-fade, of shape (T,).
    """
    figure, axes = plt.subplots(
        1, len(lines), sharey=True, squeeze=False, figsize=(3.4 * len(lines) + 1, 3.5)
    )
    position = torch.linspace(0, 1, len(fade))
    for ax, (case, kinds) in zip(axes[0], lines.items(), strict=True):
        ax.plot(position, fade, ":", color=plots.PRIOR, lw=2, label="cross-fade")
        for kind, line in kinds.items():
            curves = ax.plot(position, line.T, DASHES[kind], color=COLOURS[kind], lw=1.2, alpha=0.8)
            curves[0].set_label(kind)
        ax.set(title=case, xlabel="from crescent to full moon", xlim=(0, 1), ylim=0)
    axes[0, 0].set_ylabel("distance to a true moon")
    axes[0, -1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    return _finished(figure)


def worst_places(lines: Mapping[str, Mapping[str, Tensor]], fade: Tensor) -> Figure:
    """Plot the largest distance from an image on the line to the true moon nearest to it,
    with one point per seed, case and kind.

    The arguments are the same as for `distance_along_line`. The dotted line marks the largest
    distance that the cross-fade reaches, and the dashed line marks half of it. The chapter calls a
    point above the dashed line a hole.
    """
    figure, ax = plt.subplots(figsize=(1.2 * len(lines) + 2.5, 3.6))
    labelled: set[str] = set()
    for place, kinds in enumerate(lines.values()):
        for number, (kind, line) in enumerate(kinds.items()):
            worst = line.amax(1)  # (seeds,)
            middle = place + 0.32 * (number - (len(kinds) - 1) / 2)
            spots = middle + torch.linspace(-0.07, 0.07, len(worst))
            label = None if kind in labelled else kind
            labelled.add(kind)
            ax.plot(spots, worst, MARKERS[kind], color=COLOURS[kind], ms=6, alpha=0.9, label=label)
    ax.axhline(float(fade.max()), color=plots.PRIOR, ls=":", lw=2, label="cross-fade")
    ax.axhline(
        float(fade.max()) / 2, color=plots.PRIOR, ls="--", lw=1.2, label="half of it: a hole above"
    )
    ax.set_xticks(range(len(lines)), [case.replace(", ", ",\n") for case in lines])
    ax.set(ylabel="worst distance on the line", ylim=0)
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return _finished(figure)


def order_costs(scales: Tensor, in_order: Tensor, shuffled: Tensor, neighbours: float) -> Figure:
    """Plot the best decoder's error against the noise, for the true order and for shuffled orders.

    in_order, shuffled: errors of shape (S,) and (S, orders), respectively. neighbours: the distance
    between neighbouring codes. The dotted line marks the noise whose standard deviation is half
    this distance.
    """
    figure, ax = plt.subplots(figsize=(7, 3.3))
    ax.fill_between(
        scales,
        shuffled.amin(1),
        shuffled.amax(1),
        color=plots.PRIOR,
        alpha=0.4,
        label="shuffled orders",
    )
    ax.plot(scales, in_order, color=COLOURS["VAE"], lw=2, label="the moons' own order")
    ax.axvline(
        neighbours / 2, color=plots.DATA, ls=":", label="half the distance between neighbours"
    )
    ax.set(xscale="log", xlabel="standard deviation of the noise", ylabel="squared error per image")
    ticks = [tick for tick in (0.03, 0.1, 0.3, 1, 3) if scales.min() <= tick <= scales.max()]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_xticks([], minor=True)
    ax.legend(loc="upper left")
    return _finished(figure)


def estimator_variances(
    x: Sequence[float], variances: Mapping[str, Sequence[float]], xlabel: str
) -> Figure:
    """Plot the single-draw variance of each gradient estimator against x, on logarithmic axes."""
    looks = ((plots.MODEL, "o-"), (plots.GAP, "s--"), (plots.Q, "^-."))
    figure, ax = plt.subplots(figsize=(7, 3.3))
    for (name, values), (colour, mark) in zip(variances.items(), looks, strict=False):
        ax.plot(x, values, mark, color=colour, lw=2, label=name)
    ax.set(xlabel=xlabel, ylabel="variance of one draw", xscale="log", yscale="log")
    ax.set_xticks(list(x), [f"{v:g}" for v in x])
    ax.set_xticks([], minor=True)
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return _finished(figure)


def noise_histories(noise: Mapping[str, Sequence[Sequence[float]]]) -> Figure:
    """Plot the ratio of the noise to the spread of the codes during training,
    with one curve per name and seed.
    """
    figure, ax = plt.subplots(figsize=(7, 3.3))
    for name, curves in noise.items():
        for number, values in enumerate(curves):
            label = name if number == 0 else None
            steps = range(1, len(values) + 1)
            ax.plot(steps, values, DASHES[name], color=COLOURS[name], lw=1.2, label=label)
    ax.set(xlabel="step", ylabel="noise / spread of the codes", yscale="log")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return _finished(figure)


def price_of_noise(sigma: Tensor, exponential: Tensor, line: Tensor, lowest: float) -> Figure:
    """Plot the lecture's blue, red and green curves against σ.

    The green curve is the blue one minus the red one; its minimum is marked.
    """
    figure, ax = plt.subplots(figsize=(7, 3.3))
    ax.plot(sigma, exponential, color=plots.MODEL, lw=2, label=r"blue: $e^\sigma$")
    ax.plot(sigma, line, "--", color=plots.GAP, lw=2, label=r"red: $1 + \sigma$")
    ax.plot(sigma, exponential - line, "-.", color=plots.BOUND, lw=2, label="green: blue minus red")
    ax.plot(lowest, 0, "o", color=plots.BOUND, ms=9, label="minimum found")
    ax.set(xlabel=r"$\sigma$", ylim=(-2, 5))
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return _finished(figure)


def penalized_codes(free: Tensor, penalized: Mapping[str, Tensor]) -> Figure:
    """Plot the codes obtained with each penalty against those obtained without a penalty.

    All codes have shape (n,).
    """
    figure, ax = plt.subplots(figsize=(5.6, 3.4))
    ax.plot(free, free, ":", color=plots.PRIOR, lw=2, label="no penalty")
    looks = ((plots.MODEL, "-"), (plots.GAP, "--"))
    for (name, codes), (colour, dash) in zip(penalized.items(), looks, strict=False):
        ax.plot(free, codes, dash, color=colour, lw=2, label=name)
    ax.set(xlabel="code without a penalty", ylabel="code with the penalty")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return _finished(figure)


def codes_and_prior(z: Tensor, priors: Mapping[str, Tensor], codes: Mapping[str, Tensor]) -> Figure:
    """Plot the density of each prior on a grid, and mark the code means with ticks below the curve.

    z: the grid, of shape (G,). codes: maps each prior to its code means, of shape (N,).
    """
    figure, axes = plt.subplots(
        1, len(priors), sharey=True, squeeze=False, figsize=(4.2 * len(priors), 2.9)
    )
    for ax, (name, density) in zip(axes[0], priors.items(), strict=True):
        ax.plot(z, density, color=plots.PRIOR, lw=2, label="prior")
        below = torch.full_like(codes[name], -0.08 * float(density.max()))
        ax.plot(
            codes[name], below, "|", color=plots.MODEL, ms=12, mew=1.5, label="codes of the moons"
        )
        ax.set(title=name, xlabel="z")
    axes[0, 0].set_ylabel("density")
    axes[0, -1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    return _finished(figure)
