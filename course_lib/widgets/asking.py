"""The base class of widgets whose pages send requests to the kernel."""

import threading
from pathlib import Path
from typing import Any

import numpy as np

from course_lib.widgets.live import Live

ASKING = Path(__file__).with_name("asking.js")


class Asking(Live):
    """A live widget that answers requests from its page.

    Each request is a message {tick, ...}. The reply contains rows of float32 values in a single
    buffer, or an error message. A subclass puts `ASKING` before its own scripts and implements
    `answer`. A page without a kernel receives no replies, so every subclass must also work without
    them.
    """

    def __init__(self, **traits: Any) -> None:
        # requests may be answered in a different thread from the cells; this lock guards the state
        self.lock = threading.RLock()
        # the last error; `raise widget.error` shows its traceback
        self.error: Exception | None = None
        super().__init__(**traits)
        self.on_msg(self._reply)

    def answer(self, question: dict[str, Any]) -> np.ndarray:
        """Return the rows, of shape (n, F), that answer a request from the page.

        The caller must hold `lock`.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement answer()")

    def _reply(self, _widget: Any, content: Any, _buffers: Any) -> None:
        if not isinstance(content, dict) or "tick" not in content:
            return
        reply: dict[str, Any] = {"tick": content["tick"], "client": content.get("client")}
        try:
            with self.lock:
                rows = np.ascontiguousarray(self.answer(content), dtype="<f4")  # (n, F)
            if rows.ndim != 2:
                raise ValueError(f"answer() must return an array of shape (n, F), not {rows.shape}")
        except Exception as error:  # the user must see every error in the browser
            self.error = error
            self.send(reply | {"error": sentence(error)})
        else:
            self.send(reply | {"shape": list(rows.shape)}, buffers=[rows.tobytes()])


def sentence(error: Exception) -> str:
    """Return the first line of an error's message.

    The type of the error precedes it, unless the error is a ValueError with a message.
    """
    first = str(error).strip().partition("\n")[0][:300]
    if first and isinstance(error, ValueError):
        return first
    return f"{type(error).__name__}: {first}".rstrip(": ")
