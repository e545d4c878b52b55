"""Two ways to make a training step faster on a GPU: CUDA graphs and bfloat16.

Both methods wrap a step. `Run.train` decides which of them to use; `Run._loop` is the same in all
cases. A step that cannot be captured raises NoGraph. The run then returns to its last copy and
repeats the steps one at a time.

A CUDA graph is a recording of the kernels that a step launches. A capture records the kernels
without running them, and Python code runs only once, during the capture. A number that changes from
step to step must therefore be stored in a tensor, and steps that launch different kernels need
different graphs, called variants. Noise comes from the CUDA generator, which a replay advances just
as an ordinary step does.
Source: PyTorch's notes on CUDA semantics, "CUDA Graphs".
"""

from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.training.history import Owned

SENTENCE = "No CUDA graph is used, because {}. The steps run one by one."
# Ordinary steps before the capture, in which libraries allocate memory and choose kernels.
WARM_UP = 3


class NoGraph(Exception):
    """Raised if a step cannot be captured as a CUDA graph; the step must then be undone."""

    def __str__(self) -> str:
        return SENTENCE.format(self.args[0])


def wants_graph(run: Any, asked: bool | None, quiet: bool = False) -> bool:
    """Return whether to use CUDA graphs in a training.Run.

    A note is printed if graphs are requested but cannot be used and, unless `quiet` is True, if
    they are used without having been requested. With asked=None, graphs are used on a CUDA device
    if every optimizer was created with capturable=True and all other parts are models; any other
    kind of part might keep a step count in Python, which a graph would not update.
    """
    against = reason_against(run)
    if asked and against:
        print(against)
    if asked is None:
        asked = not against and _is_made_for_graphs(list(run.parts.values()))
        if asked and not quiet:
            print(
                "The steps are replayed as a CUDA graph. Pass graph=False to run them one by one."
            )
    return asked and not against


def reason_against(run: Any) -> str:
    """Return a sentence saying why a Run cannot use CUDA graphs, or "" if no reason is known."""
    if run.device.type != "cuda":
        return f"A CUDA graph needs a CUDA device. On {run.device.type}, the steps run one by one."
    for name, part in run.parts.items():
        if any(group.get("capturable") is False for group in getattr(part, "param_groups", [])):
            return SENTENCE.format(f"{name} was created without capturable=True")
    return ""


def _is_made_for_graphs(parts: list[Any]) -> bool:
    """Return whether all parts are models, or optimizers created with capturable=True.

    At least one of them must be an optimizer.
    """
    optimizers = [part for part in parts if isinstance(part, torch.optim.Optimizer)]
    others = [part for part in parts if not isinstance(part, torch.optim.Optimizer | nn.Module)]
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    return not others and bool(groups) and all(group.get("capturable") is True for group in groups)


class CapturedStep:
    """A step of a training.Run that replays CUDA graphs, one for each variant.

    The step maps row indices (B,) to losses. variant: a function that returns the kind of the next
    step; needed if not all steps launch the same kernels. A batch that is smaller or larger than
    `run.batch_size`, as the last batch of an epoch may be, is processed without a graph. Raises
    NoGraph; see `Graph`.
    """

    def __init__(
        self,
        step: Callable[[Tensor], dict[str, Any]],
        run: Any,
        variant: Callable[[], Hashable] | None = None,
    ) -> None:
        self.step = step
        self.rows = run.batch_size
        self.device = run.device
        self.variant = variant or (lambda: None)
        self.graphs: dict[Hashable, Graph] = {}

    def __call__(self, index: Tensor) -> dict[str, Any]:
        if len(index) != self.rows:
            return self.step(index)
        kind = self.variant()
        if kind not in self.graphs:
            self.graphs[kind] = Graph(self.step, self.device)
        return self.graphs[kind](index)


class Graph:
    """A step whose first three calls run as usual; it is then captured, and replayed from then on.

    Raises NoGraph if the step waits for the device or if CUDA cannot capture it.
    """

    def __init__(self, step: Callable[[Tensor], dict[str, Any]], device: torch.device) -> None:
        self.step = step
        self.device = device
        self.graph = torch.cuda.CUDAGraph()
        self.stream = torch.cuda.Stream(device)  # the warm-up must not be on the main stream
        self.seen = 0
        self.index = self.values = torch.empty(0)  # what a replay reads, and what it writes
        # losses that Python computed during the capture, or None for losses in `values`
        self.constants: dict[str, Tensor | None] = {}

    def __call__(self, index: Tensor) -> dict[str, Any]:
        self.seen += 1
        if self.seen <= WARM_UP:
            return self._warm_up(index)
        if self.seen == WARM_UP + 1:
            self._capture(index)
        self.index.copy_(index)
        self.graph.replay()
        now = iter(self.values.clone().unbind())
        return Owned({name: next(now) if v is None else v for name, v in self.constants.items()})

    def _warm_up(self, index: Tensor) -> dict[str, Any]:
        is_last = self.seen == WARM_UP
        self.stream.wait_stream(torch.cuda.current_stream())
        try:
            # detect code that waits for the device; in a capture, it would corrupt the generator
            torch.cuda.set_sync_debug_mode("error" if is_last else "default")
            with torch.cuda.stream(self.stream):
                losses = self.step(index)
        except RuntimeError as error:
            if "synchroniz" not in str(error):
                raise
            raise NoGraph("step waits for the device, as .item(), float() and print do") from error
        finally:
            torch.cuda.set_sync_debug_mode("default")
        torch.cuda.current_stream().wait_stream(self.stream)
        return losses

    def _capture(self, index: Tensor) -> None:
        self.index = index.clone()
        try:
            with torch.cuda.graph(self.graph):
                losses = self.step(self.index)
                on_device = [v for v in losses.values() if self._is_here(v)]
                if on_device:
                    self.values = torch.stack([v.detach() for v in on_device])
        except RuntimeError as error:
            generator = torch.cuda.default_generators[self.device.index]
            generator.graphsafe_set_state(generator.clone_state())  # leaves capture mode
            raise NoGraph(f"step cannot be captured ({str(error).splitlines()[0]})") from error
        for name, v in losses.items():
            constant = None if self._is_here(v) else torch.tensor(float(v), device=self.device)
            self.constants[name] = constant

    def _is_here(self, value: Any) -> bool:
        return isinstance(value, Tensor) and value.device == self.device


def in_bfloat16(
    step: Callable[[Any], dict[str, Any]], device: torch.device, graph: bool
) -> Callable[[Any], dict[str, Any]]:
    """Return a version of the step that computes matrix products and convolutions in bfloat16."""

    def half(batch: Any) -> dict[str, Any]:
        # a graph must not use weights that were converted outside the graph
        with torch.autocast(device.type, torch.bfloat16, cache_enabled=not graph):
            return step(batch)

    return half
