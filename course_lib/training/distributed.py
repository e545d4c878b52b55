"""Training steps shared by several processes, each of which uses its own rows of the batch.

Every process holds the whole model and all the data, and computes the loss and the gradient on its
own rows of each batch. The gradients are then averaged, and all processes take the same optimizer
step, so their weights stay identical. Up to rounding, a single process would reach the same weights
with the same batches, for two reasons:

- The loss and the gradient are means over rows. The loss of the batch is therefore the mean of the
  losses of the individual processes, each weighted by its number of rows; the same holds for the
  gradient.
- Every process draws the noise for the whole batch from a generator in the same state, but uses
  only its own rows.

`shared` wraps a step from outside, as `cuda_graph` does, so the training loop needs no
code for sharing.
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
LOOK_EVERY = 10  # steps between checks for interrupts, each of which waits for the device
# Functions that would draw the same noise in every process, or that depend on all rows of a batch.
NOT_SHARED = {
    torch.rand,
    torch.randn,
    torch.rand_like,
    torch.randint,
    torch.normal,
    torch.bernoulli,
}
NOT_SHARED |= {
    Tensor.normal_,
    Tensor.uniform_,
    Tensor.random_,
    Tensor.bernoulli_,
    F.dropout,
    F.batch_norm,
}


def own_rows(rows: int, rank: int, processes: int) -> slice:
    """Return the slice of a batch's rows that process `rank` uses.

    The lengths of the slices differ by at most one.
    """
    return slice(rows * rank // processes, rows * (rank + 1) // processes)


class NoiseOfTheBatch(TorchFunctionMode):
    """A context in which torch.randn_like draws noise for a whole batch.

    The function returns only the rows of this noise that `mine` selects.
    """

    def __init__(self, rows: int, mine: slice) -> None:
        super().__init__()
        self.rows = rows
        self.mine = mine

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in NOT_SHARED:
            raise NotImplementedError(
                f"{function.__name__} is not supported when training with several processes. "
                "Use a single process."
            )
        if function is torch.randn_like:
            like = args[0]  # (b, …)
            whole = like.new_empty(self.rows, *like.shape[1:])  # (B, …)
            return torch.randn_like(whole, *args[1:], **kwargs)[self.mine]
        return function(*args, **kwargs)


class SharedStep:
    """A step that uses only this process's rows of a batch but returns the whole batch's losses.

    A batch consists of tensors of shape (B, …). step: a step that accepts batches of any size,
    and whose losses and gradients are means over rows.
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
        if self.weight == 0:
            # the last batch of an epoch may have fewer rows than there are processes; the mean
            # over no rows is undefined, but any row can be used with weight 0
            mine = slice(0, 1)
        with NoiseOfTheBatch(rows, mine):
            losses = self.step(tuple(part[mine] for part in batch))
        return dict(zip(losses, self._average(list(losses.values())), strict=True))

    def _average(self, means: list[Tensor]) -> list[Tensor]:
        """Turn means over this process's rows into means over the whole batch.

        The means may be of any shape.
        """
        flat = torch.cat([mean.detach().flatten() for mean in means]) * self.weight
        dist.all_reduce(flat)  # the sum over processes, bit for bit the same in each process
        parts = flat.split([mean.numel() for mean in means])
        return [part.view_as(mean) for part, mean in zip(parts, means, strict=True)]

    def average_gradients(self, optimizer: Optimizer, *_: Any) -> None:
        """Average the gradients over the processes.

        The optimizer calls this hook before each step.
        """
        weights = [p for group in optimizer.param_groups for p in group["params"]]
        gradients = [p.grad for p in weights if p.grad is not None]
        for gradient, mean in zip(gradients, self._average(gradients), strict=True):
            gradient.copy_(mean)

    def note_interrupt(self, *_: Any) -> None:
        """Record an interrupt that may have reached only this process.

        The next check makes all processes stop before the same step.
        """
        self.was_interrupted = True

    def _stop_if_interrupted(self) -> None:
        if self.run.step % LOOK_EVERY == 0:
            interrupted = torch.tensor(float(self.was_interrupted), device=self.run.device)
            dist.all_reduce(interrupted)
            if interrupted > 0:
                raise KeyboardInterrupt


@contextmanager
def shared(step: Step, run: Any) -> Iterator[Step]:
    """Yield a version of `step` that is shared by the processes in a group.

    If there is no group, `step` itself is yielded.
    """
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
    """The checkpoint file of a shared run, which process 0 reads and writes for all processes."""

    def read(self) -> Copy | None:
        """Read the file in process 0, and return the copy in every process."""
        return first(super().read)

    def check(self) -> None:
        """Check the file in process 0, and stop every process if the check fails."""
        first(super().check)

    def save(self, copy: Copy) -> None:
        """Save the copy in process 0; all processes hold identical copies."""
        if is_first():
            super().save(copy)
