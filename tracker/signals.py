"""Notes the signal that ends the process, then lets it do just what it would have done."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

_WATCHED = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name))


class Termination:
    """Watches signals whose default ends the process; a handler of the user's is left alone.

    Only the main thread can set handlers: a run in another thread goes without, and its sidecar sees the process gone.
    """

    def __init__(self, note: Callable[[int], None]) -> None:
        """`note(number)` is called in the handler: it must not lock."""
        self._note = note
        self._installed: list[int] = []

    def install(self) -> None:
        """Takes the place of each default handler."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _WATCHED:
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, self._handle)
                self._installed.append(number)

    def uninstall(self) -> None:
        """Puts the defaults back where nobody else has set a handler since."""
        if threading.current_thread() is not threading.main_thread():
            return
        while self._installed:
            number = self._installed.pop()
            if signal.getsignal(number) == self._handle:
                signal.signal(number, signal.SIG_DFL)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._note(number)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
