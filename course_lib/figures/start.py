"""Figures for the chapter "Start here"; each function shows one figure and returns None."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle
from torch import Tensor

from course_lib import plots

GREY, BLUE, GREEN, ORANGE, PINK = "#7F7F7F", "#0072B2", "#009E73", "#E69F00", "#CC79A7"
CHAPTERS = {  # position on the map (x, y) and colour of the group
    "Start here": (0, 1, GREY),
    "Gaussian\nmixtures\nand EM": (1, 1, BLUE),
    "The\nevidence\nlower bound": (2, 1, GREEN),
    "From auto-\nencoder\nto VAE": (3, 2, ORANGE),
    "The VAE\non MNIST": (4, 2, ORANGE),
    "How good\nis a VAE?": (5, 2.4, ORANGE),
    "The\nconditional\nVAE": (5, 1.45, ORANGE),
    "A GAN\nin one\ndimension": (3, 0, PINK),
    "GANs\non MNIST": (4, 0, PINK),
    "Inside\nthe GPU": (5, 0.15, GREY),
}
ARROWS = (  # positions in CHAPTERS: the second chapter builds on the first
    (0, 1),
    (1, 2),
    (2, 3),
    (3, 4),
    (4, 5),
    (4, 6),
    (2, 7),
    (7, 8),
    (4, 8),
    (4, 9),
)


def image_rows(rows: Mapping[str, Tensor], shape: Sequence[int]) -> None:
    """Draw one row of images per title.

    rows: maps each title to images of shape (N, D). shape: the shape of one image.
    """
    _, axes = plt.subplots(len(rows), 1, figsize=(8.5, 1.25 * len(rows)), squeeze=False)
    for ax, (title, images) in zip(axes[:, 0], rows.items(), strict=True):
        plots.digits(images, columns=len(images), ax=ax, title=title, shape=shape)
    plt.show()


def image_as_point(image: Tensor, shape: Sequence[int]) -> None:
    """Draw an image of shape (D,) and, to its right, its D coordinates as bars."""
    _, (left, right) = plt.subplots(1, 2, figsize=(11, 2.8), width_ratios=(1, 3))
    plots.digits(image[None], columns=1, ax=left, title="as a picture", shape=shape)
    right.bar(range(len(image)), image.tolist(), width=1.0, color=plots.DATA)
    right.set(
        xlabel="pixel index",
        ylabel="brightness",
        title="as a point: its coordinates",
        xlim=(0, len(image)),
    )
    plt.show()


def surprise(costs: Mapping[str, Tensor], marks: Mapping[str, float]) -> None:
    """Plot a histogram of −log P for each kind of image,
    and a vertical line for each image in `marks`.
    """
    _, ax = plt.subplots(figsize=(8.5, 3.4))
    low = min([float(c.min()) for c in costs.values()] + list(marks.values())) - 10
    high = max(float(c.max()) for c in costs.values()) + 10
    for (name, cost), colour in zip(costs.items(), (BLUE, ORANGE), strict=False):
        ax.hist(
            cost.cpu().numpy(),
            bins=80,
            range=(low, high),
            density=True,
            color=colour,
            alpha=0.65,
            label=name,
        )
    for name, place in marks.items():
        ax.axvline(place, color=plots.DATA, lw=2, ls="--", label=name)
    ax.set(xlabel="−log P(x), nats", ylabel="share per nat")
    ax.legend()
    plt.show()


def course_map() -> None:
    """Draw the chapters as boxes, with arrows from each one to the chapters that build on it."""
    _, ax = plt.subplots(figsize=(11, 5))
    ax.set(xlim=(-0.5, 5.5), ylim=(-0.5, 2.9))
    ax.axis("off")
    boxes = []
    for title, (x, y, colour) in CHAPTERS.items():
        box = Rectangle(
            (x - 0.43, y - 0.36), 0.86, 0.72, facecolor="white", edgecolor=colour, lw=2.5
        )
        boxes.append((ax.add_patch(box), (x, y)))
        ax.text(x, y, title, ha="center", va="center", fontsize=11)
    for first, second in ARROWS:
        (start, tail), (end, tip) = boxes[first], boxes[second]
        style = {
            "arrowstyle": "-|>",
            "color": "#555555",
            "patchA": start,
            "patchB": end,
            "shrinkB": 4,
        }
        ax.annotate("", xy=tip, xytext=tail, arrowprops=style)
    plt.show()
