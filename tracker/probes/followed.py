"""Which thread's training a run follows: the first that goes backward or steps, and the next one once that has ended.

To read a gradient while another thread's backward writes it is a race inside torch that ends the process. So what
trains in a second thread of the user's, at the same time, is left alone. Threads that torch itself has started run
hooks on behalf of a backward that waits for them, and belong to it.
"""

from __future__ import annotations

import threading
from _thread import get_ident
from collections.abc import Callable
from typing import Any

WHY = "Several threads train at the same time: only the one that began first is followed."


class Followed:
    """The thread of one run's training."""

    def __init__(self, unseen: Callable[[str, str], None]) -> None:
        """`unseen(what, reason)` is told that a further thread trains."""
        self.ident: int | None = None
        """The thread's identifier; None before anything was trained."""
        self._unseen = unseen

    def is_here(self) -> bool:
        """Whether what happens in this thread may belong to the training that is followed."""
        ident = get_ident()
        return self.ident == ident or self.ident is None or self._takes(ident)

    def trains_here(self) -> bool:
        """The same, when this thread is about to train."""
        if self.is_here():
            if self.ident is None:
                self.ident = get_ident()
            return True
        self._unseen("threads", WHY)
        return False

    def _takes(self, ident: int) -> bool:
        known: dict[int, Any] = threading._active  # type: ignore[attr-defined]
        thread = known.get(ident)
        if thread is None or isinstance(thread, threading._DummyThread):
            return True
        if self.ident in known:
            return False
        self.ident = ident  # the thread that was followed has ended
        return True
