"""Handle Ctrl-C and a notebook's stop button, so that training stops after the current step."""

import signal
import threading
from types import FrameType


class Interrupts:
    """A context manager for `with Interrupts() as interrupts:`; an interrupt merely sets `asked`.

    While `breakable` is True, a second interrupt raises KeyboardInterrupt at once, and later
    interrupts have no effect. Outside the main thread, or if other code handles the signal,
    interrupts have their usual effect.
    """

    def __enter__(self) -> "Interrupts":
        self.asked = False
        self.breakable = False
        in_main_thread = threading.current_thread() is threading.main_thread()
        handler = signal.getsignal(signal.SIGINT)
        self._ours = in_main_thread and handler is signal.default_int_handler
        if self._ours:
            signal.signal(signal.SIGINT, self._on_interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.asked and self.breakable:
            self.breakable = False
            raise KeyboardInterrupt
        self.asked = True
