"""The processes that torchrun starts for one run: which process prints,
and which device each process uses.

Without torchrun, there is only one process, which does everything itself. Source: PyTorch's
`torch.distributed`.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from course_lib.device import pick_device

T = TypeVar("T")


def is_shared() -> bool:
    """Return whether this process belongs to a group."""
    return dist.is_available() and dist.is_initialized()


def is_first() -> bool:
    """Return whether this is process 0, which prints, evaluates and writes.

    The result is also True if there is no group.
    """
    return not is_shared() or dist.get_rank() == 0


def count() -> int:
    """Return the number of processes in the group, or 1 if there is no group."""
    return dist.get_world_size() if is_shared() else 1


@contextmanager
def group() -> Iterator[None]:
    """A context manager within which the processes started by torchrun form a group
    and only process 0 prints.

    A process that was not started by torchrun does not join a group.
    """
    if is_shared() or not dist.is_torchelastic_launched():
        yield
        return
    has_gpus = torch.cuda.is_available() and dist.is_nccl_available()
    dist.init_process_group("cpu:gloo,cuda:nccl" if has_gpus else "gloo")
    with open(os.devnull, "w") as nowhere, redirect_stdout(sys.stdout if is_first() else nowhere):
        yield
    dist.destroy_process_group()


def first(work: Callable[[], T]) -> T:
    """Run `work()` in process 0, and return the result in every process.

    If `work()` fails, the other processes exit without a message.
    """
    if not is_shared():
        return work()
    found: list[Any] = [work() if is_first() else None]
    try:
        dist.broadcast_object_list(found, src=0, device=torch.device("cpu"))
    except RuntimeError:
        if is_first():
            raise
        sys.exit(1)  # process 0 has exited with an error message
    return found[0]


def own_device(name: str | None = None) -> torch.device:
    """Return the device of this process: the choice of `pick_device`
    or, in a group that uses GPUs, the process's own GPU.

    Raises ValueError in the same cases as `pick_device`. In a group, also raises ValueError for
    Apple's GPU, and for CUDA if the machine has fewer GPUs than processes.
    """
    device = pick_device(name)
    if not is_shared() or device.type == "cpu":
        return device
    if device.type != "cuda":
        raise ValueError(f"Training with several processes is not supported on {device}. Use cpu.")
    processes, gpus = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
    if processes > gpus:
        raise ValueError(
            f"{processes} processes need {processes} GPUs, but this machine has only {gpus}. "
            f"Pass --nproc-per-node={gpus} to torchrun, or train on the CPU."
        )
    own = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(own)
    return own
