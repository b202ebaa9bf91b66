"""Notices that a run lives and says nothing: a deadlock, a hung download, a machine that swaps."""

from __future__ import annotations

import math
from collections import deque
from statistics import median

from .. import stalls
from ..journal import JournalError
from ..rundir import RunDir

TAG = "tracker.stalled"
_KEPT = 200
_EVERY = 30.0
"""Seconds of silence between two notes of how long it is."""


class Silence:
    """The time since the last record of a run, as the sidecar sees it when it looks."""

    def __init__(self) -> None:
        self.since: float | None = None
        """When the silence began that is going on, once it is one; Unix time."""
        self._gaps: deque[float] = deque(maxlen=_KEPT)
        self._longest = 0.0
        self._last = 0.0
        self._pace: stalls.Pace | None = None
        self._kept = -math.inf

    def look(self, now: float, last: float, has_begun: bool = False) -> str | None:
        """The text of the tag when it has to change: the run has fallen silent, or speaks again; else None.

        `last` is the time of the last record that was read, `now` the present, both in Unix seconds. Before the run was
        seen to write twice, only one that `has_begun` to train can be silent: what lies before may take its time.
        """
        if last > self._last:
            gap, is_first, self._last = last - self._last, not self._last, last
            was_silent, self.since = self.since, None
            if not is_first:
                self._gaps.append(gap)
                self._longest = max(self._longest, gap)
            return None if was_silent is None else f"no longer: it said nothing for {gap:.0f} s"
        if self.since is None and (self._gaps or has_begun) and now - last > self.bar:
            self.since = last
            before = f"; one came every {median(self._gaps):.3g} s before" if self._gaps else ""
            return f"alive, and no record for {now - last:.0f} s{before}"
        return None

    @property
    def bar(self) -> float:
        """Seconds of silence from which on the run counts as stalled."""
        return stalls.bar(median(self._gaps) if self._gaps else 0.0, self._longest)

    def keep(self, rundir: RunDir, now: float) -> None:
        """Leaves beside the run what the rules are told should it be killed now; nothing once it has gone on."""
        if self.since is None:
            if self._pace is not None:
                self._pace, self._kept = None, -math.inf
                (rundir.path / stalls.STORED).unlink(missing_ok=True)
            return
        if now - self._kept < _EVERY:
            return
        self._kept = now
        try:
            self._pace = self._pace or stalls.pace_of(rundir.journal)
        except (JournalError, OSError):
            return
        seen = stalls.described(self._pace, self.since, now - self.since, self._longest, went_on=False, where="")
        rundir.write_json(stalls.STORED, {"schema": 1, "stalled": seen})
