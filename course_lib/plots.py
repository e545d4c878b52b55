"""Functions that draw one figure each, in colours that colour-blind readers can distinguish.

Each named colour has the same meaning in all figures that show data, models or bounds; other curves
use the remaining colours. Functions with an argument `ax` draw on it (by default, on new axes) and
return the axes.
"""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.patches import Ellipse
from matplotlib.ticker import LogFormatter
from numpy.typing import ArrayLike
from torch import Tensor

from course_lib import require
from course_lib.data.shapes import image_shape
from course_lib.palette import BOUND, COMPONENTS, DATA, GAP, MODEL, PRIOR, Q  # noqa: F401 (for all who draw)
from course_lib.probability.elbo import Bound


def use_style() -> None:
    """Apply the course's Matplotlib settings.

    The settings suit a laptop screen. For a projector, increase `figure.dpi`.
    """
    plt.rcParams.update(
        {
            "font.size": 11,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 12,
            "figure.constrained_layout.use": True,  # keeps long labels from being cut off
            "figure.dpi": 90,
            "legend.frameon": False,
            "image.cmap": "gray",
        }
    )


def _axes(ax: Axes | None, **size: Any) -> Axes:
    return plt.subplots(**size)[1] if ax is None else ax


def plain_numbers(*axes: Axis) -> None:
    """On logarithmic axes that span only a few decades,
    use plain labels such as 600 rather than 6 × 10².
    """
    for axis in axes:
        axis.set_major_formatter(LogFormatter(labelOnlyBase=False))
        axis.set_minor_formatter(LogFormatter(labelOnlyBase=False))


def as_pixels(images: Any, shape: Sequence[int] | None = None) -> Tensor:
    """Convert images to a float32 tensor of shape (N, C, H, W) on the CPU, with values in [0, 1].

    images: a tensor or an array of shape (N, H, W), (N, C, H, W) or (N, D), where C is 1 for grey
    images and 3 for RGB images. Images of shape (N, D) are assumed to be square and either grey or
    RGB, unless `shape` specifies (H, W) or (C, H, W). Bytes (uint8) are divided by 255; False
    becomes black, and True becomes white.
    Raises ValueError if `images` cannot be interpreted as images, or if a pixel is outside [0, 1].
    """
    if not isinstance(images, Tensor):
        try:
            images = torch.as_tensor(np.array(images))
        except (TypeError, ValueError, RuntimeError):
            kind = type(images).__name__
            raise ValueError(f"Images must be a tensor or an array, but got {kind}.") from None
    images = images.detach().cpu()
    channels, height, width = image_shape(images, shape)
    if channels not in (1, 3):
        raise ValueError(f"Images must have 1 channel (grey) or 3 channels (RGB), not {channels}.")
    if len(images) == 0:
        raise ValueError("There are no images to draw. Pass at least one.")
    if images.dtype == torch.uint8:
        pixels = images.float() / 255
    elif images.is_floating_point() or images.dtype == torch.bool:
        pixels = images.float()
    else:
        raise ValueError(
            f"Pixels must be bytes (uint8, 0 to 255) or floats in [0, 1], but got {images.dtype}. "
            "Use images.to(torch.uint8) or images.float()."
        )
    low, high = (float(v) for v in pixels.aminmax())
    if not (low >= -1e-3 and high <= 1 + 1e-3):  # tolerates rounding errors, but catches NaN
        raise ValueError(
            f"Pixels must be in [0, 1], but these range from {low:.4g} to {high:.4g}. "
            "Divide bytes by 255, or clip the values with .clamp(0, 1)."
        )
    return pixels.clamp(0, 1).reshape(-1, channels, height, width)


