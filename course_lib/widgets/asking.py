"""Widgets whose page asks the kernel for what only Python has."""

import threading
from pathlib import Path
from typing import Any

import numpy as np

from course_lib.widgets.live import Live

ASKING = Path(__file__).with_name("asking.js")


class Asking(Live):
    """A live widget that answers questions of its page.

    The page sends {tick, ...}; rows of float32 go back in one buffer, or a sentence if something went wrong.
    A subclass puts `ASKING` before its scripts and computes the `answer`. In a page without a kernel there
    is none, so a widget must be able to do without.
    """

    def __init__(self, **traits: Any) -> None:
        # Answers may run on another thread than the cells do, so the state is guarded by this lock.
        self.lock = threading.RLock()
        self.error: Exception | None = None  # the last one: `raise widget.error` shows where it came from
        super().__init__(**traits)
        self.on_msg(self._reply)

    def answer(self, question: dict[str, Any]) -> np.ndarray:
        """The rows (n, F) that answer a question of the page. Called under the lock."""
        raise NotImplementedError(f"{type(self).__name__} answers no questions")

    def _reply(self, _widget: Any, content: Any, _buffers: Any) -> None:
        if not isinstance(content, dict) or "tick" not in content:
            return
        reply: dict[str, Any] = {"tick": content["tick"], "client": content.get("client")}
        try:
            with self.lock:
                rows = np.ascontiguousarray(self.answer(content), dtype="<f4")  # (n, F)
            if rows.ndim != 2:
                raise ValueError(f"answer() must return an array of shape (n, F), not {rows.shape}")
        except Exception as error:  # whatever went wrong, the person at the browser must see it
            self.error = error
            self.send(reply | {"error": sentence(error)})
        else:
            self.send(reply | {"shape": list(rows.shape)}, buffers=[rows.tobytes()])


def sentence(error: Exception) -> str:
    """What went wrong, as one line for the browser. A ValueError speaks to people; others need their name."""
    first = str(error).strip().partition("\n")[0][:300]
    if first and isinstance(error, ValueError):
        return first
    return f"{type(error).__name__}: {first}".rstrip(": ")
