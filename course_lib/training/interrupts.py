"""Ctrl-C and a notebook's stop button: the step under way is finished first, so that nothing is half done."""

import signal
import threading
from types import FrameType


class Interrupts:
    """Inside of `with Interrupts() as interrupts:` an interrupt only sets `asked`.

    While `breakable` is True, a second one raises KeyboardInterrupt at once, and later ones do nothing. In a
    thread, and where somebody else handles the signal, interrupts arrive as they always do.
    """

    def __enter__(self) -> "Interrupts":
        self.asked = False
        self.breakable = False
        in_main_thread = threading.current_thread() is threading.main_thread()
        self._ours = in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler
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
