"""The processes that torchrun has started for one training: who speaks for them, and where each computes.

Without torchrun a process is alone, and all of this does nothing. Source: PyTorch's `torch.distributed`.
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
    """Whether this process is one of a group."""
    return dist.is_available() and dist.is_initialized()


def is_first() -> bool:
    """Whether this is process 0, which prints, evaluates and writes. A process without a group is one."""
    return not is_shared() or dist.get_rank() == 0


def count() -> int:
    """How many processes the group has."""
    return dist.get_world_size() if is_shared() else 1


@contextmanager
def group() -> Iterator[None]:
    """In this context, the processes started by torchrun form a group in which only process 0 prints.

    A process that torchrun has not started stays alone.
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
    """What `work()` returns in process 0, in every process. If it fails there, the others end silently."""
    if not is_shared():
        return work()
    found: list[Any] = [work() if is_first() else None]
    try:
        dist.broadcast_object_list(found, src=0, device=torch.device("cpu"))
    except RuntimeError:
        if is_first():
            raise
        sys.exit(1)  # process 0 has ended, and has said why
    return found[0]


def own_device(name: str | None = None) -> torch.device:
    """The device of this process, as by `pick_device`, but each process of a machine gets a GPU of its own.

    Raises ValueError as `pick_device` does, and where a machine has more processes than GPUs.
    """
    device = pick_device(name)
    if not is_shared() or device.type == "cpu":
        return device
    if device.type != "cuda":
        raise ValueError(f"Processes share a training on CPUs or CUDA's GPUs, not on {device}: use cpu.")
    processes, gpus = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
    if processes > gpus:
        raise ValueError(
            f"{processes} processes need as many GPUs, and this machine has {gpus}: "
            f"pass --nproc-per-node={gpus} to torchrun, or train on cpu."
        )
    own = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(own)
    return own
