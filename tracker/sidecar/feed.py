"""What of the journal goes to MLflow, and under which name.

Every metric of the user goes there. Of what the tracker observed, few points do: the means of an epoch, and at most
about a hundred points an epoch of each curve, a thousand in all. The full series travel as parquet parts.

A feed is a function of the records alone: fed with the same records it gives the same points, with the same times.
That is what makes an upload that was cut off at any point repeatable.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from ..rules.engine.records import EPOCH, Event, Fact, Json, Reading, Record
from ..stores.keys import Keys

if TYPE_CHECKING:
    from ..readings import Readings

POINTS_A_CURVE = 98
"""Points of one observed curve an epoch; the first and the last of an epoch may come on top."""
POINTS_AN_EPOCH = 980
"""Observed points an epoch in all: one batch of MLflow's is a thousand, and costs about a tenth of a second."""
FREE_POINTS, POINTS_A_SECOND = 3000, 15.0
"""Observed points that are given out before, in a run of short epochs, they become fewer; and how many then come with
each second. A point costs 60 us of a core in a local database: this many, a thousandth of it."""
LEFT_FOR_EPOCHS = 1000
"""Of the free points, those that are for the values of epochs alone."""
HOLD_SECONDS = 60.0
"""How long our own points wait, in time of the journal, to see whether the user logs a metric of the same name."""

OURS = "tracker/"
"""Prefix of an observed metric whose name the user uses as well."""

_SUMMARIES = {
    "loss/epoch": "train/loss",
    "loss/val": "val/loss",
    "accuracy/train": "train/accuracy",
    "accuracy/val": "val/accuracy",
    "overhead": "overhead",
    "step_seconds": "throughput",
}
"""Signals with one reading an epoch, and the metric each becomes."""

_TAKEN = frozenset({"metric", "metric/mlflow", "loss", "update_ratio", "lr", "grad_norm", *_SUMMARIES})
_OF_THE_WHOLE = frozenset({"grad_norm", *_SUMMARIES})
"""Signals of which only the reading without a subject is taken."""


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a metric; `time` in milliseconds."""

    key: str
    value: float
    time: int
    step: int


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter, as it was given."""

    key: str
    value: Json


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag of the run."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class File:
    """One artifact: a path inside the run's folder, and the artifact folder it goes to."""

    path: str
    folder: str


Emission = Point | Param | Tag | File


class _Curve:
    """Thins one observed curve: dense at the start of the first epoch, evenly spread in later ones."""

    __slots__ = ("_before", "_next", "_taken", "count", "skipped")

    def __init__(self) -> None:
        self.count = 0
        self._before = 0
        self._next = 0
        self._taken = 0
        self.skipped: tuple[float, float, int] | None = None

    def takes(self, limit: int) -> bool:
        """True when the point that comes now is to be kept; `limit` points an epoch are."""
        at, self.count = self.count, self.count + 1
        if at < self._next or self._taken >= limit:
            return False
        self._taken += 1
        if self._before:
            self._next = at + max(1, math.ceil(self._before / limit))
        else:
            self._next = at + 1 if at < limit // 5 else math.ceil((at + 1) * 1.2)
        return True

    def end_epoch(self) -> None:
        self._before, self.count, self._next, self._taken = self.count, 0, 0, 0