def digits(
    images: Any,
    columns: int = 10,
    ax: Axes | None = None,
    title: str = "",
    *,
    shape: Sequence[int] | None = None,
) -> Axes:
    """Draw grey or RGB images in a grid with `columns` images per row.

    images, shape: see `as_pixels`.
    """
    pixels = as_pixels(images, shape)  # (N, C, H, W)
    if not require.is_count(columns):
        raise ValueError(f"columns must be a positive integer, not {columns!r}.")
    n, channels, height, width = pixels.shape
    rows = -(-n // columns)
    # a white border of one pixel
    framed = torch.ones(rows * columns, channels, height + 2, width + 2)
    framed[:n, :, 1:-1, 1:-1] = pixels
    grid = framed.reshape(rows, columns, channels, height + 2, width + 2)
    # Matplotlib expects rows (of images and of their pixels), then columns, then channels
    sheet = grid.permute(0, 3, 1, 4, 2).reshape(
        rows * (height + 2), columns * (width + 2), channels
    )
    ax = _axes(ax, figsize=(0.62 * columns, 0.62 * rows * height / width + 0.4))
    ax.imshow(sheet.squeeze(2).numpy(), vmin=0, vmax=1, interpolation="nearest")
    ax.set_title(title)
    ax.set_axis_off()
    return ax


def density(
    x: Tensor,
    curves: dict[str, Tensor],
    samples: Tensor | None = None,
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """Plot 1-D densities at the points x, and optionally a histogram of samples.

    x has shape (G,), and the samples have shape (N,). curves: a dictionary that maps labels to
    densities. The first density, drawn in black, should be the true one.
    """
    ax = _axes(ax, figsize=(7, 3))
    if samples is not None:
        limits = (float(x[0]), float(x[-1]))
        ax.hist(
            samples.numpy(), bins=100, range=limits, density=True, color="#D0D0D0", label="samples"
        )
    for (label, p), colour in zip(curves.items(), (DATA, MODEL, Q, BOUND, "#CC79A7"), strict=False):
        ax.plot(x, p, color=colour, lw=2.5 if colour == DATA else 2, label=label)
    ax.set(xlabel="x", ylabel="density", ylim=(0, None), title=title)
    ax.legend()
    return ax


def blend(resp: Tensor) -> np.ndarray:
    """Return the average colour of the components for each point, weighted by the responsibilities.

    The responsibilities have shape (N, K), and the RGB colours have shape (N, 3).
    """
    to_rgb = plt.matplotlib.colors.to_rgb
    palette = np.array([to_rgb(COMPONENTS[k % 8]) for k in range(resp.shape[1])])
    return np.clip(np.asarray(resp) @ palette, 0, 1)


def mixture_1d(
    x: Tensor,
    weights: Tensor,
    means: Tensor,
    variances: Tensor,
    resp: Tensor,
    ax: Axes | None = None,
) -> Axes:
    """Draw points, coloured by responsibility, below K weighted Gaussians and their sum.

    The points x have shape (N,).
    """
    ax = _axes(ax, figsize=(7, 3))
    grid = torch.linspace(float(x.min()) - 1, float(x.max()) + 1, 400, dtype=x.dtype)
    each = torch.distributions.Normal(means, variances.sqrt())
    parts = weights * each.log_prob(grid[:, None]).exp()  # (G, K)
    for k in range(len(weights)):
        ax.plot(grid, parts[:, k], color=COMPONENTS[k % 8], lw=1.5)
    ax.plot(grid, parts.sum(1), color=MODEL, lw=3, alpha=0.35)
    below = -0.06 * float(parts.sum(1).max())
    ax.scatter(x, torch.full_like(x, below), c=blend(resp), s=14, marker="|")
    ax.set(xlabel="x", yticks=[])
    return ax


def mixture_2d(
    x: Tensor,
    means: ArrayLike,
    covariances: ArrayLike,
    resp: Tensor | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw points, coloured by responsibility, and each Gaussian's 1- and 2-sigma ellipses.

    The points have shape (N, 2). `means` (K, 2), `covariances` (K, 2, 2) and `resp` (N, K) may be
    tensors or arrays.
    """
    ax = _axes(ax, figsize=(4.2, 4))
    colours = DATA if resp is None else blend(resp)
    ax.scatter(x[:, 0], x[:, 1], c=colours, s=8, alpha=0.7, linewidths=0)
    gaussians = zip(np.asarray(means), np.asarray(covariances), strict=True)
    for k, (mean, covariance) in enumerate(gaussians):
        # (2,) and (2, 2), the ellipse's axes as columns; as_tensor also takes NumPy covariances
        spread, axes = torch.linalg.eigh(torch.as_tensor(covariance))
        angle = float(torch.rad2deg(torch.atan2(axes[1, 1], axes[0, 1])))
        centre = (float(mean[0]), float(mean[1]))
        for sigmas in (1, 2):
            wide = float(2 * sigmas * spread[1].sqrt())
            narrow = float(2 * sigmas * spread[0].sqrt())
            edge = {"edgecolor": COMPONENTS[k % 8], "facecolor": "none", "lw": 3 - sigmas}
            ax.add_patch(Ellipse(centre, wide, narrow, angle=angle, **edge))
        ax.plot(*mean, marker="X", ms=9, color=COMPONENTS[k % 8], mec="white")
    ax.set_aspect("equal")
    return ax


def bound_history(
    bounds: Sequence[Bound],
    steps: Sequence[int] | None = None,
    ax: Axes | None = None,
    xlabel: str = "step",
) -> Axes:
    """Plot log P(x) and L_b, with the gap between them shaded.

    bounds: one `Bound.mean()` per step.
    """
    ax = _axes(ax, figsize=(7, 3))
    steps = range(len(bounds)) if steps is None else steps
    log_px = np.array([float(b.elbo + b.gap) for b in bounds])
    elbo = np.array([float(b.elbo) for b in bounds])
    ax.fill_between(steps, elbo, log_px, color=GAP, alpha=0.3, label="gap: KL(q‖P(z|x))")
    ax.plot(steps, log_px, color=MODEL, lw=2.5, label="log P(x)")
    ax.plot(steps, elbo, color=BOUND, lw=1.8, ls="--", label="$L_b$")
    ax.set(xlabel=xlabel, ylabel="nats per point")
    ax.legend(loc="lower right")
    return ax


def bound_histories(histories: dict[str, Sequence[Bound]]) -> None:
    """Compare the bounds of methods that update q and P in turn.

    The upper panels show the bounds, and the lower panels show the gaps on a log scale.
    """
    count = len(histories)
    _, axes = plt.subplots(
        2, count, figsize=(4.3 * count, 5), sharex=True, sharey="row", height_ratios=(3, 2)
    )
    for (top, bottom), (name, history) in zip(axes.T, histories.items(), strict=True):
        bound_history(history, ax=top, xlabel="").set_title(name)
        # rounding can make a closed gap negative
        gaps = [max(float(b.gap), 1e-16) for b in history]
        bottom.semilogy(gaps, color=GAP, lw=1)
        bottom.semilogy(
            range(0, len(gaps), 2), gaps[::2], "o", color=Q, ms=4, label="after a q-step"
        )
        bottom.set_xlabel("half rounds: q, P, q, P, …")
        top.set_ylabel("")
    # large first steps hide the rest
    start = min(float(h[len(h) // 8].elbo) for h in histories.values())
    top.set_ylim(start, max(float(b.elbo + b.gap) for h in histories.values() for b in h) + 0.05)
    bottom.legend()
    for ax in axes[0, 1:]:  # the legend of the first panel is enough
        ax.get_legend().remove()
    axes[0, 0].set_ylabel("nats per point")
    axes[1, 0].set_ylabel("gap, nats")


def bound_parts(
    bounds: Sequence[Bound], steps: Sequence[int], ax: Axes | None = None, xlabel: str = "step"
) -> Axes:
    """Plot the reconstruction term and the KL term of the bound.

    bounds: one `Bound.mean()` per step.
    """
    ax = _axes(ax, figsize=(7, 3))
    ax.plot(
        steps, [float(b.reconstruction) for b in bounds], color=BOUND, lw=2, label="reconstruction"
    )
    ax.plot(steps, [float(b.kl) for b in bounds], color=Q, lw=2, ls="--", label="KL(q‖P(z))")
    ax.set(xlabel=xlabel, ylabel="nats per image", title="$L_b$ is the first minus the second")
    ax.legend(loc="best")
    return ax


def bound_bars(bounds: dict[str, Bound], ax: Axes | None = None) -> Axes:
    """Draw one stacked bar per label, as in the lecture: L_b and the gap add up to log P(x)."""
    ax = _axes(ax, figsize=(1.6 * len(bounds) + 2.2, 3.4))
    elbo = np.array([float(b.elbo) for b in bounds.values()])
    log_px = np.array([float(b.elbo + b.gap) for b in bounds.values()])
    # bars need a baseline, and log-densities have no natural one
    floor = elbo.min() - 0.35 * max(log_px.max() - elbo.min(), 0.5)
    places = np.arange(len(bounds))
    ax.bar(places, elbo - floor, 0.6, bottom=floor, color=BOUND, label="$L_b$")
    ax.bar(
        places,
        log_px - elbo,
        0.6,
        bottom=elbo,
        color=GAP,
        hatch="//",
        edgecolor="white",
        label="gap",
    )
    for i, (low, high) in enumerate(zip(elbo, log_px, strict=True)):
        ax.annotate(
            f"$L_b$ = {low:.3f}", (i, (floor + low) / 2), ha="center", va="center", color="white"
        )
        ax.annotate(
            f"log P = {high:.3f}", (i, high), (0, 4), textcoords="offset points", ha="center"
        )
    ax.set_xticks(places, list(bounds))
    ax.set(ylabel="nats", ylim=(floor, log_px.max() + 0.12 * (log_px.max() - floor)))
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return ax


def latent_plane(z: Tensor, labels: Tensor, ax: Axes | None = None, title: str = "") -> Axes:
    """Plot codes z of shape (N, 2), with each code drawn as its label.

    labels: non-negative integers of shape (N,).
    """
    if z.ndim != 2 or z.shape[1] != 2 or len(labels) != len(z):
        raise ValueError(
            "The codes must have shape (N, 2), with one label each, "
            f"but got {tuple(z.shape)} with {len(labels)} labels."
        )
    require.labels(labels, 100)  # numerals of more than two digits would be illegible
    ax = _axes(ax, figsize=(4.4, 4.2))
    # with a yellow that is dark enough
    colours = (*COMPONENTS[:6], "#A89B00", "#999999", "#7A3B10", DATA)
    for label in labels.unique().tolist():
        x, y = z[labels == label].detach().cpu().T
        ax.scatter(
            x, y, s=22, color=colours[label % len(colours)], marker=f"${label}$", linewidths=0.2
        )
    ax.set(xlabel="$z_1$", ylabel="$z_2$", title=title, aspect="equal")
    return ax


def rate_map(
    found: Tensor | np.ndarray,
    rates: Sequence[float],
    title: str = "",
    log: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw a heat map of a game's results, with one cell for each pair of learning rates.

    found: results of shape (G, D), with one row per learning rate of G and one column per learning
    rate of D. Larger values are darker. log: whether to use a logarithmic colour scale.
    """
    ax, values = _axes(ax, figsize=(4.8, 4.2)), np.asarray(found)
    picture = ax.imshow(values, cmap="cividis_r", norm="log" if log else "linear", origin="lower")
    shade = np.asarray(picture.norm(values))
    for (i, j), value in np.ndenumerate(values):
        text, colour = f"{value:.{0 if log else 2}f}", "white" if shade[i, j] > 0.5 else "black"
        ax.text(j, i, text, ha="center", va="center", color=colour, fontsize=10)
    ax.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates])
    ax.set_yticks(range(len(rates)), [f"{rate:g}" for rate in rates])
    ax.set(xlabel="D's learning rate", ylabel="G's learning rate", title=title)
    return ax
