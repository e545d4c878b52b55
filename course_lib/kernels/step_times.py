"""Plots that show where a training step spends its time, on this machine and on a GPU."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from course_lib import plots

# Created by `benchmarks/gpu.py --json` on a GPU.
SHIPPED = Path(__file__).parents[1] / "weights" / "gpu.json"
PRODUCTS = ("linear", "addmm", "mm", "matmul", "bmm", "convolution", "convolution_backward")
# No operation has any of these colours.
# Orange and vermilion look alike to some readers, so only one is used.
PHASE_COLOURS = (*plots.COMPONENTS[1:5], plots.COMPONENTS[6])
# Otherwise, the profiler reports a missing GPU on stderr.
os.environ.setdefault("KINETO_LOG_LEVEL", "9")


class Span(NamedTuple):
    """A named interval, in microseconds from the beginning of the profile."""

    name: str
    begin: float
    end: float


def profiled(work: Callable[[], object]) -> tuple[list[Span], list[Span]]:
    """Profile `work` on the CPU, and return its torch operations and `record_function` blocks.

    Operations nested inside another operation are omitted. Both lists are sorted by start time.
    """
    # acc_events=True avoids a warning from torch 2.11, although there is only one cycle of events
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiler:
        work()
    events = sorted(profiler.events(), key=lambda event: event.time_range.start)
    operations, phases = list[Span](), list[Span]()
    for event in events:
        begin, end = (
            at - events[0].time_range.start for at in (event.time_range.start, event.time_range.end)
        )
        if event.is_user_annotation and "#" not in event.name:
            phases.append(Span(event.name, begin, end))
        elif event.name.startswith("aten::") and not _inside_operation(event):
            operations.append(Span(event.name.removeprefix("aten::"), begin, end))
    return operations, phases


def _inside_operation(event: Any) -> bool:
    outer = event.cpu_parent
    return outer is not None and (outer.name.startswith("aten::") or _inside_operation(outer))


def timeline(operations: list[Span], phases: list[Span], ax: Axes | None = None) -> Axes:
    """Plot a profile, with the phases above the operations.

    Matrix products are drawn in a darker colour than the other operations.
    """
    ax = plt.subplots(figsize=(12, 2.4))[1] if ax is None else ax
    for i, phase in enumerate(phases):
        length = phase.end - phase.begin
        ax.barh(1, length, left=phase.begin, height=0.5, color=PHASE_COLOURS[i % 5])
        ax.annotate(phase.name, (phase.begin + length / 2, 1.32), ha="center", fontsize=10)
    kinds = {"matrix products": (True, plots.MODEL), "all other operations": (False, plots.PRIOR)}
    for label, (product, colour) in kinds.items():
        chosen = [o for o in operations if (o.name in PRODUCTS) == product]
        ax.barh(
            [0] * len(chosen),
            [o.end - o.begin for o in chosen],
            left=[o.begin for o in chosen],
            height=0.6,
            color=colour,
            label=f"{label}: {len(chosen)}",
        )
    ax.set_yticks([0, 1], ["operations", "phases"])
    ax.set(xlabel="microseconds", ylim=(-0.5, 1.75))
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.3), ncols=2)
    return ax


class _Passes(TorchDispatchMode):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.n = size, 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        out = function(*args, **(kwargs or {}))
        if not function.is_view and "detach" not in str(function):  # a view moves no data
            touched = tree_leaves((args, kwargs or {}, out))
            self.n += sum(isinstance(t, Tensor) and t.numel() == self.size for t in touched)
        return out


def passes(work: Callable[[], object], size: int) -> int:
    """Count how often the operations in `work` read or write a tensor with `size` elements."""
    with _Passes(size) as counter:
        work()
    return counter.n


def programs(who: Tensor, ax: Axes | None = None) -> Axes:
    """Show, by colour and by number, which program of a grid wrote each element of a tensor.

    who: a tensor of shape (rows, columns) that contains, for each element, the number of the
    program that wrote it.
    """
    ax = plt.subplots(figsize=(11, 2.3))[1] if ax is None else ax
    ids = who.unique().tolist()
    place = torch.searchsorted(torch.tensor(ids), who.long()).numpy()
    colours = ListedColormap([plots.COMPONENTS[i % 8] for i in ids])
    ax.imshow(place, cmap=colours, vmin=-0.5, vmax=len(ids) - 0.5)
    for i in ids:
        r, c = (float(v.float().mean()) for v in (who == i).nonzero(as_tuple=True))
        ax.text(
            c,
            r,
            str(i),
            ha="center",
            va="center",
            bbox={"fc": "white", "ec": "none", "alpha": 0.85, "pad": 1.5},
        )
    ax.set(
        xlabel="pixel",
        ylabel="image",
        yticks=range(len(who)),
        title="program that wrote each pixel",
    )
    return ax


def counts(count: Tensor, title: str, ax: Axes) -> Axes:
    """Show how often each element of a tensor was written.

    count: a tensor of shape (rows, columns) that contains integers from 0 to 2. Each row of `count`
    belongs to one image, except the last row, which belongs to none.
    """
    shown = ListedColormap(["white", plots.BOUND, plots.GAP])
    ax.imshow(
        count.numpy(), cmap=shown, vmin=-0.5, vmax=2.5, aspect="auto", interpolation="nearest"
    )
    for r, c in ((r, c) for r in range(len(count)) for c in range(0, count.shape[1], 4)):
        ax.text(c, r, str(int(count[r, c])), ha="center", va="center", fontsize=9)
    ax.set(xlabel="pixel", title=title, yticks=range(len(count)))
    ax.set_yticklabels([*(f"image {i}" for i in range(len(count) - 1)), "no image"])
    return ax


def shipped(path: Path = SHIPPED) -> dict[str, Any] | None:
    """Return the GPU timings that come with the course, or None if there are none yet.

    Raises ValueError if the file does not contain GPU timings in the format of `benchmarks/gpu.py`.
    """
    path = path.expanduser()
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        fit = {"machine", "versions", "date", "steps"} <= found.keys() and found["device"] == "cuda"
        fit = fit and any("us" in row for row in found["steps"].values())
    except (ValueError, AttributeError, KeyError, TypeError):
        fit = False
    if not fit:
        raise ValueError(
            f"{path.name} contains no GPU timings. Create it on a GPU with "
            "`python benchmarks/gpu.py --json FILE`."
        )
    return found


def describe(found: dict[str, Any] | None) -> str:
    """Return a sentence that says where the GPU timings come from, or that none were recorded."""
    if found is None:
        return "No GPU has been measured for this page yet, so all timings are from this machine."
    known = [f"{name} {version}" for name, version in found["versions"].items() if version]
    versions = ", ".join(known)
    quick = " (a quick run, so the timings are rough)" if found.get("quick") else ""
    return f"Measured on {found['machine']}, {versions}, {found['date']}{quick}."


def bars(here: dict[str, float], name: str, found: dict[str, Any] | None = None) -> Any:
    """Return a figure of the time per step on this machine and, if `found` is passed, on a GPU.

    here: a dictionary that maps each method to its time per step in microseconds. name: the title
    of the plot for this machine. found: the result of `shipped`.
    """
    there = {k: row["us"] for k, row in (found or {}).get("steps", {}).items() if "us" in row}
    panels = [(name, here, plots.Q)] + ([(found["machine"], there, plots.MODEL)] if found else [])
    rows = max(len(values) for _, values, _ in panels)
    figure, axes = plt.subplots(
        1, len(panels), figsize=(6 * len(panels), 0.45 * rows + 1.2), squeeze=False, sharex=True
    )
    for ax, (title, values, colour) in zip(axes[0], panels, strict=True):
        ax.barh(list(values), list(values.values()), color=colour, height=0.6)
        for place, us in enumerate(values.values()):
            ax.annotate(f" {us:,.0f} µs", (us, place), va="center")
        ax.set(xlabel="microseconds per step", title=title, ylim=(rows - 0.4, -0.6))
        # start at 0, so that the lengths of the bars can be compared
        ax.set_xlim(0, 1.25 * max([*here.values(), *there.values()]))
        ax.locator_params(axis="x", nbins=5)  # more tick labels would overlap
    return figure
