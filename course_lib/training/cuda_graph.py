"""Two ways to make a step cheaper on a GPU: one launch for all its kernels, and half the bits."""

from typing import Any

import torch
from torch import Tensor

SENTENCE = "No graph, because {}: the steps run one by one."


class NoGraph(Exception):
    """Why an update cannot become a graph. The step that found out must be undone."""

    def __str__(self) -> str:
        return SENTENCE.format(self.args[0])


class Owned(dict[str, Any]):
    """Terms of a step that no later step writes to."""


def reason_against(run: Any) -> str:
    """A sentence if the steps of a training.Run cannot become a graph; "" if nothing is known against it."""
    if run.device.type != "cuda":
        return f"A graph needs CUDA: on {run.device.type} the steps run one by one."
    for name, part in run.parts.items():
        if any(group.get("capturable") is False for group in getattr(part, "param_groups", [])):
            return SENTENCE.format(f"{name} was made without capturable=True")
    return ""


def captured(update: Any, run: Any) -> Any:
    """`update` of a training.Run, from row numbers (B,) to terms, as a CUDA graph.

    Three steps as usual, a capture, then replays. A capture records kernels without running them; what Python
    does happens once. Noise comes from CUDA's generator, which a replay moves on as eager steps would. Raises
    NoGraph for an update that waits for the device, or that CUDA cannot record.
    Source: PyTorch's notes on CUDA semantics, "CUDA Graphs".
    """
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream(run.device)
    seen = 0
    static = values = torch.empty(0)
    # a term that Python computes stays what it was; None: it is in values
    constants: dict[str, Tensor | None] = {}

    def warm_up(index: Tensor) -> Any:
        stream.wait_stream(torch.cuda.current_stream())
        try:
            # what waits would break the capture and leave its generator broken: found out here, it does not
            torch.cuda.set_sync_debug_mode("error" if seen == 3 else "default")
            with torch.cuda.stream(stream):  # a capture is never on the main stream either
                terms = update(index)
        except RuntimeError as error:
            if "synchroniz" not in str(error):
                raise
            raise NoGraph("update waits for the device, as .item(), float() and print do") from error
        finally:
            torch.cuda.set_sync_debug_mode("default")
        torch.cuda.current_stream().wait_stream(stream)
        return terms

    def capture(index: Tensor) -> None:
        nonlocal static, values
        static = index.clone()
        try:
            with torch.cuda.graph(graph):
                terms = update(static)
                on_device = [v for v in terms.values() if isinstance(v, Tensor) and v.device == run.device]
                values = torch.stack([v.detach() for v in on_device]) if on_device else values
        except RuntimeError as error:
            generator = torch.cuda.default_generators[run.device.index]
            generator.graphsafe_set_state(generator.clone_state())  # else it waits for the capture's end
            raise NoGraph(f"update cannot be recorded ({str(error).splitlines()[0]})") from error
        for name, v in terms.items():
            here = any(v is other for other in on_device)
            constants[name] = None if here else torch.tensor(float(v), device=run.device)

    def step(index: Tensor) -> Any:
        nonlocal seen
        if len(index) != run.batch_size:  # the end of an epoch has another size
            return update(index)
        seen += 1
        if seen <= 3:
            return warm_up(index)
        if seen == 4:
            capture(index)
        static.copy_(index)
        graph.replay()
        now = iter(values.clone().unbind())
        return Owned({name: next(now) if v is None else v for name, v in constants.items()})

    return step


def in_bfloat16(update: Any, run: Any, graph: bool) -> Any:
    """`update` of a training.Run with its matrix products and convolutions in bfloat16."""

    def half(batch: Any) -> Any:
        # a graph must not use weights that were cast outside of it
        with torch.autocast(run.device.type, torch.bfloat16, cache_enabled=not graph):
            return update(batch)

    return half
