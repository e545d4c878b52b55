"""Save and load models and training runs as safetensors files with a checksum, without pickle."""

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
METADATA = "facts"  # the key of the metadata in a file's header
NO_SUM = b"0" * 64  # a placeholder for the SHA-256 hash while the hash is computed


class CheckpointError(ValueError):
    """Raised if a checkpoint cannot be used; the message gives the reason."""


def write(
    path: str | Path, kind: str, tensors: dict[str, Tensor], metadata: Any, *, replace: bool = True
) -> None:
    """Write CPU tensors and JSON-serializable metadata to one file.

    Raises OSError if the file cannot be written; an existing file is then left unchanged. With
    replace=False, raises FileExistsError if the file exists.
    """
    blob = safetensors.torch.save(
        tensors, {"kind": kind, METADATA: json.dumps(metadata), "sha256": NO_SUM.decode()}
    )
    digest = hashlib.sha256(blob).hexdigest().encode()
    blob = blob.replace(b'"sha256":"' + NO_SUM, b'"sha256":"' + digest, 1)
    write_whole(usable(path), blob, replace=replace)


def read(path: str | Path, kind: str) -> tuple[dict[str, Tensor], Any]:
    """Return the tensors (on the CPU) and the metadata that are stored in a file.

    Raises FileNotFoundError if the file does not exist, and CheckpointError if it is damaged or of
    a different kind.
    """
    blob = usable(path).read_bytes()
    try:
        texts = json.loads(blob[8 : 8 + int.from_bytes(blob[:8], "little")])["__metadata__"]
        digest = texts["sha256"].encode()
        if hashlib.sha256(blob.replace(digest, NO_SUM, 1)).hexdigest().encode() != digest:
            raise ValueError
        found = texts["kind"]
        metadata = json.loads(texts[METADATA])
        tensors = safetensors.torch.load(blob)
    except (ValueError, KeyError, TypeError, AttributeError, safetensors.SafetensorError):
        why = (
            "is truncated, modified, or not a file of this course. "
            "Delete the file or choose another one."
        )
        raise CheckpointError(f"{path} {why}") from None
    if found != kind:
        raise CheckpointError(f"{path} contains {found!r}, not {kind!r}. Choose another file.")
    return tensors, metadata


# The step of a run, its state as JSON, and the state's tensors.
Copy = tuple[int, Any, dict[str, Tensor]]


class RunFile:
    """The checkpoint file of one run; a file that belongs to another run is never replaced.

    identity: the named values that must match for a file to belong to this run. saved_step: the
    step of the copy in the file, or None if there is no file.
    """

    def __init__(self, path: str | Path, identity: dict[str, str]) -> None:
        self.path = usable(path)
        self.written = time.monotonic()
        self._identity = identity
        self._was_refused = False
        self.saved_step: int | None = None

    def read(self) -> Copy | None:
        """Return the copy of the run stored in the file, or None if the file does not exist.

        Raises CheckpointError if the file is damaged or belongs to another run.
        """
        if not self.path.exists():
            return None
        copy = read_run(self.path, self._identity)
        self.saved_step = copy[0]
        return copy

    def check(self) -> None:
        """Check that the file can be written.

        Prints a warning if an existing file is not writable, and raises ValueError if a new file
        cannot be created.
        """
        try:
            check_writable(self.path)
        except OSError as error:
            why = f"{self.path} cannot be written ({reason(error)})"
            if not self.path.exists():
                raise ValueError(f"{why}. Choose another file.") from None
            print(f"{why}. Training continues, but is not saved.")
            self._was_refused = True

    def save(self, copy: Copy) -> None:
        """Write the copy to the file; if writing fails repeatedly, print the reason only once."""
        self.written = time.monotonic()
        before = self.path
        try:
            self.path = write_run(before, self._identity, *copy)
        except OSError as error:
            if not self._was_refused:
                print(f"{before} cannot be written ({reason(error)}). Training continues.")
            self._was_refused = True
            return
        self._was_refused = False
        self.saved_step = copy[0]
        if self.path != before:
            print(
                f"Another process has written {before}. That file is left unchanged, "
                f"and this run is saved as {self.path} from now on."
            )


