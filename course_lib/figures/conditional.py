"""Figures for the chapter "The conditional VAE": sheets of digits, probes and margins."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from torch import Tensor

from course_lib import plots
from course_lib.plots import BOUND, DATA, GAP, MODEL, PRIOR, Q

Shape = Sequence[int]


def training(losses: Mapping[str, Sequence[float]], smooth: int = 20) -> None:
    """Plot each model's training loss as a running mean over `smooth` steps, in nats per image."""
    _, ax = plt.subplots(figsize=(6.5, 3.2))
    for (name, values), colour, dash in zip(
        losses.items(), (MODEL, BOUND, GAP, DATA), ("-", "--", "-.", ":"), strict=False
    ):
        window = min(smooth, len(values))
        mean = np.convolve(values, np.ones(window) / window, mode="valid")
        ax.plot(np.arange(len(mean)) + window, mean, dash, color=colour, label=name)
    ax.set(xlabel="step", ylabel="loss, nats per image")
    if len(losses) > 1:
        ax.legend()


def told(
    rows: Mapping[str, Tensor], codes: Mapping[str, Tensor], labels: Tensor, shape: Shape
) -> None:
    """Draw each model's samples above its codes, with each code drawn as the numeral of its label.

    rows: maps each model to samples of shape (R·C, D). codes: maps each model to codes of shape
    (N, 2). labels: the labels of the codes, of shape (N,).
    """
    _, axes = plt.subplots(
        2, len(rows), figsize=(3.3 * len(rows), 5.4), height_ratios=(1, 1.8), squeeze=False
    )
    for (top, bottom), name in zip(axes.T, rows, strict=True):
        columns = int(labels.max()) + 1
        plots.digits(rows[name], columns=columns, ax=top, title=f"told: {name}", shape=shape)
        plots.latent_plane(codes[name], labels, ax=bottom)
        bottom.set(xlim=(-3.5, 3.5), ylim=(-3.5, 3.5))


def sheet(images: Tensor, title: str, shape: Shape) -> None:
    """Draw images of shape (R, C, D) as a sheet with R rows and C columns."""
    plots.digits(images.flatten(0, 1), columns=images.shape[1], title=title, shape=shape)


def transfers(originals: Tensor, images: Tensor, labels: Tensor, shape: Shape) -> None:
    """Show each original image beside images in the same style, one for each label.

    originals: shape (R, D). images: shape (R, C, D). The images generated with the original labels
    are framed.
    """
    rows, columns = images.shape[:2]
    _, (left, right) = plt.subplots(
        1, 2, figsize=(0.64 * (columns + 1.4), 0.64 * rows + 0.5), width_ratios=(1, columns)
    )
    plots.digits(originals, columns=1, ax=left, title="original", shape=shape)
    plots.digits(images.flatten(0, 1), columns, right, "its style, in all labels", shape=shape)
    height, width = shape[-2] + 2, shape[-1] + 2  # of an image with its frame
    for row, label in enumerate(labels.tolist()):
        corner = label * width, row * height
        right.add_patch(plt.Rectangle(corner, width - 1, height - 1, fill=False, ec=Q, lw=2.5))


def probes(read: Mapping[str, Mapping[str, float]], chance: float) -> None:
    """Plot the proportion of labels that each probe predicts correctly,
    with one group of bars per code.
    """
    _, ax = plt.subplots(figsize=(8, 0.75 * len(read) + 1.3))
    kinds = list(next(iter(read.values())))
    height = 0.8 / len(kinds)
    places = np.arange(len(read))
    for k, (kind, colour) in enumerate(zip(kinds, (MODEL, Q, BOUND), strict=False)):
        shares = [row[kind] for row in read.values()]
        bars = ax.barh(
            places + (k - (len(kinds) - 1) / 2) * height, shares, height, color=colour, label=kind
        )
        ax.bar_label(bars, fmt="{:.0%}", padding=3)
    ax.axvline(chance, color=PRIOR, ls=":", lw=1.5, label="chance")
    ax.set_yticks(places, list(read))
    ax.set(xlim=(0, 1.12), xlabel="share of held-out digits with a correctly predicted label")
    ax.invert_yaxis()
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))


