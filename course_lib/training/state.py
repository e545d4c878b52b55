"""The state of a training run as numbers and tensors:
its parts, the states of its random generators, and the values that identify it.
"""

import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from course_lib import require
from course_lib.models.config import Config

# Options for how an optimizer computes, not for what it computes.
HOW = ("capturable", "foreach", "fused")


def pack(tree: Any, tensors: dict[str, Tensor], name: str = "") -> Any:
    """Convert a state_dict to JSON-serializable values, and copy its tensors to `tensors`.

    Raises TypeError for a value that is neither plain data nor a tensor.
    """
    if isinstance(tree, Tensor):
        tensors[name] = tree.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        return {"tensor": name}
    if isinstance(tree, dict):  # as pairs, because JSON would turn the key 0 into "0"
        pairs = [[key, pack(value, tensors, f"{name}/{key}")] for key, value in tree.items()]
        return {"dict": pairs}
    if isinstance(tree, list | tuple):
        items = [pack(value, tensors, f"{name}/{i}") for i, value in enumerate(tree)]
        return {type(tree).__name__: items}
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    raise TypeError(
        f"A checkpoint cannot contain {name} of type {type(tree).__name__}. "
        "Use only numbers, strings, None and tensors, or lists, tuples and dicts of these."
    )


def unpack(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """Rebuild the state_dict passed to `pack`, with new copies of the tensors on the CPU."""
    if not isinstance(tree, dict):
        return tree
    ((kind, inside),) = tree.items()
    if kind == "tensor":
        return tensors[inside].clone()
    if kind == "dict":
        return {key: unpack(value, tensors) for key, value in inside}
    return (list if kind == "list" else tuple)(unpack(value, tensors) for value in inside)


def state_of(part: Any) -> dict[str, Any]:
    """Return the state of a model (with all its buffers), an optimizer or a scheduler."""
    if isinstance(part, nn.Module):
        return dict(part.named_parameters()) | dict(part.named_buffers())
    return part.state_dict()


@torch.no_grad()
def load(part: Any, state: dict[str, Any]) -> None:
    """Restore a model, optimizer or scheduler in place from the result of `state_of`.

    An optimizer keeps its current `capturable`, `foreach` and `fused` settings.
    """
    if isinstance(part, nn.Module):
        part.zero_grad(set_to_none=True)  # an aborted step may have left a partial gradient
        for name, tensor in state_of(part).items():
            tensor.copy_(state[name])
        return
    how = [
        {key: group[key] for key in HOW if key in group}
        for group in getattr(part, "param_groups", [])
    ]
    part.load_state_dict(state)
    for group, here in zip(getattr(part, "param_groups", []), how, strict=True):
        device = group["params"][0].device  # the device for a learning rate that is a tensor
        group |= {k: v.to(device) for k, v in group.items() if isinstance(v, Tensor)} | here
        # fused kernels need averages with the memory layout of the weights
        for p in group["params"]:
            for key, value in part.state.get(p, {}).items():
                if isinstance(value, Tensor) and value.shape == p.shape:
                    part.state[p][key] = torch.empty_like(p).copy_(value)


def not_finite(parts: dict[str, Any]) -> Iterator[str]:
    """Yield the names of the values that are NaN or infinite and would spoil later steps."""
    for name, value in _numbers(parts):
        if any(_is_bad(leaf) for leaf in tree_leaves(value)):
            yield name


def _numbers(parts: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the name (for error messages) and the value of everything that a step may change."""
    names: dict[Any, str] = {}  # maps each parameter, a key of the optimizer's state, to its name
    for name, part in parts.items():
        if isinstance(part, nn.Module):
            names |= {p: f"{name}.{key}" for key, p in part.named_parameters()}
            yield from ((f"the parameter {name}.{key}", p) for key, p in part.named_parameters())
            yield from ((f"the buffer {name}.{key}", b) for key, b in part.named_buffers())
    for name, part in parts.items():
        if isinstance(part, torch.optim.Optimizer):
            for p, averages in part.state.items():
                for key, value in averages.items():
                    yield f"{key} of {name} for {names.get(p, 'a parameter')}", value
            for group in part.param_groups:
                yield f"lr of {name}", group["lr"]
        elif not isinstance(part, nn.Module):
            yield from ((f"{key} of {name}", value) for key, value in part.state_dict().items())


def _is_bad(value: Any) -> bool:
    """Return whether a value is a tensor that contains NaN or infinity, or a number that is NaN.

    A number may be infinite, because a scheduler's best loss may start at infinity.
    """
    if isinstance(value, Tensor):
        return value.is_floating_point() and not require.all_finite(value)
    return isinstance(value, float) and math.isnan(value)


def get_rng_states(device: torch.device) -> dict[str, Tensor]:
    """Return the states of torch's global generators that can produce noise for this device."""
    return {name: generator.get_state() for name, generator in _generators(device).items()}


def set_rng_states(device: torch.device, states: dict[str, Tensor], seed: int) -> None:
    """Restore the stored states of the generators.

    A generator that has no stored state, for example after a change of device, is seeded with
    `seed`.
    """
    for name, generator in _generators(device).items():
        if name in states:
            generator.set_state(states[name])
        else:
            generator.manual_seed(seed)


@contextmanager
def rng_states_kept(device: torch.device, seed: int) -> Iterator[None]:
    """A context manager that restores the states of the random generators on exit."""
    states = get_rng_states(device)
    try:
        yield
    finally:
        set_rng_states(device, states, seed)


@contextmanager
def seeded(device: torch.device, seed: int) -> Iterator[None]:
    """A context manager within which the noise depends only on the seed.

    On exit, the states of the random generators are restored.
    """
    with rng_states_kept(device, seed):
        torch.manual_seed(seed)
        yield


@contextmanager
def aside(device: torch.device, seed: int, *models: Any) -> Iterator[None]:
    """A context manager that turns off gradients.

    On exit, the states of the random generators and the training modes of the models are restored.
    """
    modes = {
        m: m.training for model in models if isinstance(model, nn.Module) for m in model.modules()
    }
    try:
        with torch.no_grad(), rng_states_kept(device, seed):
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _generators(device: torch.device) -> dict[str, torch.Generator]:
    """Return the global generators that can produce noise for this device."""
    found = {"cpu": torch.default_generator}
    if device.type == "cuda":
        found["cuda"] = torch.cuda.default_generators[device.index]
    if device.type == "mps":
        found["mps"] = torch.mps._get_default_mps_generator()
    return found


def identity(
    parts: dict[str, Any],
    data: tuple[Tensor, ...],
    weights: Tensor | None,
    hyperparameters: dict[str, Any],
) -> dict[str, str]:
    """Return the named values that must match for a checkpoint to belong to this run.

    These are the hyperparameters, the parts with their options and shapes, and checksums of the
    data and weights.
    """
    same = {name: str(value) for name, value in hyperparameters.items()}
    tensors = {f"data[{i}]": rows for i, rows in enumerate(data)}
    if weights is not None:
        tensors["weights"] = weights
    for name, rows in tensors.items():
        checksum = zlib.crc32(rows.cpu().contiguous().view(torch.uint8).numpy().data)
        same[name] = f"{rows.dtype} {tuple(rows.shape)} with checksum {checksum:08x}"
    for name, part in parts.items():
        same[name] = type(part).__name__
        options = getattr(part, "config", getattr(part, "defaults", {}))
        if isinstance(options, Config):
            options = options.of_training()
        same |= {f"{name}.{key}": str(value) for key, value in options.items() if key not in HOW}
        if isinstance(part, nn.Module):
            inner = list(part.named_modules())[1:]
            same |= {f"{name}.{key}": f"{type(m).__name__}({m.extra_repr()})" for key, m in inner}
            same |= {f"{name}.{key}": str(tuple(t.shape)) for key, t in state_of(part).items()}
    return same
