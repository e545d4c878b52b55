"""The pictures of chapter 07: rows of digits, who fools whom, how a game went. See `plots`."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from torch import Tensor

from course_lib import plots


def digit_rows(rows: Mapping[str, Tensor], title: str = "", width: float = 8.5) -> Sequence[Axes]:
    """One row of images (N, 784) for each name, which stands to its left; at most 16 of each are shown."""
    _, axes = plt.subplots(len(rows), 1, figsize=(width, 0.55 * len(rows) + 0.3), squeeze=False)
    for ax, (name, images) in zip(axes[:, 0], rows.items(), strict=True):
        plots.digits(images[:16], columns=min(16, len(images)), ax=ax)
        ax.text(-0.01, 0.5, name, ha="right", va="center", transform=ax.transAxes)
    axes[0, 0].set_title(title)
    return list(axes[:, 0])


def tournament(belief: Tensor, ax: Axes | None = None) -> Axes:
    """belief (G, D): the mean probability "real" that each version of D gives to each version of G."""
    ax = plt.subplots(figsize=(5.4, 4.6))[1] if ax is None else ax
    picture = ax.imshow(belief.numpy(), vmin=0, vmax=1, cmap="cividis")
    names = [f"v{i + 1}" for i in range(max(belief.shape))]
    ax.set_xticks(range(belief.shape[1]), names[: belief.shape[1]])
    ax.set_yticks(range(belief.shape[0]), names[: belief.shape[0]])
    ax.set(xlabel="judged by D", ylabel="images of G", title="mean probability of “real”")
    ax.figure.colorbar(picture, ax=ax)
    return ax


def pull(images: Tensor, slope: Tensor) -> None:
    """Images (N, 784) above, and below them where a slope (N, 784) wants more (red) or less (blue) ink."""
    _, (top, bottom) = plt.subplots(2, 1, figsize=(8.5, 1.9))
    n = min(16, len(images))
    plots.digits(
        images[:n], columns=n, ax=top, title="made by G, and where D wants more ink (red) or less (blue)"
    )
    sheet = slope[:n].view(n, 28, 28).transpose(0, 1).flatten(1).detach()
    largest = float(sheet.abs().max()) / 2  # the strongest pixels may saturate, so that the others show
    bottom.imshow(sheet.numpy(), cmap="RdBu_r", vmin=-largest, vmax=largest, aspect="auto")
    bottom.set_axis_off()


def game(log: Mapping[str, Sequence[float]], steps: Sequence[float], distances: Sequence[float]) -> None:
    """Both players' losses from a run's history, and beside them the Fréchet distance at some steps."""
    _, (left, right) = plt.subplots(1, 2, figsize=(10, 3))
    left.plot(log["step"], log["discriminator"], color=plots.MODEL, label="D's loss")
    left.plot(log["step"], log["generator"], "--", color=plots.Q, label="G's loss")
    left.axhline(math.log(4), color=plots.PRIOR, ls=":", label="D's loss at D = ½: log 4")
    left.set(xlabel="update", ylabel="nats")
    left.legend()
    right.semilogy(steps, distances, "o-", color=plots.BOUND)
    right.set(xlabel="update", ylabel="Fréchet distance", title="samples against test digits")
    plots.plain_numbers(right.yaxis)


def classes(cases: Mapping[str, tuple[Tensor, Tensor, str]]) -> None:
    """For each name (images (N, 784), shares of the ten classes, a caption): some images and the shares."""
    _, axes = plt.subplots(len(cases), 2, figsize=(10, 2.1 * len(cases)), width_ratios=(3, 2), squeeze=False)
    for (left, right), (name, (images, shares, caption)) in zip(axes, cases.items(), strict=True):
        plots.digits(images[:24], columns=12, ax=left, title=name)
        right.bar(range(10), shares.numpy(), color=plots.MODEL)
        right.axhline(0.1, color=plots.PRIOR, ls=":")
        right.set(xticks=range(10), ylabel="share", title=caption)


def boxes(values: Mapping[str, Tensor], xlabel: str) -> Axes:
    """A lying box plot for each name's values (N,)."""
    options: dict[str, Any] = {"orientation": "horizontal", "tick_labels": list(values)}
    ax = plt.subplots(figsize=(7.5, 0.5 * len(values) + 1))[1]
    ax.boxplot([list(v) for v in values.values()], **options)
    ax.set(xlabel=xlabel)
    return ax
