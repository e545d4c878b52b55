"""The last valid copy of a run, which is restored after an error and written to the checkpoint."""

import time
from typing import Any

import torch
from torch import Tensor

from course_lib.training.checkpoints import RunFile
from course_lib.training.history import History, NotFinite
from course_lib.training.state import (
    get_rng_states,
    load,
    not_finite,
    pack,
    set_rng_states,
    state_of,
    unpack,
)

# Roughly how much work is lost in a reset; copying a small model takes milliseconds.
COPY_SECONDS = 1.0
SAVE_SECONDS = 15.0  # roughly how much work is lost if the process is killed


class Copies:
    """The last copy of a run's state, in memory and in a file.

    A state consists of the `parts` (the models, optimizers and schedulers), the noise and the
    history.
    """

    def __init__(
        self,
        parts: dict[str, Any],
        history: History,
        device: torch.device,
        seed: int,
        file: RunFile | None,
    ) -> None:
        self.parts = parts
        self.history = history
        self.device = device
        self.seed = seed
        self.file = file
        self.rng_states: dict[str, Tensor] = {}  # the generators' states after the last training
        self._bad_before = set(not_finite(parts))  # not caused by a step, such as a mask of −∞

    def take(self, step: int, save: bool = False) -> None:
        """Copy the state after `step` steps.

        The copy is written to the file if `save` is True or a write is due. Raises NotFinite, and
        makes no copy, if a number has become NaN or infinite.
        """
        self.check(step)
        parts = {name: state_of(part) for name, part in self.parts.items()}
        state = {"parts": parts, "noise": get_rng_states(self.device), **self.history.state_dict()}
        tensors: dict[str, Tensor] = {}
        self._last = (step, pack(state, tensors), tensors)
        self._taken = time.monotonic()
        if self.file and (save or self._taken - self.file.written > SAVE_SECONDS):
            self.file.save(self._last)

    def check(self, step: int) -> None:
        """Raise NotFinite if a number has become NaN or infinite since the last copy."""
        self.history.check(step)
        for name in not_finite(self.parts):
            if name not in self._bad_before:  # such as a second moment that would freeze a weight
                undone = f"All losses were finite, but the steps up to {step:,} were undone"
                raise NotFinite(step, undone, name)

    def undo(self, error: BaseException, step: int) -> tuple[int, BaseException]:
        """Restore the last copy in response to an error that occurred after `step` steps.

        Returns the step at which the copy was made, and the error to raise, with a note about the
        reset. If NaN or infinite values caused `error`, the error to raise is NotFinite; otherwise,
        it is `error` itself.
        """
        if isinstance(error, Exception):
            try:
                self.check(step)
            except NotFinite as cause:
                error = cause
        back = self.go_back()
        error.add_note(
            f"Because of this error, the run was reset to its state after step {back:,}."
        )
        return back, error

    def take_if_due(self, step: int) -> None:
        """Take a copy if the last copy is more than a second old."""
        if time.monotonic() - self._taken > COPY_SECONDS:
            self.take(step)

    def go_back(self) -> int:
        """Restore everything from the last copy, and return its step."""
        # an interrupt on entry to no_grad() can leave gradients disabled
        torch.set_grad_enabled(True)
        step, tree, tensors = self._last
        state = unpack(tree, tensors)
        for name, part in self.parts.items():
            load(part, state["parts"][name])
        self.history.load_state_dict(state, self.device)
        self.rng_states = state["noise"]
        self.restore_rng()
        return step

    def resume(self) -> int | None:
        """Restore everything from the file and return the step at which the copy was made.

        Returns None if there is no file.
        """
        found = self.file.read() if self.file else None
        if found is None:
            return None
        self._last = found
        return self.go_back()

    def restore_rng(self) -> None:
        """Restore the random generators to their most recently stored states."""
        set_rng_states(self.device, self.rng_states, self.seed)

    def keep_rng(self) -> None:
        """Store the states of the random generators for the next call to `restore_rng`."""
        self.rng_states = get_rng_states(self.device)
