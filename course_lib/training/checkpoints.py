"""Files that hold a model or a training run: safetensors with a checksum of their own bytes, no pickle."""

import hashlib
import importlib
import json
import time
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from course_lib.device import pick_device
from course_lib.files import check_writable, reason, usable, write_whole
from course_lib.models.config import Config

RUN = "training run"
METADATA = "facts"  # the key in a file's header
NO_SUM = b"0" * 64  # stands where the SHA-256 goes while it is taken


class CheckpointError(ValueError):
    """A file that cannot be used, and why."""


def write(
    path: str | Path, kind: str, tensors: dict[str, Tensor], metadata: Any, *, replace: bool = True
) -> None:
    """CPU tensors and JSON-able metadata into one file. OSError if the disk refuses: the old file stays.

    replace=False: FileExistsError if there is a file.
    """
    blob = safetensors.torch.save(
        tensors, {"kind": kind, METADATA: json.dumps(metadata), "sha256": NO_SUM.decode()}
    )
    digest = hashlib.sha256(blob).hexdigest().encode()
    blob = blob.replace(b'"sha256":"' + NO_SUM, b'"sha256":"' + digest, 1)
    write_whole(usable(path), blob, replace=replace)


def read(path: str | Path, kind: str) -> tuple[dict[str, Tensor], Any]:
    """Tensors (on the CPU) and metadata. FileNotFoundError; CheckpointError if damaged or of another kind."""
    blob = usable(path).read_bytes()
    try:
        texts = json.loads(blob[8 : 8 + int.from_bytes(blob[:8], "little")])["__metadata__"]
        digest = texts["sha256"].encode()
        if hashlib.sha256(blob.replace(digest, NO_SUM, 1)).hexdigest().encode() != digest:
            raise ValueError
        found, metadata, tensors = texts["kind"], json.loads(texts[METADATA]), safetensors.torch.load(blob)
    except (ValueError, KeyError, TypeError, AttributeError, safetensors.SafetensorError):
        why = "was cut short or edited, or is not a file of this course: delete it, or name another file."
        raise CheckpointError(f"{path} {why}") from None
    if found != kind:
        raise CheckpointError(f"{path} holds a {found}, and a {kind} was asked for: name another file.")
    return tensors, metadata


Copy = tuple[int, Any, dict[str, Tensor]]  # a run's step, its state as JSON, and the state's tensors


class RunFile:
    """The file of one training run: its last copy, which another run's never replaces.

    identity: what must be the same for a file to be of this run, by name.
    """

    def __init__(self, path: str | Path, identity: dict[str, str]) -> None:
        self.path = usable(path)
        self.written = time.monotonic()
        self._identity = identity
        self._was_refused = False

    def read(self) -> Copy | None:
        """The copy in the file, or None. CheckpointError for a damaged file, and for another run's."""
        return read_run(self.path, self._identity) if self.path.exists() else None

    def check(self) -> None:
        """Say now if the file could not be written later; ValueError if there is not even an old one."""
        try:
            check_writable(self.path)
        except OSError as error:
            why = f"{self.path} cannot be written ({reason(error)})"
            if not self.path.exists():
                raise ValueError(f"{why}: name another file.") from None
            print(f"{why}; training goes on, but is not saved.")
            self._was_refused = True

    def save(self, copy: Copy) -> None:
        """Write the copy, or say once why that cannot be."""
        self.written = time.monotonic()
        before = self.path
        try:
            self.path = write_run(before, self._identity, *copy)
        except OSError as error:
            if not self._was_refused:
                print(f"{before} cannot be written ({reason(error)}); training goes on.")
            self._was_refused = True
            return
        self._was_refused = False
        if self.path != before:
            print(
                f"Another process has written {before}, which stays as it is: "
                f"from here on, this run is saved as {self.path}."
            )


def read_run(path: Path, identity: dict[str, str]) -> Copy:
    """The step, the state and its tensors of a training run; CheckpointError if it is another run's."""
    tensors, (there, step, tree) = read(path, RUN)
    keys = [key for key in identity | there if identity.get(key) != there.get(key)]
    if keys:
        differ = "; ".join(f"{key} is {identity.get(key)} here, {there.get(key)} there" for key in keys[:3])
        raise CheckpointError(f"{path} is of another run ({differ}): delete it, or name another file.")
    return step, tree, tensors


def write_run(path: Path, identity: dict[str, str], step: int, tree: Any, tensors: dict[str, Tensor]) -> Path:
    """Write the state of a training run, and return where.

    The file there is checked again, because another process may have written it since. It is replaced if it
    holds an earlier state of this run. Everything else stays, and this run takes the next free name: two
    processes with one name lose nothing.
    """
    target = path
    number = 1
    while True:
        try:
            older = _holds_earlier(target, identity, step)
            write(target, RUN, tensors, [identity, step, tree], replace=older)
            return target
        except FileExistsError:
            number += 1
            target = path.with_stem(f"{path.stem}_{number}")


def _holds_earlier(path: Path, identity: dict[str, str], step: int) -> bool:
    """Whether a file holds a state of this run, none later than `step`. Only its header is read."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            texts = file.metadata()
        there, step_there, _ = json.loads(texts[METADATA])
        return texts["kind"] == RUN and there == identity and step_there <= step
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError):
        return False  # no file, or one that cannot be told to be of this run


def save_model(
    model: nn.Module, path: str | Path, *, dtype: torch.dtype | None = None, **metadata: Any
) -> None:
    """Keep a model of course_lib (its class has `.config`), and in JSON how it was made and measured.

    dtype=torch.float16 halves the file; loaded, the model is float32 again, as is one that was float64.
    TypeError for other classes, ValueError for a dtype that is too small for the weights.
    """
    if dtype is not None and not dtype.is_floating_point:
        raise ValueError(f"Weights are saved as floating numbers, such as torch.float16, not {dtype}.")
    cls = type(model)
    config = getattr(model, "config", None)
    if not (cls.__module__.startswith("course_lib.") and isinstance(config, Config | dict)):
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
    made = {
        "class": f"{cls.__module__}:{cls.__name__}",
        "config": config.to_json() if isinstance(config, Config) else config,
    }
    write(path, "model", tensors, metadata | made)


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
    """What a model's file says of itself: "class", "config", and the metadata it was saved with."""
    return read(path, "model")[1]
