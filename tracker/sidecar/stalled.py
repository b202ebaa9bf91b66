"""Notices that a run lives and says nothing: a deadlock, a hung download, a machine that swaps."""

from __future__ import annotations

from collections import deque
from statistics import median

TAG = "tracker.stalled"
SILENCE = 120.0
"""Seconds without a record, at least, before a run is called stalled: an evaluation may take as long."""
USUAL, LONGEST = 20.0, 3.0
"""Times the usual silence between two looks at the journal, and times the longest so far, that it must take."""
_KEPT = 200


class Silence:
    """The time since the last record of a run, as the sidecar sees it when it looks."""

    def __init__(self) -> None:
        self.since: float | None = None
        """When the silence began that is going on, once it is one; Unix time."""
        self._gaps: deque[float] = deque(maxlen=_KEPT)
        self._longest = 0.0
        self._last = 0.0

    def look(self, now: float, last: float) -> str | None:
        """The text of the tag when it has to change: the run has fallen silent, or speaks again; else None.

        `last` is the time of the last record that was read, `now` the present, both in Unix seconds.
        """
        if last > self._last:
            gap, is_first, self._last = last - self._last, not self._last, last
            was_silent, self.since = self.since, None
            if not is_first:
                self._gaps.append(gap)
                self._longest = max(self._longest, gap)
            return None if was_silent is None else f"no longer: it said nothing for {gap:.0f} s"
        if self.since is None and self._gaps and now - last > self.bar:
            self.since = last
            return f"alive, and no record for {now - last:.0f} s; one came every {median(self._gaps):.3g} s before"
        return None

    @property
    def bar(self) -> float:
        """Seconds of silence from which on the run counts as stalled."""
        return max(SILENCE, USUAL * median(self._gaps), LONGEST * self._longest)
