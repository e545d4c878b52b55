"""The last sound copy of a run: what training goes back to, and what its checkpoint holds."""

import time
from typing import Any

import torch
from torch import Tensor

from course_lib.training.checkpoints import RunFile
from course_lib.training.history import History, NotFinite
from course_lib.training.state import get_rng_states, load, not_finite, pack, set_rng_states, state_of, unpack

COPY_SECONDS = 1.0  # the most work that going back costs; a copy of a small model takes milliseconds
SAVE_SECONDS = 15.0  # the most work that a killed run loses


class Copies:
    """The last copy of models, optimizers, schedulers, noise and history, in host memory and in a file."""

    def __init__(
        self, parts: dict[str, Any], history: History, device: torch.device, seed: int, file: RunFile | None
    ) -> None:
        self.parts = parts
        self.history = history
        self.device = device
        self.seed = seed
        self.file = file
        self.rng_states: dict[str, Tensor] = {}  # the generators as the last training left them
        self._bad_before = set(not_finite(parts))  # no step's doing: a mask of −∞, a NaN that means "not yet"

    def take(self, step: int, save: bool = False) -> None:
        """Copy the state after `step` steps, and write it to the file if it is time, or now.

        Raises NotFinite instead if a number is bad.
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
            if name not in self._bad_before:  # such as a second moment that will freeze its weight
                undone = f"The steps up to {step:,} were undone"
                raise NotFinite(step, undone, f"with finite losses, {name}")

    def undo(self, error: BaseException, step: int) -> tuple[int, BaseException]:
        """Go back to the last copy, whose step is returned, because of an error after `step` steps.

        Returned as well: the NotFinite that is behind it, or else the error itself; with a note.
        """
        if isinstance(error, Exception):
            try:
                self.check(step)
            except NotFinite as cause:
                error = cause
        back = self.go_back()
        error.add_note(f"Because of this error, the run is as it was after step {back:,}.")
        return back, error

    def take_if_due(self, step: int) -> None:
        """`take`, if the last copy is a second old."""
        if time.monotonic() - self._taken > COPY_SECONDS:
            self.take(step)

    def go_back(self) -> int:
        """Set everything to the last copy; return its step."""
        torch.set_grad_enabled(True)  # an interrupt in the first line of a no_grad() would leave it off
        step, tree, tensors = self._last
        state = unpack(tree, tensors)
        for name, part in self.parts.items():
            load(part, state["parts"][name])
        self.history.load_state_dict(state, self.device)
        self.rng_states = state["noise"]
        self.restore_rng()
        return step

    def resume(self) -> int | None:
        """Set everything to what the file holds, and return its step; None if there is no file."""
        found = self.file.read() if self.file else None
        if found is None:
            return None
        self._last = found
        return self.go_back()

    def restore_rng(self) -> None:
        """Noise goes on where the last training left it, whatever has been drawn since."""
        set_rng_states(self.device, self.rng_states, self.seed)

    def keep_rng(self) -> None:
        """Keep the state of the noise for the next `restore_rng`."""
        self.rng_states = get_rng_states(self.device)
