"""Cases in the form of plain lists, and the records and traces they stand for.

A case is a mapping. Every key is a signal, by its name (`"loss/val"`) or as Python knows it (`val_loss`), or one of the
words below. What stands behind a signal may be

- a list: value `i` belongs to step `i`, subject "" (`None` in a list leaves its place out),
- a mapping `{subject: [...]}`,
- a mapping `{subject: {step: value}}` or `{(subject, step): value}` for readings at chosen steps.

Signals measured once an epoch (`loss/epoch`, `loss/val`, `accuracy/train`, `accuracy/val`, `step_seconds`, `overhead`,
`metric`) are counted in epochs: value `i` of a list is read at the end of epoch `i`, before the epoch is closed.

| word | meaning |
|---|---|
| `facts` | `{name: value}`, known from step 0 |
| `profile` | short for `facts={"profile": ...}` |
| `epoch_len` | optimizer steps of each epoch; the last one may be shorter |
| `epochs` | the number of equal epochs, or a list with the number of steps of each |
| `events` | `{name: [step, ...]}` or `{name: {step: data}}` |
| `arrays` | `{signal name: {subject: [values]}}`, known from step 0 |
| `peers` | `{run ID: case}`, the traces of other runs |

Without `epoch_len` and `epochs` the epochs follow from the lengths: 200 losses and 10 validation losses make ten epochs
of twenty steps; with signals of one kind only, every step is an epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .engine import signals
from .engine.records import EPOCH, Array, Event, Fact, Reading, Record
from .engine.signals import Signal
from .engine.trace import Trace

PER_EPOCH = frozenset(
    signal.name
    for signal in (
        signals.EPOCH_LOSS,
        signals.VAL_LOSS,
        signals.TRAIN_ACCURACY,
        signals.VAL_ACCURACY,
        signals.STEP_SECONDS,
        signals.OVERHEAD,
        signals.METRIC,
    )
)
"""Names of the signals that are counted in epochs."""

_WORDS = ("facts", "profile", "epoch_len", "epochs", "events", "arrays", "peers")
_SPELLINGS = {
    **{name.lower(): value.name for name, value in vars(signals).items() if isinstance(value, Signal)},
    **{name: name for name in signals.SIGNALS},
}

Points = dict[tuple[str, int], float]


def trace_of(case: Mapping[str, Any]) -> Trace:
    """The trace after everything in the case has happened. Raises `ValueError` for a case that makes no sense."""
    trace = Trace()
    for record in records_of(case):
        trace.feed(record)
    trace.peers = {run_id: trace_of(peer) for run_id, peer in case.get("peers", {}).items()}
    return trace


def records_of(case: Mapping[str, Any]) -> Iterator[Record]:
    """The records of a case in the order a journal would hold them."""
    by_signal = {_signal_name(key): _points(value) for key, value in case.items() if key not in _WORDS}
    if signals.LOSS.name in by_signal and signals.EPOCH_LOSS.name in by_signal:
        raise ValueError("A case gives both 'loss' and 'loss/epoch'; give 'loss' alone, the trace derives the other.")
    ends = _epoch_ends(case, by_signal)
    facts = dict(case.get("facts", {}))
    if "profile" in case:
        facts["profile"] = case["profile"]
    yield from (Fact(name, 0, value) for name, value in facts.items())
    for signal, rows in case.get("arrays", {}).items():
        yield from (Array(signal, subject, 0, tuple(map(float, values))) for subject, values in rows.items())

    at_step: dict[int, list[Record]] = {}
    at_end: dict[int, list[Record]] = {}
    for signal, points in by_signal.items():
        for (subject, place), value in points.items():
            if signal not in PER_EPOCH:
                at_step.setdefault(place, []).append(Reading(signal, subject, place, value))
            else:
                step = ends[place] if place < len(ends) else ends[-1] + place - len(ends) + 1
                at_end.setdefault(step, []).append(Reading(signal, subject, step, value))
    for event in _events(case.get("events", {})):
        at_step.setdefault(event.step, []).append(event)

    epoch_at = {end: epoch for epoch, end in enumerate(ends)}
    for step in sorted({*at_step, *at_end, *ends}):
        yield from at_step.get(step, ())
        yield from at_end.get(step, ())
        if step in epoch_at:
            epoch = epoch_at[step]
            first = ends[epoch - 1] + 1 if epoch else 0
            yield Event(EPOCH, step, {"epoch": epoch, "first_step": first, "last_step": step})


def _signal_name(key: str) -> str:
    name = _SPELLINGS.get(key)
    # A name that is not in the vocabulary may be a third party's own signal; a bare misspelling is more likely.
    if name is None and "/" not in key and "." not in key:
        raise ValueError(
            f"A case names '{key}', which is no known signal; expected one of {', '.join(sorted(_SPELLINGS))}, "
            f"one of {', '.join(_WORDS)}, or a signal of your own with a '/' or '.' in its name."
        )
    return name or key


def _points(value: Any) -> Points:
    """What stands behind a signal, as {(subject, step or epoch): value}."""
    if not isinstance(value, Mapping):
        return _row("", value)
    points: Points = {}
    for key, row in value.items():
        if isinstance(key, tuple):
            points[str(key[0]), int(key[1])] = float(row)
        elif isinstance(key, int):
            points["", key] = float(row)
        else:
            points.update(_row(key, row))
    return points


def _row(subject: str, row: Any) -> Points:
    if isinstance(row, Mapping):
        return {(subject, int(place)): float(value) for place, value in row.items()}
    if isinstance(row, (int, float)):
        return {(subject, 0): float(row)}
    return {(subject, place): float(value) for place, value in enumerate(row) if value is not None}


def _events(events: Mapping[str, Any]) -> Iterator[Event]:
    for name, places in events.items():
        data = places if isinstance(places, Mapping) else {step: {} for step in places}
        yield from (Event(name, int(step), dict(fields)) for step, fields in data.items())


def _epoch_ends(case: Mapping[str, Any], by_signal: Mapping[str, Points]) -> list[int]:
    """The last step of each epoch; empty when there is nothing to make epochs of."""
    n_steps = _longest(points for signal, points in by_signal.items() if signal not in PER_EPOCH)
    n_epochs = _longest(points for signal, points in by_signal.items() if signal in PER_EPOCH)
    epochs = case.get("epochs")
    if isinstance(epochs, Sequence):
        lengths = [int(n) for n in epochs]
    elif epochs is not None:
        lengths = [max(1, -(-n_steps // int(epochs)))] * int(epochs)
    else:
        length = case.get("epoch_len")
        if length is None:
            length = -(-n_steps // n_epochs) if n_epochs and n_steps > n_epochs else 1
        lengths = [int(length)] * max(n_epochs, -(-n_steps // int(length)))
    if any(length < 1 for length in lengths):
        raise ValueError(f"A case has epochs of {lengths} steps; expected at least one step in each.")
    ends, last = [], -1
    for length in lengths:
        last += length
        ends.append(last)
    if ends and epochs is None and 0 < n_steps <= ends[-1] and len(ends) > n_epochs:
        ends[-1] = n_steps - 1  # the last epoch is cut short where the steps end
    return ends


def _longest(rows: Any) -> int:
    return max((place + 1 for points in rows for _, place in points), default=0)
