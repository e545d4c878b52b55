"""Two ways to make a step cheaper on a GPU: one launch for all its kernels, and half the bits.

Both wrap a step, and `Run.train` chooses them; `Run._loop` is the same for all. A step that cannot be
recorded raises NoGraph: the run goes back to its last copy and takes the steps one by one.

A CUDA graph is a recording of the kernels that a step launches. A capture records them without running them,
and what Python does happens once, at the capture. So a number that changes from step to step is kept in a
tensor, and steps that launch different kernels are of different variants, each with a graph of its own. Noise
comes from CUDA's generator, which a replay moves on as usual steps would. Source: PyTorch's notes on CUDA
semantics, "CUDA Graphs".
"""

from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.training.history import Owned

SENTENCE = "No graph, because {}: the steps run one by one."
WARM_UP = 3  # usual steps before the capture, in which libraries allocate and choose their kernels


class NoGraph(Exception):
    """Why a step cannot become a graph. The step that found out must be undone."""

    def __str__(self) -> str:
        return SENTENCE.format(self.args[0])


def wants_graph(run: Any, asked: bool | None, quiet: bool = False) -> bool:
    """Whether the steps of a training.Run become graphs. A choice that nobody asked for is printed.

    None: where every optimizer was made with capturable=True, and nothing else counts steps in Python.
    """
    against = reason_against(run)
    if asked and against:
        print(against)
    if asked is None:
        asked = not against and _is_made_for_graphs(list(run.parts.values()))
        if asked and not quiet:
            print("A CUDA graph replays the steps; graph=False takes them one by one.")
    return asked and not against


def reason_against(run: Any) -> str:
    """A sentence if the steps of a training.Run cannot become a graph; "" if nothing is known against it."""
    if run.device.type != "cuda":
        return f"A graph needs CUDA: on {run.device.type} the steps run one by one."
    for name, part in run.parts.items():
        if any(group.get("capturable") is False for group in getattr(part, "param_groups", [])):
            return SENTENCE.format(f"{name} was made without capturable=True")
    return ""


def _is_made_for_graphs(parts: list[Any]) -> bool:
    """Whether these are models and optimizers, and who made the optimizers thought of graphs."""
    optimizers = [part for part in parts if isinstance(part, torch.optim.Optimizer)]
    others = [part for part in parts if not isinstance(part, torch.optim.Optimizer | nn.Module)]
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    return not others and bool(groups) and all(group.get("capturable") is True for group in groups)


class CapturedStep:
    """A step of a training.Run, from row numbers (B,) to losses, as CUDA graphs: one for each variant.

    variant(): which kind of step comes next, for steps that do not all launch the same kernels.
    The end of an epoch has fewer rows and is taken as usual. Raises NoGraph, see `Graph`.
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
    """A step that is taken three times as usual, then captured, and from then on replayed.

    Raises NoGraph for a step that waits for the device, or that CUDA cannot record.
    """

    def __init__(self, step: Callable[[Tensor], dict[str, Any]], device: torch.device) -> None:
        self.step = step
        self.device = device
        self.graph = torch.cuda.CUDAGraph()
        self.stream = torch.cuda.Stream(device)  # neither warm-up nor capture may be on the main stream
        self.seen = 0
        self.index = self.values = torch.empty(0)  # what a replay reads, and writes
        # a loss that Python computes stays what it was; None: it is in values
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
            # what waits would break the capture and leave its generator broken: found out here, it does not
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
            generator.graphsafe_set_state(generator.clone_state())  # else it waits for the capture's end
            raise NoGraph(f"step cannot be recorded ({str(error).splitlines()[0]})") from error
        for name, v in losses.items():
            constant = None if self._is_here(v) else torch.tensor(float(v), device=self.device)
            self.constants[name] = constant

    def _is_here(self, value: Any) -> bool:
        return isinstance(value, Tensor) and value.device == self.device


def in_bfloat16(
    step: Callable[[Any], dict[str, Any]], device: torch.device, graph: bool
) -> Callable[[Any], dict[str, Any]]:
    """The step with its matrix products and convolutions in bfloat16."""

    def half(batch: Any) -> dict[str, Any]:
        # a graph must not use weights that were cast outside of it
        with torch.autocast(device.type, torch.bfloat16, cache_enabled=not graph):
            return step(batch)

    return half
