"""Files that hold a model or a training run: safetensors with a checksum of their own bytes, no pickle."""

import hashlib
import importlib
import json
import os
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from course_lib.device import pick_device

NO_SUM = b"0" * 64  # stands where the SHA-256 goes while it is taken


class CheckpointError(ValueError):
    """A file that cannot be used, and why."""


def write(path: str | Path, kind: str, tensors: dict[str, Tensor], facts: Any) -> None:
    """CPU tensors and JSON-able facts into one file. OSError if the disk refuses: the old file stays."""
    blob = safetensors.torch.save(
        tensors, {"kind": kind, "facts": json.dumps(facts), "sha256": NO_SUM.decode()}
    )
    temporary = Path(f"{path}.tmp")
    try:
        with temporary.open("wb") as file:
            digest = hashlib.sha256(blob).hexdigest().encode()
            file.write(blob.replace(b'"sha256":"' + NO_SUM, b'"sha256":"' + digest, 1))
            file.flush()
            os.fsync(file.fileno())  # on the disk before it takes the name: no moment leaves half a file
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read(path: str | Path, kind: str) -> tuple[dict[str, Tensor], Any]:
    """Tensors (on the CPU) and facts. FileNotFoundError; CheckpointError if damaged or of another kind."""
    blob = Path(path).read_bytes()
    try:
        texts = json.loads(blob[8 : 8 + int.from_bytes(blob[:8], "little")])["__metadata__"]
        digest = texts["sha256"].encode()
        if hashlib.sha256(blob.replace(digest, NO_SUM, 1)).hexdigest().encode() != digest:
            raise ValueError
        found, facts, tensors = texts["kind"], json.loads(texts["facts"]), safetensors.torch.load(blob)
    except (ValueError, KeyError, TypeError, AttributeError, safetensors.SafetensorError):
        why = "was cut short or edited, or is no file of this course: delete it, or name another file."
        raise CheckpointError(f"{path} {why}") from None
    if found != kind:
        raise CheckpointError(f"{path} holds a {found}, and a {kind} was asked for: name another file.")
    return tensors, facts


def save_model(model: nn.Module, path: str | Path, *, dtype: torch.dtype | None = None, **facts: Any) -> None:
    """Keep a model of course_lib (its class has `.config`) and JSON-able facts: how it was made and measured.

    dtype=torch.float16 halves the file; loaded, the model is float32 again, as is one that was float64.
    TypeError for other classes, ValueError for a dtype that is too small for the weights.
    """
    if dtype is not None and not dtype.is_floating_point:
        raise ValueError(f"Weights are saved as floating numbers, such as torch.float16, not {dtype}.")
    cls = type(model)
    if not (cls.__module__.startswith("course_lib.") and hasattr(model, "config")):
        raise TypeError(
            f"Only models of course_lib with a .config can be rebuilt, not {cls.__qualname__}: keep its "
            "state_dict() with checkpoints.write, and load that into a model that you make yourself."
        )
    tensors: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        kind = dtype if dtype and value.is_floating_point() else value.dtype
        tensors[name] = value.to("cpu", kind, copy=True, memory_format=torch.contiguous_format)
        if kind != value.dtype and bool((tensors[name].isinf() & value.cpu().isfinite()).any()):
            raise ValueError(f"{name} holds numbers too large for {kind}: save the model without dtype.")
    made = {"class": f"{cls.__module__}:{cls.__name__}", "config": model.config}
    write(path, "model", tensors, facts | made)


def load_model(path: str | Path, device: str | torch.device | None = None) -> nn.Module:
    """The model of `save_model`, in evaluation mode, on the device (None: the CPU).

    Raises CheckpointError when file and class do not fit, ValueError for a device that is not here.
    """
    place = None if device is None else pick_device(device)
    tensors, made = read(path, "model")
    module, name = made["class"].split(":")
    try:
        if not module.startswith("course_lib."):
            raise ValueError(f"{module} is not a part of course_lib.")
        model = getattr(importlib.import_module(module), name)(**made["config"])
        model.load_state_dict(tensors)
    except (ImportError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        why = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{path} does not fit the class {made['class']} of today: {why}") from None
    return model.to(place).eval()


def describe(path: str | Path) -> dict[str, Any]:
    """What a saved model's file says of itself: "class", "config", and the facts that it was saved with."""
    return read(path, "model")[1]