def samples(drawn: Tensor, shape: Shape) -> None:
    """Draw the first fifty samples, without any selection.

    drawn: the samples, of shape (N, D).
    """
    plots.digits(drawn[:50], columns=10, title="samples, not selected", shape=shape)


def misread(images: Tensor, asked: Tensor, read: Tensor, shape: Shape, most: int = 20) -> None:
    """Draw samples whose predicted label differs from the requested label.

    images: the samples, of shape (N, D). Each title shows the requested and the predicted label, as
    in 3→5.
    """
    pictures = []
    if len(images):
        pictures = list(plots.as_pixels(images[:most], shape).movedim(1, -1).squeeze(-1).numpy())
    columns = 10
    rows = max(1, -(-len(pictures) // columns))
    _, axes = plt.subplots(rows, columns, figsize=(columns, 1.35 * rows), squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, picture, a, b in zip(axes.flat, pictures, asked.tolist(), read.tolist(), strict=False):
        ax.imshow(picture, vmin=0, vmax=1)
        ax.set_title(f"{a}→{b}", fontsize=11)


def margins(right: Tensor, wrong: Tensor) -> None:
    """Plot a histogram of log P(x|own label) − log P(x|best other label) for test images."""
    _, ax = plt.subplots(figsize=(7, 3))
    ax.hist((right - wrong).numpy(), 60, color=MODEL)
    ax.axvline(0, color=GAP, lw=2, label="left of the line: another label wins")
    ax.set(xlabel="log P(x|own label) − log P(x|best other label), nats", ylabel="test images")
    ax.legend()


def foreign(
    images: Mapping[str, Tensor], nll: Mapping[str, float], test: Tensor, shape: Shape
) -> None:
    """Show images from outside the data set,
    and mark their −log P(x) in a histogram of −log P(x) for test images.

    images: each of shape (D,). test: −log P(x) for the test images, of shape (N,).
    """
    figure = plt.figure(figsize=(8, 4.8))
    grid = figure.add_gridspec(2, len(images), height_ratios=(1, 1.6))
    below = figure.add_subplot(grid[1, :])
    ends = [float(test.min()), float(test.max()), *nll.values()]
    below.hist(
        test.numpy(),
        list(np.geomspace(min(ends), max(ends), 120)),
        color=MODEL,
        label="test images",
    )
    below.set_xscale("log")
    plots.plain_numbers(below.xaxis)
    colours = (GAP, Q, BOUND, DATA)
    for k, (name, image) in enumerate(images.items()):
        ax = figure.add_subplot(grid[0, k])
        plots.digits(image[None], columns=1, ax=ax, title=name.replace(" ", "\n"), shape=shape)
        dash = ("-", "--", "-.", ":")[k % 4]
        width = (7, 4.5, 2.5, 2.5)[k % 4]  # wider below, for close lines
        below.axvline(nll[name], color=colours[k % 4], lw=width, ls=dash, label=name)
    below.set(xlabel="−log P(x), nats (improbable images on the right)", ylabel="test images")
    below.legend(loc="upper left", bbox_to_anchor=(1, 1))


def parts(table: Mapping[Any, tuple[float, float, float]]) -> None:
    """Draw the two parts of each label's mean KL as stacked bars: I(z; x|y) and KL(q(z|y)‖P(z)).

    The number above each bar is the second part.
    """
    _, ax = plt.subplots(figsize=(7, 3.2))
    labels = [str(label) for label in table]
    information = np.array([row[1] for row in table.values()])
    misfit = np.array([row[2] for row in table.values()])
    ax.bar(labels, information, color=MODEL, label="I(z; x|y)")
    upper = ax.bar(
        labels,
        misfit,
        bottom=information,
        color=GAP,
        hatch="//",
        edgecolor="white",
        label="KL(q(z|y)‖P(z))",
    )
    ax.bar_label(upper, [f"{value:.2f}" for value in misfit], padding=2)
    ax.set(xlabel="label y", ylabel="nats per image")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