class Feed:
    """Turns records, in the order of the journal, into what is logged in MLflow."""

    def __init__(self) -> None:
        self.keys = Keys()
        """Names of metrics."""
        self.param_keys = Keys()
        self.params: dict[str, Json] = {}
        """Every parameter under its original key, as first given."""
        self._theirs: set[str] = set()
        self._curves: dict[str, _Curve] = {}
        self._held: list[tuple[str, float, float, int]] | None = []
        self._first_time: float | None = None
        self._rates = 0
        self._spent = 0
        self._given = 0
        self._shows_epoch = True
        self._unshown: dict[str, tuple[float, float, int]] = {}
        self._loss_sum, self._loss_count = 0.0, 0
        self._ratios: list[float] = []
        self._ratios_at: tuple[float, int] = (0.0, 0)

    def take(self, time: float, record: Record) -> Iterator[Emission]:
        """What `record`, written at `time` (Unix seconds), adds to the run."""
        yield from self._note_time(time)
        if isinstance(record, Reading):
            yield from self._reading(time, record.signal, record.subject, record.step, record.value)
        elif isinstance(record, Event):
            yield from self._event(time, record)
        elif isinstance(record, Fact) and record.name == "params" and isinstance(record.value, Mapping):
            yield from self.take_params(record.value)

    def take_readings(self, readings: Readings) -> list[Emission]:
        """The same for readings that follow on each other; only those that become points are looked at one by one."""
        import numpy as np

        strings = readings.strings
        found: list[Emission] = []
        kept = np.zeros(len(readings), bool)
        for number in np.unique(readings.name):
            name = strings[int(number)]
            if name in _TAKEN:
                mine = readings.name == number
                kept |= mine & (readings.subject == 0) if name in _OF_THE_WHOLE else mine
        found += self._note_time(float(readings.time[0]))
        if not self._is_due(float(readings.time.max())):  # else each time counts: what was held is given out in between
            readings = readings[kept]
        for time, record in readings.records():
            found += self.take(time, record)
        return found

    def _note_time(self, time: float) -> Iterator[Emission]:
        if self._first_time is None:
            self._first_time = time
        elif self._is_due(time):
            yield from self._release()

    def _is_due(self, time: float) -> bool:
        return self._held is not None and self._first_time is not None and time - self._first_time > HOLD_SECONDS

    def _room(self, time: float) -> float:
        """How many observed points may be given out at `time`."""
        since = 0.0 if self._first_time is None else max(0.0, time - self._first_time)
        return FREE_POINTS + POINTS_A_SECOND * since - self._given

    def take_params(self, params: Mapping[str, Json]) -> Iterator[Param]:
        """The parameters that are new; a parameter keeps its first value, as MLflow wants it."""
        for key, value in params.items():
            if key not in self.params:
                self.params[key] = value
                yield Param(self.param_keys[key], value)

    def finish(self) -> Iterator[Emission]:
        """What was still held back when the journal ended."""
        yield from self._end_ratios()
        yield from self._show_epoch()
        for key, curve in self._curves.items():
            if curve.skipped is not None:
                yield from self._own(key, *curve.skipped)
                curve.skipped = None
        yield from self._release()

    # -- readings --------------------------------------------------------------------------------------------------

    def _reading(self, time: float, signal: str, subject: str, step: int, value: float) -> Iterator[Emission]:
        if signal in ("metric", "metric/mlflow"):
            # A metric that the user's own mlflow call has stored is not stored again, but its name is theirs.
            self._theirs.add(subject)
            if signal == "metric":
                yield Point(self.keys[subject], float(value), round(time * 1000), step)
        elif signal == "loss":
            self._loss_sum += value
            self._loss_count += 1
            yield from self._curve("loss", value, time, step)
        elif signal == "update_ratio":
            if step != self._ratios_at[1]:
                yield from self._end_ratios()
            self._ratios.append(value)
            self._ratios_at = (time, step)
        elif signal == "grad_norm":
            if subject == "":
                yield from self._curve("grad_norm", value, time, step)
        elif signal == "lr":
            yield from self._curve(f"lr/{subject or '0'}", value, time, step)
        elif signal in _SUMMARIES and subject == "":
            if signal != "step_seconds":
                yield from self._of_epoch(_SUMMARIES[signal], value, time, step)
            elif value > 0:
                yield from self._of_epoch("throughput", 1 / value, time, step)

    def _end_ratios(self) -> Iterator[Emission]:
        if self._ratios:
            finite = all(map(math.isfinite, self._ratios))
            value = median(self._ratios) if finite else math.nan
            self._ratios = []
            yield from self._curve("update_ratio", value, *self._ratios_at)

    def _curve(self, key: str, value: float, time: float, step: int) -> Iterator[Emission]:
        curve = self._curves.get(key)
        if curve is None:
            curve = self._curves[key] = _Curve()
            self._rates += key.startswith("lr/")
        limit = POINTS_A_CURVE if not key.startswith("lr/") else max(2, 5 * POINTS_A_CURVE // max(5, self._rates))
        if curve.takes(limit) and self._spent < POINTS_AN_EPOCH and self._room(time) > LEFT_FOR_EPOCHS:
            self._spent += 1
            curve.skipped = None
            yield from self._own(key, value, time, step)
        else:
            curve.skipped = (value, time, step)

    # -- events ----------------------------------------------------------------------------------------------------

    def _event(self, time: float, event: Event) -> Iterator[Emission]:
        if event.name == EPOCH:
            yield from self._end_epoch(time, event)
        elif event.name == "tag":
            for key, text in event.data.items():
                yield Tag(key, str(text))
        elif event.name == "artifact":
            yield File(str(event.data.get("path", "")), str(event.data.get("folder") or ""))

    def _end_epoch(self, time: float, event: Event) -> Iterator[Emission]:
        yield from self._release()
        yield from self._end_ratios()
        for key, curve in self._curves.items():
            if curve.skipped is not None and self._spent < POINTS_AN_EPOCH and self._room(time) > LEFT_FOR_EPOCHS:
                self._spent += 1
                yield from self._own(key, *curve.skipped)
                curve.skipped = None
            curve.end_epoch()
        last = event.data.get("last_step")
        step = int(last) if isinstance(last, (int, float)) else event.step
        if self._loss_count:
            yield from self._of_epoch("train/loss", self._loss_sum / self._loss_count, time, step)
        number = event.data.get("epoch")
        if isinstance(number, (int, float)):
            yield from self._of_epoch("epoch", float(number), time, step)
        if self._shows_epoch:
            yield from self._show_epoch()
        self._shows_epoch = self._room(time) > 0
        self._loss_sum, self._loss_count, self._spent = 0.0, 0, 0

    def _of_epoch(self, key: str, value: float, time: float, step: int) -> Iterator[Emission]:
        """A value of an epoch; of those that are too many, the latest is kept for the next epoch that is shown."""
        if self._shows_epoch:
            self._unshown.pop(key, None)
            yield from self._own(key, value, time, step)
        else:
            self._unshown[key] = (value, time, step)

    def _show_epoch(self) -> Iterator[Emission]:
        for key, point in self._unshown.items():
            yield from self._own(key, *point)
        self._unshown = {}

    # -- our own names ---------------------------------------------------------------------------------------------

    def _own(self, key: str, value: float, time: float, step: int) -> Iterator[Emission]:
        self._given += 1
        if self._held is not None:
            self._held.append((key, value, time, step))
        else:
            yield self._named(key, value, time, step)

    def _named(self, key: str, value: float, time: float, step: int) -> Point:
        name = OURS + key if key in self._theirs else key
        return Point(self.keys[name], float(value), round(time * 1000), step)

    def _release(self) -> Iterator[Emission]:
        held, self._held = self._held, None
        for point in held or ():
            yield self._named(*point)
