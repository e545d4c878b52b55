"""Figures for the chapter "Inside the GPU", with one function per figure.

Every function takes results computed in the chapter, shows one figure, and returns None.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullLocator
from numpy.typing import ArrayLike
from torch import Tensor

from course_lib import plots
from course_lib.kernels import step_times

PALE = ("#CFE3F2", "#F6E3B8")  # alternating colours for neighbours, pale enough for black text
# NVIDIA A100 (40 GB), from its 2020 white paper: 19.5 Tflop/s in float32, 1,555 GB/s from memory
A100_FLOPS, A100_BYTES = 19.5e12, 1.555e12


def _ticks(axis: Any, values: Sequence[float], labels: Sequence[str] | None = None) -> None:
    """Set the ticks of a logarithmic axis to exactly these values, so that no labels overlap."""
    axis.set_ticks(list(values), list(labels) if labels else [f"{value:,g}" for value in values])
    axis.set_minor_locator(NullLocator())


def timeline(operations: list[step_times.Span], phases: list[step_times.Span]) -> None:
    """Draw a profile: phases above and operations below.

    Matrix products are darker than the other operations.
    """
    step_times.timeline(operations, phases)
    plt.show()


def step_by_width(times: Mapping[int, float], floor: float) -> None:
    """Plot the time per step, in microseconds, against the hidden width.

    The dashed line shows the time taken by the same number of empty operations.
    """
    _, ax = plt.subplots(figsize=(7.5, 3.4))
    ax.plot(list(times), list(times.values()), "o-", color=plots.MODEL, label="one training step")
    ax.axhline(floor, color=plots.GAP, ls="--", label="as many operations that do nothing")
    ax.set(xscale="log", yscale="log", xlabel="hidden units", ylabel="microseconds")
    _ticks(ax.xaxis, list(times))
    low, high = min(floor, *times.values()), max(times.values())
    ax.set_ylim(low / 2, high * 2)
    steps = [m * 10.0**k for k in range(1, 8) for m in (1, 2, 5)]
    _ticks(ax.yaxis, [us for us in steps if low / 2 <= us <= high * 2])
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2)
    plt.show()


def parts_of_a_step(parts: Mapping[str, float]) -> None:
    """Draw the duration of each part of a step, in microseconds,
    as a bar that starts where the previous bar ends.

    A time that is the difference of two noisy measurements can be negative; it is drawn as 0.
    """
    _, ax = plt.subplots(figsize=(9, 0.45 * len(parts) + 1))
    begin = 0.0
    for row, us in enumerate(max(0.0, us) for us in parts.values()):
        ax.barh(row, us, left=begin, color=plots.COMPONENTS[row % 8], height=0.7)
        ax.annotate(f" {us:,.0f} µs", (begin + us, row), va="center")
        begin += us
    ax.set_yticks(range(len(parts)), list(parts))
    ax.set(xlabel="microseconds, one part after the other", xlim=(0, 1.15 * begin or 1.0))
    ax.invert_yaxis()
    plt.show()


def bandwidth(sizes: Sequence[int], speeds: Sequence[float]) -> None:
    """Plot the gigabytes moved per second against the size of an array in bytes,
    on logarithmic axes.
    """
    _, ax = plt.subplots(figsize=(7.5, 3.4))
    ax.plot(sizes, speeds, "o-", color=plots.MODEL)
    ax.set(xscale="log", yscale="log", xlabel="bytes of one array", ylabel="GB moved per second")
    names = {1e3: "1 kB", 1e4: "10 kB", 1e5: "100 kB", 1e6: "1 MB", 1e7: "10 MB", 1e8: "100 MB"}
    _ticks(ax.xaxis, list(names), list(names.values()))
    low, high = min(speeds), max(speeds)
    _ticks(ax.yaxis, [v for k in range(-3, 4) for v in (10.0**k,) if low / 2 <= v <= high * 2])
    ax.set_ylim(low / 2, high * 2)
    plt.show()


def strides(steps: Sequence[int], sectors: Sequence[int], here: Sequence[float]) -> None:
    """Plot the cost of reading every s-th number.

    The cost is expressed in sectors per warp for a GPU (left) and in nanoseconds per number read
    for this CPU (right).
    """
    _, (left, right) = plt.subplots(1, 2, figsize=(10.5, 3.2))
    left.plot(steps, sectors, "o-", color=plots.GAP)
    left.set(title="GPU, counted: 32 neighbouring lanes", ylabel="sectors of 32 bytes")
    right.plot(steps, here, "o-", color=plots.MODEL)
    right.set(title="this CPU, measured", ylabel="ns for each number read")
    for ax in (left, right):
        ax.set(xscale="log", xlabel="stride: every s-th number is read")
        ax.set_ylim(0, None)
        _ticks(ax.xaxis, steps)
    plt.show()


def roofline(
    points: Mapping[str, tuple[ArrayLike, ArrayLike]], peak_flops: float, bytes_per_second: float
) -> None:
    """Plot operations per second against operations per byte,
    with the rooflines of this machine and of an A100.

    points: maps each kind of work to its measured operations per byte and operations per second.
    peak_flops: operations per second.
    """
    _, ax = plt.subplots(figsize=(8.5, 4.2))
    intensity = np.logspace(-2, 3, 200)
    here = np.minimum(peak_flops, bytes_per_second * intensity)
    there = np.minimum(A100_FLOPS, A100_BYTES * intensity)
    ax.plot(intensity, here, color=plots.DATA, lw=2, label="this machine's roof (measured)")
    ax.plot(
        intensity, there, color=plots.PRIOR, ls="--", lw=2, label="roof of an A100 (data sheet)"
    )
    for i, (name, (x, y)) in enumerate(points.items()):
        style: dict[str, Any] = {"marker": "osD^v"[i % 5], "color": plots.COMPONENTS[i % 8]}
        ax.plot(np.asarray(x), np.asarray(y), ls="none", ms=8, label=name, **style)
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="operations for each byte moved",
        ylabel="operations per second",
    )
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    plt.show()


def programs(who: Tensor) -> None:
    """Show which program wrote each element of an array.

    who: the indices of the programs, of shape (rows, columns).
    """
    rows, columns = who.shape
    shade = np.zeros((rows, columns))
    _, ax = plt.subplots(figsize=(11, 0.5 * rows + 1))
    for row in range(rows):
        ids = who[row].unique(sorted=True).tolist()
        for place, program in enumerate(ids):
            at = (who[row] == program).nonzero()[:, 0]
            shade[row, at] = (place + row) % 2
            ax.annotate(
                f"program {program}", (float(at.float().mean()), row), ha="center", va="center"
            )
    ax.imshow(shade, cmap=ListedColormap(list(PALE)), vmin=0, vmax=1, aspect="auto")
    ax.set(xlabel="pixel", ylabel="image", yticks=range(rows))
    plt.show()


def counts(found: Mapping[str, Tensor]) -> None:
    """Plot how often each element of an array was written: never, once or twice.

    found: maps each title to an array of counts of shape (rows, columns); the last row of the array
    does not correspond to any image.
    """
    colours = {"never written": "white", "written once": plots.BOUND, "written twice": plots.GAP}
    shown = ListedColormap(list(colours.values()))
    fig, axes = plt.subplots(
        len(found), 1, figsize=(11, 3 * len(found)), squeeze=False, layout="constrained"
    )
    for ax, (title, count) in zip(axes[:, 0], found.items(), strict=True):
        ax.imshow(
            count.numpy(), cmap=shown, vmin=-0.5, vmax=2.5, aspect="auto", interpolation="nearest"
        )
        for row in range(len(count)):
            _write_counts(ax, count[row], row)
        names = [f"image {i}" for i in range(len(count) - 1)]
        ax.set_yticks(range(len(count)), [*names, "no image"])
        ax.set_title(title)
    axes[-1, 0].set_xlabel("pixel")
    keys = [Patch(fc=colour, ec="black", label=label) for label, colour in colours.items()]
    fig.legend(handles=keys, loc="outside lower center", ncols=3)
    plt.show()


def _write_counts(ax: Axes, row_of_counts: Tensor, row: int) -> None:
    for column, value in enumerate(row_of_counts.tolist()):
        ax.annotate(str(value), (column, row), ha="center", va="center", fontsize=10)


def running_maximum(joint: Tensor, block: int, largest: Tensor, total: Tensor) -> None:
    """Plot log-densities and the running computation of log Σ exp.

    joint: the log-densities, of shape (K,). The left panel shows the log-densities, their running
    maximum and log Σ exp so far. The right panel shows the running total, in units of the largest
    term so far.
    """
    _, (left, right) = plt.subplots(1, 2, figsize=(12, 3.8))
    ends = np.arange(block, len(joint) + 1, block)
    left.plot(
        range(1, len(joint) + 1), joint, ".", color=plots.PRIOR, label="log-densities, in order"
    )
    left.step(ends, largest, where="post", color=plots.Q, label="largest so far")
    left.plot(ends, largest + total.log(), "o--", color=plots.MODEL, label="log Σ exp so far")
    left.axhline(float(joint.logsumexp(0)), color=plots.DATA, lw=1, ls=":", label="log P(x)")
    left.set(xlabel="component", ylabel="nats")
    right.plot(ends, total, "o-", color=plots.MODEL)
    again = (largest.diff() > 0).nonzero()[:, 0] + 1
    style = {"ms": 11, "mfc": "none", "color": plots.GAP, "ls": "none", "marker": "s"}
    right.plot(ends[again], total[again], label="a larger term came: rescaled", **style)
    right.set(xlabel="component", ylabel="total, in units of the largest so far", ylim=(0, None))
    for ax in (left, right):
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    plt.show()


def digits_in_a_row(images: Tensor, titles: Sequence[str]) -> None:
    """Draw images of shape (N, H, W) side by side, with a title above each image."""
    _, axes = plt.subplots(1, len(images), figsize=(1.7 * len(images), 2.1))
    for ax, image, title in zip(axes, images, titles, strict=True):
        plots.digits(image[None], columns=1, ax=ax, title=title)
    plt.show()


def bars(here: dict[str, float], name: str, gpu: dict[str, Any] | None = None) -> None:
    """Plot the time per step, in microseconds, of each method on this machine
    and, if GPU timings are given, on a GPU.
    """
    step_times.bars(here, name, gpu)
    plt.show()
