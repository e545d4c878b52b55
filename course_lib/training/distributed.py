"""A step that several processes share: each does its rows of the batch, and all come to the same weights.

Every process holds the whole model and all the data, and computes the loss and its gradient on its own rows
of a batch. Then the gradients are averaged, and all processes take the same step of the optimizer. So their
weights stay equal. Up to rounding, one process would make the same ones from the same batches, because

- loss and gradient are means over rows: the batch's is the mean of the processes' own, weighted by rows;
- every process draws the noise of the whole batch, from a generator in the same state, and keeps its rows.

The loop does not know of this: `shared` wraps a step from outside, as `cuda_graph` does.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.overrides import TorchFunctionMode

from course_lib.training.checkpoints import Copy, RunFile
from course_lib.training.processes import first, is_first, is_shared

Step = Callable[[tuple[Tensor, ...]], dict[str, Tensor]]
LOOK_EVERY = 10  # steps between two looks for interrupts, each of which waits for the device
# Noise that would be the same for the rows of every process, and what looks at all rows of a batch.
NOT_SHARED = {torch.rand, torch.randn, torch.rand_like, torch.randint, torch.normal, torch.bernoulli}
NOT_SHARED |= {Tensor.normal_, Tensor.uniform_, Tensor.random_, Tensor.bernoulli_, F.dropout, F.batch_norm}


def own_rows(rows: int, rank: int, processes: int) -> slice:
    """Which of a batch's rows process `rank` takes. No process takes two more than another."""
    return slice(rows * rank // processes, rows * (rank + 1) // processes)


class NoiseOfTheBatch(TorchFunctionMode):
    """Inside, torch.randn_like draws for all `rows` of a batch, and returns those of this process, `mine`."""

    def __init__(self, rows: int, mine: slice) -> None:
        super().__init__()
        self.rows = rows
        self.mine = mine

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function in NOT_SHARED:
            raise NotImplementedError(f"A step that processes share cannot use {function.__name__}.")
        if function is torch.randn_like:
            like = args[0]  # (b, …)
            whole = like.new_empty(self.rows, *like.shape[1:])  # (B, …)
            return torch.randn_like(whole, *args[1:], **kwargs)[self.mine]
        return function(*args, **kwargs)


class SharedStep:
    """A step on a batch, tensors (B, …), that does this process's rows of it and returns the batch's losses.

    step: one for a batch of any size, whose losses and gradients are means over its rows.
    """

    def __init__(self, step: Step, run: Any) -> None:
        self.step = step
        self.run = run
        self.weight = 1.0  # this process's share of the batch's rows
        self.was_interrupted = False

    def __call__(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        self._stop_if_interrupted()
        rows = len(batch[0])
        mine = own_rows(rows, dist.get_rank(), dist.get_world_size())
        self.weight = (mine.stop - mine.start) / rows
        if self.weight == 0:  # an epoch's last batch may be small
            mine = slice(0, 1)  # no rows have no mean, but 0 times that of any row is nothing
        with NoiseOfTheBatch(rows, mine):
            losses = self.step(tuple(part[mine] for part in batch))
        return dict(zip(losses, self._average(list(losses.values())), strict=True))

    def _average(self, means: list[Tensor]) -> list[Tensor]:
        """Of means over this process's rows, tensors of any shapes, the means over the whole batch."""
        flat = torch.cat([mean.detach().flatten() for mean in means]) * self.weight
        dist.all_reduce(flat)  # the sum over processes, the same in each of them to the last bit
        parts = flat.split([mean.numel() for mean in means])
        return [part.view_as(mean) for part, mean in zip(parts, means, strict=True)]

    def average_gradients(self, optimizer: Optimizer, *_: Any) -> None:
        """Average the gradients. The optimizer calls this after `backward`, before its step."""
        weights = [p for group in optimizer.param_groups for p in group["params"]]
        gradients = [p.grad for p in weights if p.grad is not None]
        for gradient, mean in zip(gradients, self._average(gradients), strict=True):
            gradient.copy_(mean)

    def note_interrupt(self, *_: Any) -> None:
        """What a signal does here: only its own process gets it, and all must stop before the same step."""
        self.was_interrupted = True

    def _stop_if_interrupted(self) -> None:
        if self.run.step % LOOK_EVERY == 0:
            interrupted = torch.tensor(float(self.was_interrupted), device=self.run.device)
            dist.all_reduce(interrupted)
            if interrupted > 0:
                raise KeyboardInterrupt


@contextmanager
def shared(step: Step, run: Any) -> Iterator[Step]:
    """The step of a training.Run, to be shared by the processes of a group; the step itself for one alone."""
    if not is_shared():
        yield step
        return
    one = SharedStep(step, run)
    optimizers = [part for part in run.parts.values() if isinstance(part, Optimizer)]
    hooks = [optimizer.register_step_pre_hook(one.average_gradients) for optimizer in optimizers]
    before = signal.signal(signal.SIGINT, one.note_interrupt)
    try:
        yield one
    finally:
        signal.signal(signal.SIGINT, before)
        for hook in hooks:
            hook.remove()


class SharedFile(RunFile):
    """The file of a run, which process 0 reads and writes for all: no other machine needs to have it."""

    def read(self) -> Copy | None:
        """What process 0 reads, for every process."""
        return first(super().read)

    def check(self) -> None:
        """Process 0's check, for every process."""
        first(super().check)

    def save(self, copy: Copy) -> None:
        """Process 0's copy is all processes' copy."""
        if is_first():
            super().save(copy)
