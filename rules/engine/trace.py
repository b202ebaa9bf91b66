"""The bounded, read-only past that rules judge.

A trace is fed with records in journal order, live and in a replay alike; it keeps the same bounded past both times, so
both reach the same verdict (promise P7).
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, median
from types import MappingProxyType
from typing import overload

from .records import EPOCH, TRAINING, Array, Event, Fact, Json, Reading, Record
from .signals import (
    CONFUSED,
    CONFUSION,
    EPOCH_LOSS,
    GRAD_HISTOGRAM,
    LOSS,
    LR,
    METRIC,
    METRIC_IN_MLFLOW,
    OUTPUT_HISTOGRAM,
    VAL_ACCURACY,
    VAL_LOSS,
    WEIGHT_HISTOGRAM,
    Signal,
    meaning_of,
)

HEAD, TAIL = 200, 4096
"""How many first and last points of one series are kept: an early phase for comparison, and the recent past."""

ARMED_AFTER = 10
"""Optimizer steps for which no learning rate has risen before rules that wait for the end of warm-up are armed."""


class Series(Sequence[float]):
    """Values of one signal and subject, with the step of each, oldest first.

    The middle of a long series is dropped; `count` is the number of points ever seen.
    """

    __slots__ = ("_steps", "_values", "count")

    count: int  # type: ignore[assignment]
    """Points ever seen; `Sequence.count` is of no use for measured numbers."""

    def __init__(self, steps: Sequence[int] = (), values: Sequence[float] = (), count: int | None = None) -> None:
        self._steps = list(steps)
        self._values = list(values)
        self.count = len(self._values) if count is None else count

    def __len__(self) -> int:
        return len(self._values)

    @overload
    def __getitem__(self, index: int) -> float: ...

    @overload
    def __getitem__(self, index: slice) -> Series: ...

    def __getitem__(self, index: int | slice) -> float | Series:
        return Series(self._steps[index], self._values[index]) if isinstance(index, slice) else self._values[index]

    def __iter__(self) -> Iterator[float]:
        return iter(self._values)

    def __repr__(self) -> str:
        return f"Series(n={self.count}, last={self._values[-1] if self._values else None})"

    @property
    def steps(self) -> list[int]:
        """The step of each value."""
        return self._steps

    @property
    def values(self) -> list[float]:
        """The values, oldest first."""
        return self._values

    def last(self, n: int) -> Series:
        """The most recent `n` points (fewer if there are fewer)."""
        return self[-n:] if n < len(self) else self

    def first(self, n: int) -> Series:
        """The oldest `n` points."""
        return self[:n]

    @property
    def median(self) -> float:
        """Median of the values; raises `statistics.StatisticsError` when empty."""
        return median(self._values)

    @property
    def mean(self) -> float:
        """Mean of the values; raises `statistics.StatisticsError` when empty."""
        return fmean(self._values)

    @property
    def is_finite(self) -> bool:
        """True when no value is NaN or infinite."""
        return all(map(math.isfinite, self._values))


class _Store:
    """Head and tail of one growing series."""

    __slots__ = ("bad_head", "bad_tail", "count", "head", "tail")

    def __init__(self) -> None:
        self.head: list[tuple[int, float]] = []
        self.tail: deque[tuple[int, float]] = deque(maxlen=TAIL)
        self.count = 0
        # Non-finite values are noted as they come: looking through every point at each judgement costs milliseconds.
        self.bad_head: int | None = None
        self.bad_tail: tuple[int, int] | None = None

    def add(self, step: int, value: float) -> None:
        in_head = len(self.head) < HEAD
        (self.head if in_head else self.tail).append((step, value))
        if not math.isfinite(value):
            if not in_head:
                self.bad_tail = (step, self.count)
            elif self.bad_head is None:
                self.bad_head = step
        self.count += 1

    def nonfinite_step(self) -> int | None:
        """The step of a non-finite value among the points still kept, or None."""
        if self.bad_head is not None:
            return self.bad_head
        if self.bad_tail is not None and self.bad_tail[1] >= self.count - len(self.tail):
            return self.bad_tail[0]
        return None

    def series(self) -> Series:
        points = [*self.head, *self.tail]
        return Series([step for step, _ in points], [value for _, value in points], self.count)


_EMPTY = Series()

_FOR_THE_EYE = frozenset(
    signal.name for signal in (WEIGHT_HISTOGRAM, GRAD_HISTOGRAM, OUTPUT_HISTOGRAM, CONFUSION, CONFUSED)
)
"""Arrays that are not kept: no rule asks for them."""

_LOGGED = frozenset({METRIC.name, METRIC_IN_MLFLOW.name})


def _is_bare(key: str) -> bool:
    """Whether a metric key does not say that it is about held-out data."""
    return not re.search(r"val|dev|test", key.lower())


class Trace:
    """What has been observed so far, bounded; rules only read it."""

    def __init__(self) -> None:
        self._facts: dict[str, Json] = {}
        self.training = 0
        """Number of the training that is going on, 0-based: a run may train one model after another."""
        self.step = 0
        """The last step of which anything is known."""
        self._forget()
        self.epoch = -1
        """The last complete epoch, 0-based; -1 before the first is complete."""
        self.peers: Mapping[str, Trace] = MappingProxyType({})
        """Traces of other runs, by run ID, for rules that judge across runs."""

    def _forget(self) -> None:
        """Makes room for the training that begins; facts stay until they are said again."""
        self._stores: dict[str, dict[str, _Store]] = {}  # by signal name, then by subject
        self._cache: dict[tuple[str, str], Series] = {}
        self._arrays: dict[tuple[str, str], Array] = {}
        self._events: dict[str, deque[Event]] = {}
        self._epoch_sum = 0.0
        self._epoch_n = 0
        self._sources: dict[str, tuple[str, str]] = {}  # by signal: the metric that stands for it
        self._lr: dict[str, float] = {}
        self._lr_rose_at = self.step
        self._has_lr = False

    # -- feeding ---------------------------------------------------------------------------------------------------

    def feed(self, record: Record) -> None:
        """Takes one record in; records must arrive in journal order."""
        if isinstance(record, Reading):
            self._feed_reading(record)
        elif isinstance(record, Fact):
            self._facts[record.name] = record.value
        elif isinstance(record, Event):
            if record.name == TRAINING:
                self.training += 1
                self._forget()
            self._events.setdefault(record.name, deque(maxlen=256)).append(record)
            if record.name == EPOCH:
                self._end_epoch(record)
        elif record.signal not in _FOR_THE_EYE:
            self._arrays[record.signal, record.subject] = record
        if record.step > self.step:
            self.step = record.step

    def _feed_reading(self, record: Reading) -> None:
        if record.signal in _LOGGED:
            self._add(record.signal, record.subject, record.step, record.value)
            if record.signal != METRIC.name:
                self._add(METRIC.name, record.subject, record.step, record.value)
            self._feed_meaning(record)
            return
        self._add_measured(record.signal, record.subject, record.step, record.value)
        if record.signal == LOSS.name:
            self._epoch_sum += record.value
            self._epoch_n += 1
        elif record.signal == LR.name:
            self._note_lr(record)

    def _feed_meaning(self, record: Reading) -> None:
        """A metric whose key says what it means is also a reading of that signal, if it is the only source of it.

        Two keys may mean the same (`val_loss` and `test_loss`): the first one counts; mixed they would zigzag. Only one
        that says it is held out (`val_accuracy`) takes the place of one that does not (`accuracy`).
        """
        signal = meaning_of(record.subject)
        # A loss observed at backward() is the better training loss: a metric of that name only repeats it.
        if signal is None or (signal is EPOCH_LOSS and "" in self._stores.get(LOSS.name, ())):
            return
        source = (record.signal, record.subject)
        known = self._sources.get(signal.name)
        if known is not None and signal in (VAL_LOSS, VAL_ACCURACY) and _is_bare(known[1]) and not _is_bare(source[1]):
            del self._stores[signal.name][""]
        if "" not in self._stores.get(signal.name, ()):
            self._sources[signal.name] = source
        if self._sources.get(signal.name) == source:
            self._add(signal.name, "", record.step, record.value)

    def _add_measured(self, signal: str, subject: str, step: int, value: float) -> None:
        if not subject and self._sources.pop(signal, None) is not None:
            del self._stores[signal][subject]  # what was only logged so far gives way to what is measured
        self._add(signal, subject, step, value)

    def _add(self, signal: str, subject: str, step: int, value: float) -> None:
        subjects = self._stores.setdefault(signal, {})
        store = subjects.get(subject)
        if store is None:
            store = subjects[subject] = _Store()
        store.add(step, value)
        self._cache.pop((signal, subject), None)

    def _note_lr(self, record: Reading) -> None:
        before = self._lr.get(record.subject)
        if before is not None and record.value > before:
            self._lr_rose_at = record.step
        self._lr[record.subject] = record.value
        self._has_lr = True

    def _end_epoch(self, event: Event) -> None:
        epoch = event.data.get("epoch")
        self.epoch = int(epoch) if isinstance(epoch, (int, float)) else self.epoch + 1
        if self._epoch_n:
            last_step = event.data.get("last_step")
            step = int(last_step) if isinstance(last_step, (int, float)) else event.step
            self._add_measured(EPOCH_LOSS.name, "", step, self._epoch_sum / self._epoch_n)
        self._epoch_sum, self._epoch_n = 0.0, 0

    # -- reading ---------------------------------------------------------------------------------------------------

    @property
    def is_armed(self) -> bool:
        """True once warm-up is over: no learning rate has risen for `ARMED_AFTER` steps, or none is known."""
        if not self._has_lr:
            return True
        return self.step - self._lr_rose_at >= ARMED_AFTER

    @property
    def facts(self) -> Mapping[str, Json]:
        """The latest value of each fact."""
        return MappingProxyType(self._facts)

    def events(self, name: str) -> list[Event]:
        """The most recent events of that name, oldest first."""
        return list(self._events.get(name, ()))

    def array(self, signal: Signal, subject: str = "") -> Array | None:
        """The latest array of a signal and subject."""
        return self._arrays.get((signal.name, subject))

    def series(self, signal: Signal, subject: str = "") -> Series:
        """Values of a signal for one subject; empty when there are none."""
        key = (signal.name, subject)
        cached = self._cache.get(key)
        if cached is None:
            store = self._stores.get(signal.name, {}).get(subject)
            if store is None:
                return _EMPTY
            cached = self._cache[key] = store.series()
        return cached

    def by_subject(self, signal: Signal, min_points: int = 1) -> dict[str, Series]:
        """Every subject's series of at least `min_points` points; the whole-model subject '' is left out."""
        return {
            subject: self.series(signal, subject)
            for subject, store in self._stores.get(signal.name, {}).items()
            if subject and store.count >= min_points
        }

    def count(self, signal: Signal) -> int:
        """The largest number of points that any subject of the signal has."""
        return max((store.count for store in self._stores.get(signal.name, {}).values()), default=0)

    def nonfinite(self, signal: Signal) -> tuple[str, int] | None:
        """Subject and step of a NaN or infinite value among the kept points of the signal, or None."""
        for subject, store in self._stores.get(signal.name, {}).items():
            step = store.nonfinite_step()
            if step is not None:
                return subject, step
        return None
