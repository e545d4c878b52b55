"""Figures of the toy GAN: snapshots and comparisons of games, and the Dirac-GAN's phase plane."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from course_lib.plots import BOUND, DATA, GAP, MODEL, PRIOR
from course_lib.toy_gan import History, dirac

Lines = Mapping[str, tuple[Any, Any]]  # label -> x (T,), y (T,) or (T, n)
LOOKS = ((BOUND, "-"), (GAP, "--"), (MODEL, "-."))
BEST = "#CC79A7"  # the best D has a separate colour because it is not a player


def moments(history: History, at: Sequence[int], titles: Sequence[str] = ()) -> None:
    """Plot snapshots of a game side by side, each with the data, the generator, D and D*."""
    figure, axes = plt.subplots(1, len(at), figsize=(3 * len(at), 2.8))
    for ax, moment in zip(axes, at, strict=True):
        curves, names = draw_moment(ax, history, moment)
    for ax, title in zip(axes, titles, strict=False):
        ax.set_title(title)
    axes[0].set_ylabel("density")
    figure.axes[-1].set_ylabel("D", color=MODEL, rotation=0, labelpad=10)
    figure.legend(curves, names, loc="outside lower center", ncols=4)


def draw_moment(axes: Any, past: History, at: int) -> tuple[list[Any], list[str]]:
    """Plot a snapshot of a game, and return the curves and their labels for the legend.

    The data are drawn as a dotted black line, G as a green line, D as a dashed blue line, and D* as
    a thin line. The axis on the right is for D and D*.
    """
    line = past.game.grid
    now = {name: past.column(name)[at] for name in ("q", "d", "d_star", "step", "jsd")}
    p = line.p[1:-1] / line.dx
    axes.fill_between(line.x, now["q"], color=BOUND, alpha=0.15, lw=0)
    curves = axes.plot(line.x, p, ":", color=DATA, lw=2, label="data p(x)")
    curves += axes.plot(line.x, now["q"], color=BOUND, lw=2.2, label="generator q(x)")
    axes.set(
        ylim=(0, 2.2 * float(p.max())),
        xlabel="x",
        title=f"round {now['step']:.0f}: JSD {now['jsd']:.3f}",
    )
    twin = axes.twinx()
    curves += twin.plot(line.x, now["d"], "--", color=MODEL, lw=2, label="D(x)")
    curves += twin.plot(line.x, now["d_star"], color=BEST, lw=1.4, label="D*(x), the best D")
    twin.tick_params(axis="y", colors=MODEL, length=0)
    if past.game.settings.loss != "wasserstein":
        twin.axhline(0.5, color=MODEL, lw=0.8, alpha=0.3)
        twin.set_yticks([0, 0.5, 1], ["0", "½", "1"])
        twin.set(ylim=(-0.03, 1.03))
    return curves, [curve.get_label() for curve in curves]


def compare(
    panels: Mapping[str, Lines],
    xlabel: str,
    log: Sequence[str] = (),
    marks: Mapping[str, float] | None = None,
    xlog: bool = False,
) -> Any:
    """Plot one panel per title with one line per label, and return the axes, of shape (P,).

    All panels use the same sequence of line styles. log: the titles of the panels with a
    logarithmic y-axis. xlog: whether all x-axes are logarithmic. marks: a mapping from the title of
    a panel to the height of a dotted horizontal line.
    """
    axes = plt.subplots(1, len(panels), figsize=(4.3 * len(panels), 2.8), squeeze=False)[1][0]
    for ax, (title, lines) in zip(axes, panels.items(), strict=True):
        for (label, (x, y)), (colour, dash) in zip(lines.items(), LOOKS, strict=False):
            # label only the first line if y is (T, n)
            ax.plot(x, y, dash, color=colour)[0].set_label(label)
        ax.set(title=title, xlabel=xlabel, yscale="log" if title in log else "linear")
        if xlog:
            ax.set_xscale("log")
        else:
            ax.locator_params(axis="x", nbins=6)  # otherwise, the tick labels overlap
        if marks and title in marks:
            ax.axhline(marks[title], color=PRIOR, lw=1.2, ls=":")
    if len(panels[next(iter(panels))]) > 1:
        axes[0].legend()
    return axes


def dirac_planes(paths: Mapping[float, Tensor], together: Tensor) -> None:
    """Plot the Dirac-GAN's vector field and a path of alternating steps for each weight γ of R1.

    paths: a mapping from each γ to a path of shape (T, 2). together: a path of simultaneous steps,
    which is plotted only in the first panel.
    """
    figure, axes = plt.subplots(1, len(paths), figsize=(3.2 * len(paths), 3.6), squeeze=False)
    axes = axes[0]
    theta, psi = torch.meshgrid(*[torch.linspace(-1.6, 1.6, 8).double()] * 2, indexing="xy")
    for ax, (gamma, path) in zip(axes, paths.items(), strict=True):
        ax.quiver(theta, psi, *dirac.field(theta, psi, "minimax", gamma), color=PRIOR, width=0.005)
        ax.plot(*path.T, color=MODEL, lw=1.5, label="in turns")
        ax.plot(1, 0, "o", color=BOUND)
        ax.plot(0, 0, "x", color=DATA, ms=9)
        title = f"R1 with γ = {gamma:g}\neigenvalues {both(*dirac.eigenvalues(gamma))}"
        ax.set(xlabel="θ, the position of G's point", title=title, aspect="equal")
        ax.set(xlim=(-1.7, 1.7), ylim=(-1.7, 1.7))
    axes[0].plot(*together.T, ":", color=GAP, lw=1.5, label="at the same time")
    axes[0].set_ylabel("ψ, D's slope")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)


def both(a: complex, b: complex) -> str:
    """Format two eigenvalues, which are either a conjugate pair or two real numbers."""
    real = f"{a.real:.2f} " if abs(a.real) > 0.005 else ""
    text = f"{real}± {abs(a.imag):.2f}i" if a.imag else f"{a.real:.2f} and {b.real:.2f}"
    return text.replace("-", "−")
