"""How often the sidecar of a run that goes on may work: it competes with the training for its core.

Work is paid for with rest. What is done takes CPU time; until that is no more than a small share of the time that has
passed, nothing of the kind is done again. So a sidecar stays within the same share whatever a run writes, and whatever
its store costs: a run that writes little is uploaded every second, one that writes a lot every half minute.
"""

from __future__ import annotations

import contextlib
import os
import time

SHARE = 1 / 400
"""Of a core, in a run that has gone on for a while: a quarter of what a run may cost where a step takes 45 ms."""
FIRST_SHARE, FIRST_SECONDS = 1 / 20, 20.0
"""The same for the beginning, which somebody watches: one second of a core, of the two that a beginning may cost."""
SHORTEST, LONGEST = 1.0, 20.0
"""Seconds of a rest."""
FIRST_NICENESS, NICENESS = 5, 10
"""What else there is to do comes first: 5 is a third of the time where the core is wanted, 10 a tenth. The first is for
the beginning, which a short run waits for at its end."""


class Pace:
    """The rests of one kind of work."""

    def __init__(self, share: float = SHARE, first_share: float = FIRST_SHARE) -> None:
        self._share = share
        self._first_share = first_share
        self._began: float | None = None
        self._next = 0.0
        self._used = 0.0

    @property
    def is_due(self) -> bool:
        """True when the rest is over."""
        return time.monotonic() >= self._next

    def begin(self) -> None:
        """The work begins now."""
        self._used = time.process_time()

    def end(self, in_haste: bool = False) -> None:
        """The work is done; `in_haste` when there is so much left that it would be too much for the end.

        The first time is not counted: it makes the connection, and loads what is needed.
        """
        now, used = time.monotonic(), time.process_time() - self._used
        if self._began is None:
            self._began, used = now, 0.0
        share = self._first_share if in_haste or now - self._began < FIRST_SECONDS else self._share
        self._next = now + min(max(used / share, SHORTEST), LONGEST)


def step_back(niceness: int = NICENESS) -> None:
    """Lets others have the core first, for as long as the calling thread lives; its children inherit it.

    On Linux both are attributes of the thread. They cannot be taken back without a privilege, which is why the end of
    a run, that somebody waits for, is the work of another thread.
    """
    with contextlib.suppress(OSError):
        os.nice(max(0, niceness - os.nice(0)))
    with contextlib.suppress(AttributeError, OSError):
        # Batch work: its wake-up does not take the core from somebody who has it.
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