def read_run(path: Path, identity: dict[str, str]) -> Copy:
    """Read a training run from a file, and return its step, its state and its tensors.

    Raises CheckpointError if the file is damaged or belongs to another run.
    """
    tensors, (there, step, tree) = read(path, RUN)
    keys = [key for key in identity | there if identity.get(key) != there.get(key)]
    if keys:
        differ = "; ".join(
            f"{key} is {identity.get(key)} here but {there.get(key)} in the file"
            for key in keys[:3]
        )
        raise CheckpointError(
            f"{path} belongs to another run ({differ}). Delete it or choose another file."
        )
    return step, tree, tensors


def write_run(
    path: Path, identity: dict[str, str], step: int, tree: Any, tensors: dict[str, Tensor]
) -> Path:
    """Write the state of a training run to a file, and return the file's path.

    An existing file is checked again, because another process may have written it in the meantime.
    The file is replaced if it contains an earlier state of this run. Any other file is left
    unchanged, and the state is written under the next free name. Two processes that use the same
    name therefore never overwrite each other's states.
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
    """Return whether a file's header describes a state of this run at `step` or earlier."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            texts = file.metadata()
        there, step_there, _ = json.loads(texts[METADATA])
        return texts["kind"] == RUN and there == identity and step_there <= step
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError):
        return False  # no file, or a file that cannot be identified as belonging to this run


def save_model(
    model: nn.Module, path: str | Path, *, dtype: torch.dtype | None = None, **metadata: Any
) -> None:
    """Save a course_lib model that has a `.config`, together with JSON-serializable metadata.

    dtype=torch.float16 halves the size of the file. A loaded model is always float32, even if the
    saved model was float64. Raises TypeError for any other model, and ValueError if `dtype` is not
    a floating-point type or if the weights are too large for it.
    """
    if dtype is not None and not dtype.is_floating_point:
        raise ValueError(
            f"dtype must be a floating-point type, such as torch.float16, not {dtype}."
        )
    cls = type(model)
    config = getattr(model, "config", None)
    if not (cls.__module__.startswith("course_lib.") and isinstance(config, Config | dict)):
        raise TypeError(
            "Only course_lib models with a .config can be saved this way, "
            f"not {cls.__qualname__}. Instead, save the state_dict with checkpoints.write "
            "and load it into a model that you create."
        )
    tensors: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        kind = dtype if dtype and value.is_floating_point() else value.dtype
        tensors[name] = value.to("cpu", kind, copy=True, memory_format=torch.contiguous_format)
        if kind != value.dtype and bool((tensors[name].isinf() & value.cpu().isfinite()).any()):
            raise ValueError(
                f"{name} contains numbers too large for {kind}. Save the model without dtype."
            )
    made = {
        "class": f"{cls.__module__}:{cls.__name__}",
        "config": config.to_json() if isinstance(config, Config) else config,
    }
    write(path, "model", tensors, metadata | made)


def load_model(path: str | Path, device: str | torch.device | None = None) -> nn.Module:
    """Load a model saved by `save_model` onto a device (default: the CPU), in evaluation mode.

    Raises CheckpointError if the file and the class do not match, and ValueError if the device
    is not available.
    """
    place = None if device is None else pick_device(device)
    tensors, made = read(path, "model")
    module, name = made["class"].split(":")
    try:
        if not module.startswith("course_lib."):
            raise ValueError(f"{module} is not part of course_lib.")
        model = getattr(importlib.import_module(module), name)(**made["config"])
        model.load_state_dict(tensors)
    except (ImportError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        why = str(error).splitlines()[-1].strip()
        raise CheckpointError(
            f"{path} does not match the current definition of the class {made['class']}: {why}"
        ) from None
    return model.to(place).eval()


def describe(path: str | Path) -> dict[str, Any]:
    """Return the "class" and "config" of a saved model, and the metadata saved with it."""
    return read(path, "model")[1]
