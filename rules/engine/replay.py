"""Judging a stored run: the same records through the same engine give the same verdict as live."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from .finding import Phase
from .records import END, EPOCH, JUDGE, OUTCOME, VERDICT, Event, Reading, Record
from .rule import Rule
from .runner import Engine
from .settings import Settings
from .signals import (
    EPOCH_LOSS,
    LOSS,
    METRIC,
    METRIC_IN_MLFLOW,
    TRAIN_ACCURACY,
    VAL_ACCURACY,
    VAL_LOSS,
    Signal,
    meaning_of,
)
from .trace import Trace

STEPS_PER_EPOCH = 100
"""Losses that make one epoch where nothing tells where epochs end."""

MOST_EPOCHS = 1000
"""A training loss with more points than this is taken to be logged at every step, not at every epoch."""

DENSER = 3
"""A training loss with more points than this many an epoch is a series of step losses."""


def replay(
    records: Iterable[Record], settings: Settings | None = None, rules: Sequence[Rule] | None = None
) -> tuple[Trace, Engine]:
    """Feeds stored records in order, and judges wherever the live run was judged; returns both for `engine.verdict`.

    Stored outcomes and verdicts are passed over: they are what is to be found out again. Without `rules`, all rules
    there are. A run without judgements needs `with_judgements` first.
    """
    engine = Engine.from_settings(settings) if rules is None else Engine(rules, settings)
    trace = Trace()
    for record in records:
        if isinstance(record, Event) and record.name in (OUTCOME, VERDICT):
            continue
        trace.feed(record)
        if isinstance(record, Event) and record.name == JUDGE:
            engine.judge(Phase(record.data.get("phase", Phase.EPOCH.value)), trace)
    return trace, engine


def with_judgements(records: Iterable[Record]) -> Iterator[Record]:
    """The records of a run that nobody judged, such as plain metric histories, with epochs and judgements put in.

    Records with judgements are passed on as they are. Where epochs are known, they are kept; otherwise an epoch ends at
    every step that has a value of the first of these that was logged: validation loss, validation or training accuracy,
    training loss; a training loss logged at every step makes an epoch of every 100 points. All readings are put in the
    order of their steps.
    """
    known = list(records)
    names = {record.name for record in known if isinstance(record, Event)}
    if JUDGE in names:
        yield from known
        return
    ends = [] if EPOCH in names else _epoch_ends(known)
    if EPOCH not in names:
        known.sort(key=lambda record: record.step)
    dense = EPOCH not in names and _points(known, EPOCH_LOSS) > DENSER * max(1, len(ends))
    last_step, epoch = 0, 0
    end_event: Record | None = None
    for record in chain(known, [None]):
        while ends and (record is None or record.step > ends[0]):
            yield from _epoch(epoch, last_step, ends[0])
            last_step, epoch = ends.pop(0) + 1, epoch + 1
        if record is None:
            break
        if isinstance(record, Event) and record.name == END:
            end_event = record
            continue
        if dense and isinstance(record, Reading) and _meaning(record) is EPOCH_LOSS:
            # Fed before the metric itself, so that the trace takes this for the loss and forms epoch means of it.
            yield Reading(LOSS.name, "", record.step, record.value)
        yield record
        if isinstance(record, Event) and record.name == EPOCH:
            yield Event(JUDGE, record.step, {"phase": Phase.EPOCH.value})
    final = max((record.step for record in known), default=0)
    if end_event is not None:
        yield end_event
    yield Event(JUDGE, final, {"phase": Phase.RUN.value})


def _epoch(epoch: int, first_step: int, last_step: int) -> Iterator[Event]:
    yield Event(EPOCH, last_step, {"epoch": epoch, "first_step": first_step, "last_step": last_step})
    yield Event(JUDGE, last_step, {"phase": Phase.EPOCH.value})


def _epoch_ends(records: Sequence[Record]) -> list[int]:
    """The steps at which epochs end, by the first signal that tells."""
    for signal in (VAL_LOSS, VAL_ACCURACY, TRAIN_ACCURACY, EPOCH_LOSS):
        steps = sorted({r.step for r in records if isinstance(r, Reading) and _meaning(r) is signal})
        if signal is EPOCH_LOSS and len(steps) > MOST_EPOCHS:
            return _every(steps, STEPS_PER_EPOCH)
        if steps:
            return steps
    steps = sorted({record.step for record in records if isinstance(record, Reading) and record.signal == LOSS.name})
    return _every(steps, STEPS_PER_EPOCH)


def _every(steps: Sequence[int], n: int) -> list[int]:
    """Every n-th step, and the last one."""
    return sorted({*steps[n - 1 :: n], *steps[-1:]})


def _points(records: Iterable[Record], signal: Signal) -> int:
    return sum(1 for record in records if isinstance(record, Reading) and _meaning(record) is signal)


def _meaning(record: Reading) -> Signal | None:
    """The signal a reading stands for, whether measured or logged as a metric."""
    if record.signal in (METRIC.name, METRIC_IN_MLFLOW.name):
        return meaning_of(record.subject)
    return next((s for s in (VAL_LOSS, VAL_ACCURACY, TRAIN_ACCURACY, EPOCH_LOSS) if s.name == record.signal), None)
