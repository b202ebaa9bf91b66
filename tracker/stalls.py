"""A training that stands still: from when on it counts as stalled, and what the rules are told of it.

The training notices by itself that it went on again, or that it was interrupted while it stood still, and writes the
event `STALLED` into its journal. When its process is killed it cannot: then the sidecar, which has watched the silence
of the journal, leaves what it saw in `STORED`, beside the run, and the same event is judged from there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from .rules.engine.finding import Phase
from .rules.engine.records import END, JUDGE, STALLED, Event, Json, Record

STORED = "stalled.json"

SILENCE = 120.0
"""Seconds without a sign of life, at least, before a run is called stalled: an evaluation may take as long."""
USUAL, LONGEST = 20.0, 3.0
"""Times the usual time between two signs, and times the longest so far, that it must take."""

_TICK = 0.05
"""Seconds between two ticks of the journal's clock: shorter steps share one."""
_STRETCHES = 512
"""Stretches of readings, the latest, that the usual time of a step is taken from: a few thousand readings each."""


class Pace(NamedTuple):
    """How a training went until it fell silent."""

    step: int
    """The last step that it wrote of."""
    step_seconds: float | None
    """What a step took, the median; None when fewer than two times are known."""


def bar(usual: float, longest: float) -> float:
    """Seconds of silence from which on a run counts as stalled."""
    return max(SILENCE, USUAL * usual, LONGEST * longest)


def pace_of(journal: Path) -> Pace:
    """The pace of a run by the clock of its journal.

    Reads all of it: it is asked for once something has gone wrong. Raises `JournalError` and `OSError`.
    """
    import numpy as np

    from .journal import JournalReader
    from .readings import Readings

    found = (part for part in JournalReader(journal).read_columns() if isinstance(part, Readings))
    parts = deque(found, maxlen=_STRETCHES)
    if not parts:
        return Pace(0, None)
    times = np.concatenate([part.time for part in parts])
    steps = np.maximum.accumulate(np.concatenate([part.step for part in parts]))
    # What is read first behind a tick was written then, what is read last up to the next one.
    ticks = times // _TICK
    is_first = np.append(True, ticks[1:] > ticks[:-1])
    taken, done = np.diff(times[is_first]), np.diff(steps[is_first])
    each = (taken[done > 0] / done[done > 0]).repeat(np.minimum(done[done > 0], 1000))
    return Pace(int(steps[-1]), float(np.median(each)) if len(each) else None)


def described(pace: Pace, since: float, seconds: float, longest: float, went_on: bool, where: str) -> dict[str, Json]:
    """The data of the event `STALLED`; `since` is in Unix seconds."""
    return {
        "since": datetime.fromtimestamp(since, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "seconds": seconds,
        "step": pace.step,
        "step_seconds": pace.step_seconds,
        "longest": longest,
        "went_on": went_on,
        "where": where,
    }


def with_stored(records: Iterable[Record], stored: Mapping[str, Any], is_judged: bool) -> list[Record]:
    """The records of a run, and behind them what the sidecar saw of its silence, unless it said how it ended.

    The event is judged at once where the run was judged before (`is_judged`), as the training would have done.
    """
    found = list(records)
    data = stored.get("stalled")
    step = data.get("step") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(step, int):
        return found
    if any(record.step > step or (isinstance(record, Event) and record.name == END) for record in found):
        return found  # it went on, and nobody has seen that, or says itself how it was
    event = Event(STALLED, step, data)
    return [*found, event, *([Event(JUDGE, event.step, {"phase": Phase.STEP.value})] if is_judged else [])]
