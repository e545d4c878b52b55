"""Figures of GANs on MNIST: rows of digits, tournaments between versions and training histories."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from torch import Tensor

from course_lib import plots
from course_lib.data.shapes import image_shape


def digit_rows(
    rows: Mapping[str, Tensor],
    title: str = "",
    width: float = 8.5,
    *,
    shape: Sequence[int] | None = None,
) -> Sequence[Axes]:
    """Draw one row of images per name, labelled on the left; at most 16 images per row are shown.

    For the formats of the images and of `shape`, see `plots.as_pixels`.
    """
    # each of shape (n, C, H, W)
    pixels = {name: plots.as_pixels(images[:16], shape) for name, images in rows.items()}
    _, axes = plt.subplots(len(rows), 1, figsize=(width, 0.55 * len(rows) + 0.3), squeeze=False)
    for ax, (name, row) in zip(axes[:, 0], pixels.items(), strict=True):
        plots.digits(row, columns=len(row), ax=ax)
        ax.text(-0.01, 0.5, name, ha="right", va="center", transform=ax.transAxes)
    axes[0, 0].set_title(title)
    return list(axes[:, 0])


def tournament(belief: Tensor, ax: Axes | None = None) -> Axes:
    """Plot the mean probability of "real" that each D assigns to the images of each G.

    belief: the mean probabilities, with one row for each G and one column for each D.
    """
    ax = plt.subplots(figsize=(5.4, 4.6))[1] if ax is None else ax
    picture = ax.imshow(belief.detach().cpu().numpy(), vmin=0, vmax=1, cmap="cividis")
    names = [f"v{i + 1}" for i in range(max(belief.shape))]
    ax.set_xticks(range(belief.shape[1]), names[: belief.shape[1]])
    ax.set_yticks(range(belief.shape[0]), names[: belief.shape[0]])
    ax.set(xlabel="judged by D", ylabel="images of G", title="mean probability of “real”")
    ax.figure.colorbar(picture, ax=ax)
    return ax


def pull(images: Tensor, slope: Tensor, *, shape: Sequence[int] | None = None) -> None:
    """Draw images and, below them, the slope at each pixel: positive in red, negative in blue.

    slope: the same shape as the images. A positive slope means that D favours more ink. For colour
    images, the slope is summed over the channels. For the formats of the images and of `shape`, see
    `plots.as_pixels`.
    """
    channels, height, width = image_shape(images, shape)
    if slope.shape != images.shape:
        raise ValueError(
            f"The slope must have the same shape as the images, {tuple(images.shape)}, "
            f"but got {tuple(slope.shape)}."
        )
    pixels = plots.as_pixels(images[:16], shape)  # (n, C, H, W)
    n = len(pixels)
    _, (top, bottom) = plt.subplots(2, 1, figsize=(8.5, 1.9))
    title = "images from G, and where D favours more ink (red) or less ink (blue)"
    plots.digits(pixels, columns=n, ax=top, title=title)
    rows = slope[:n].detach().cpu().reshape(n, channels, height, width).sum(1)  # (n, H, W)
    sheet = rows.transpose(0, 1).flatten(1)  # (H, n·W)
    # the strongest pixels saturate, so that the others are visible
    largest = float(sheet.abs().max()) / 2
    bottom.imshow(sheet.numpy(), cmap="RdBu_r", vmin=-largest, vmax=largest, aspect="auto")
    bottom.set_axis_off()


def game(
    log: Mapping[str, Sequence[float]], steps: Sequence[float], distances: Sequence[float]
) -> None:
    """Plot the losses of both players during a run, and the Fréchet distances at `steps`."""
    _, (left, right) = plt.subplots(1, 2, figsize=(10, 3))
    left.plot(log["step"], log["discriminator"], color=plots.MODEL, label="D's loss")
    left.plot(log["step"], log["generator"], "--", color=plots.Q, label="G's loss")
    left.axhline(math.log(4), color=plots.PRIOR, ls=":", label="D's loss at D = ½: log 4")
    left.set(xlabel="update", ylabel="nats")
    left.legend()
    right.semilogy(steps, distances, "o-", color=plots.BOUND)
    right.set(xlabel="update", ylabel="Fréchet distance", title="samples against test digits")
    plots.plain_numbers(right.yaxis)


def classes(
    cases: Mapping[str, tuple[Tensor, Tensor, str]], *, shape: Sequence[int] | None = None
) -> None:
    """Show the images and plot the class proportions for each case.

    cases: name -> (images, shares, caption), with shares of shape (classes,). At most 24 images per
    case are shown. For the formats of the images and of `shape`, see `plots.as_pixels`.
    """
    # each of shape (n, C, H, W)
    pixels = [plots.as_pixels(images[:24], shape) for images, _, _ in cases.values()]
    _, axes = plt.subplots(
        len(cases), 2, figsize=(10, 2.1 * len(cases)), width_ratios=(3, 2), squeeze=False
    )
    for (left, right), sheet, (name, case) in zip(axes, pixels, cases.items(), strict=True):
        _, shares, caption = case
        plots.digits(sheet, columns=12, ax=left, title=name)
        right.bar(range(len(shares)), shares.detach().cpu().numpy(), color=plots.MODEL)
        right.axhline(1 / len(shares), color=plots.PRIOR, ls=":")
        right.set(xticks=range(len(shares)), ylabel="share", title=caption)


def boxes(values: Mapping[str, Tensor], xlabel: str) -> Axes:
    """Draw one horizontal box plot for each name.

    values: name -> tensor of shape (N,).
    """
    options: dict[str, Any] = {"orientation": "horizontal", "tick_labels": list(values)}
    ax = plt.subplots(figsize=(7.5, 0.5 * len(values) + 1))[1]
    ax.boxplot([list(v) for v in values.values()], **options)
    ax.set(xlabel=xlabel)
    return ax
