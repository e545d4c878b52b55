"""The history of a game, which can be replayed, rewound and saved."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from course_lib.toy_gan.game import HEAD, ROWS, Game, State
from course_lib.toy_gan.settings import Settings
from course_lib.training import checkpoints

KIND = "a toy GAN's history"
# The limits on moments and bytes; at either limit, every second moment is dropped.
MOST, BYTES = 600, 30e6


class History:
    """A game and its recorded moments, each with a frame to display and a state to continue from.

    `play` continues from the moment `at` and discards all later moments. `seek` moves `at`
    backwards or forwards.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.game = Game(settings)
        self.states: list[State] = []
        self.frames: list[np.ndarray] = []  # (SIZE,) float32 each
        self.at = -1
        self.keep()

    def keep(self) -> np.ndarray:
        """Discard the recorded moments after `at`, add the current one, and return its frame."""
        del self.states[self.at + 1 :], self.frames[self.at + 1 :]
        state, frame = self.game.state(), self.game.frame()
        size = frame.nbytes + sum(t.nbytes for t in state.tensors)
        if len(self.states) >= min(MOST, max(50, BYTES // size)):
            self.states, self.frames = self.states[::2], self.frames[::2]
        self.states.append(state)
        self.frames.append(frame)
        self.at = len(self.states) - 1
        return self.frames[-1]

    def play(self, frames: int = 1, steps: int = 1) -> np.ndarray:
        """Continue the game for `frames` frames of `steps` rounds each, and return the frames.

        The result has shape (frames, SIZE).
        """
        new = []
        for _ in range(frames):
            self.game.step(steps)
            new.append(self.keep())
        return np.stack(new)

    def seek(self, at: int) -> np.ndarray:
        """Move to the moment `at` (a negative value counts from the end), and return its frame."""
        if not -len(self.states) <= at < len(self.states):
            raise ValueError(
                f"at must be between {-len(self.states)} and {len(self.states) - 1}, but got {at}."
            )
        self.at = at % len(self.states)
        self.game.restore(self.states[self.at])
        return self.frames[self.at]

    def change(self, **changes: Any) -> bool:
        """Change settings with immediate effect,
        and return whether this starts a new game with a new history.
        """
        anew = self.game.change(**changes)
        self.at = -1 if anew else self.at - 1
        self.keep()  # replace the current moment, so that returning to it uses the new settings
        return anew

    def column(self, name: str) -> np.ndarray:
        """Return the values of a number in HEAD, or of a row in ROWS, in all T recorded frames.

        The result has shape (T,) for a number and (T, length) for a row.
        """
        frames = np.stack(self.frames)
        if name in HEAD:
            return frames[:, HEAD.index(name)]
        if name not in ROWS:
            raise ValueError(
                f"There is no column {name!r}. Choose one of {', '.join([*HEAD, *ROWS])}."
            )
        start = len(HEAD) + sum(list(ROWS.values())[: list(ROWS).index(name)])
        return frames[:, start : start + ROWS[name]]

    def save(self, path: str | Path) -> None:
        """Save the history in one safetensors file.

        Raises OSError if the file cannot be written; an existing file is then left unchanged.
        """
        names = range(len(self.states[0].tensors))
        tensors = {str(i): torch.stack([s.tensors[i] for s in self.states]) for i in names}
        tensors["frames"] = torch.from_numpy(np.stack(self.frames))  # (T, SIZE)
        losses = [s.losses for s in self.states]
        tensors["losses"] = torch.tensor(losses, dtype=torch.float64)  # (T, 2)
        settings = [s.settings.to_json() for s in self.states]
        new = [i for i, s in enumerate(settings) if i == 0 or s != settings[i - 1]]
        numbers = [s.numbers for s in self.states]
        facts = {"at": self.at, "settings": [[i, settings[i]] for i in new], "numbers": numbers}
        checkpoints.write(path, KIND, tensors, facts)

    @classmethod
    def load(cls, path: str | Path) -> "History":
        """Load and return a saved history, at the same position as when it was saved.

        Raises FileNotFoundError if the file does not exist, and CheckpointError if the file is
        damaged or not a saved history.
        """
        tensors, facts = checkpoints.read(path, KIND)
        settings = {i: Settings(**s) for i, s in facts["settings"]}
        history, now = cls(settings[0]), settings[0]
        history.frames, history.states = list(tensors["frames"].numpy()), []
        weights = [tensors[str(i)] for i in range(6)]
        for i, numbers in enumerate(facts["numbers"]):
            now = settings.get(i, now)
            losses = tensors["losses"][i].tolist()
            of_players = tuple(w[i] for w in weights)
            history.states.append(State(now, tuple(numbers), tuple(losses), of_players))
        history.seek(facts["at"])
        return history
