"""Figures for the chapter "The VAE on MNIST"; each function shows one figure."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from course_lib import plots


def labelled_rows(
    rows: Mapping[str, Tensor], shape: Sequence[int], columns: Sequence[str] = ()
) -> None:
    """Draw one row of images per label.

    rows: maps each label to images of shape (N, D) or (N, H, W), with the same N in every row.
    columns: N names to be written above the columns, or an empty sequence to omit them.
    """
    count = len(next(iter(rows.values())))
    height, width = shape[-2:]
    row_height = 0.78 * height / width
    size = (0.78 * count + 1.6, row_height * len(rows) + 0.25)
    _, axes = plt.subplots(len(rows), 1, figsize=size, squeeze=False)
    for ax, (label, images) in zip(axes[:, 0], rows.items(), strict=True):
        plots.digits(images, columns=count, ax=ax, shape=shape)
        ax.text(-0.01, 0.5, label, transform=ax.transAxes, ha="right", va="center", fontsize=11)
    for k, name in enumerate(columns):
        place = (k + 0.5) * (width + 2) - 0.5, -1.5  # each image has a border of one pixel
        axes[0, 0].text(*place, name, ha="center", va="bottom", fontsize=11)
    plt.show()


def loss_parts(history: Sequence[tuple[int, float, float]]) -> None:
    """Plot the two terms of −L_b during training, stacked so that the upper edge is −L_b.

    history: (step, reconstruction, KL) for each evaluation, in nats per test image.
    """
    steps = [row[0] for row in history]
    reconstruction = torch.tensor([row[1] for row in history])
    kl = torch.tensor([row[2] for row in history])
    total = reconstruction + kl
    _, ax = plt.subplots(figsize=(7.5, 3.6))
    ax.fill_between(steps, kl, color=plots.Q, alpha=0.75, lw=0, label="KL")
    ax.fill_between(steps, kl, total, color=plots.BOUND, alpha=0.45, lw=0, label="reconstruction")
    ax.plot(steps, total, color=plots.MODEL, lw=2, label="$-L_b$, their sum")
    top = 2.2 * float(total[-1])  # the first value, 784 log 2, would flatten the rest
    ax.set(xlabel="step", ylabel="nats per test image", xlim=(0, steps[-1]), ylim=(0, top))
    ax.set_title(f"starts at {float(total[0]):.0f}, ends at {float(total[-1]):.0f} nats")
    ax.legend(loc="upper right")
    plt.show()


def scatter_of_losses(single: Tensor, batch: Tensor) -> None:
    """Plot histograms of the loss minus its mean, for one image and for one batch.

    single, batch: deviations of shape (S,).
    """
    _, ax = plt.subplots(figsize=(7.5, 2.8))
    ax.hist(single, bins=40, color=plots.Q, alpha=0.7, density=True, label="one image")
    ax.hist(batch, bins=10, color=plots.MODEL, alpha=0.7, density=True, label="a batch of 128")
    ax.set(xlabel="loss minus its mean, nats per image", ylabel="density")
    ax.legend()
    plt.show()


def shares(alone: Tensor, together: Tensor, names: Sequence[str]) -> None:
    """Plot the R² of each property for each code dimension and for all dimensions together.

    alone, together: R² of shape (P, d) and (P,), respectively.
    """
    count, dimensions = alone.shape
    _, axes = plt.subplots(count, 1, figsize=(7.5, 1.5 * count + 0.5), sharex=True, sharey=True)
    for ax, bars, total, name in zip(axes, alone, together, names, strict=True):
        ax.bar(range(dimensions), bars.tolist(), color=plots.Q)
        ax.axhline(float(total), color=plots.MODEL, ls="--", lw=2, label="all dimensions together")
        ax.set(ylabel=f"$R^2$: {name}", ylim=(0, 1), xticks=range(0, dimensions, 2))
    axes[-1].set_xlabel("dimension of $z$")
    axes[0].legend(loc="lower right", bbox_to_anchor=(1, 1))
    plt.show()


def kl_by_dimension(kl_sorted: Mapping[float, Tensor]) -> None:
    """Plot the KL of each dimension in descending order, with one curve per β.

    kl_sorted: maps each β to a tensor of shape (d,) that holds the KLs of the dimensions in
    descending order.
    """
    _, ax = plt.subplots(figsize=(7.5, 3.2))
    styles = zip((plots.Q, plots.MODEL, plots.GAP), "so^", strict=True)
    for (beta, kl), (colour, marker) in zip(kl_sorted.items(), styles, strict=True):
        ax.plot(kl, color=colour, marker=marker, ms=5, label=f"β = {beta:g}")
    ax.set(xlabel="dimension of $z$, sorted by KL", ylabel="KL, nats", xticks=range(0, len(kl), 2))
    ax.set_ylim(bottom=0)
    ax.legend()
    plt.show()
