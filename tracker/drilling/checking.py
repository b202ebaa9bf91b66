"""Whether the drills have left everything as it was: a drill that has not is a fault of ours, and is told as one."""

from __future__ import annotations

import time

from ..guard import is_strict
from .preserved import NotRestored, changed, fingerprint, preserved
from .subject import Subject

SLOW = 0.3
"""Seconds that a look at everything may take for there to be one after each drill; else there is one at the end."""

_NAMED = 3


class Unchanged:
    """The state of a subject as it was when this was made."""

    def __init__(self, subject: Subject) -> None:
        began = time.monotonic()
        self._subject = subject
        self._before = self._now()
        self.is_slow = time.monotonic() - began > SLOW
        """Whether a look takes too long to be taken often."""

    def fault(self) -> str:
        """What differs from before, in words; empty when nothing does. What differs once is not told again.

        Raises `NotRestored` in strict mode.
        """
        now = self._now()
        names = changed(self._before, now)
        self._before = now
        if not names:
            return ""
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        said = f"the state was not put back: {', '.join(names[:_NAMED])}{more} differ; please report this as a bug"
        if is_strict():
            raise NotRestored(said)
        return said

    def _now(self) -> dict[str, str]:
        with preserved(()):  # an interruption leaves no setting of ours behind
            return fingerprint(self._subject.modules, self._subject.optimizers)
