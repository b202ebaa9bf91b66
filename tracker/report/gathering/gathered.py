"""What a report needs of the records of a run, in bounded memory, whatever the run's length."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from ...readings import Column, Readings
from ...rules.engine.records import EPOCH, STALLED, TRAINING, VERDICT, Array, Event, Fact, Json, Reading, Record
from ...rules.engine.signals import DRILL_LOSS, DRILL_LR, METRIC, METRIC_IN_MLFLOW, SIGNALS
from .curves import Curve
from .judged import Judged
from .thinned import MOMENTS, Thinned, ThinnedRows

MOST_SUBJECTS = 4000
"""Subjects of one signal that are followed: parameters of a model, keys of a user's metrics."""
MOST_SAMPLES = 400
MOST_ABOUT_US = 200
_ABOUT_US = frozenset({"sampling", "fault", "dropped"})
MOST_STALLS = 200
MOST_TRAININGS = 40
ARTIFACT = "artifact"
"""Event: a file was kept beside the run."""
MOST_SPLITS = 20
MOST_EPOCHS = 4096
LONGEST_ROW = 10_000
"""Numbers of an array; a longer one is nothing that a report draws."""
MOST_NUMBERS = 6_000_000
"""Numbers of all arrays together, that is 48 MB: further subjects are left out."""
FEW_BUCKETS = 96
"""Buckets of a curve that is one of many: a row of a heat map."""
SETTLED_AT_ONCE = 250_000
"""Readings that are sorted into their curves together: what it costs for each curve is paid once for all of these."""
_OTHER_STEPS = frozenset({METRIC.name, METRIC_IN_MLFLOW.name, DRILL_LOSS.name, DRILL_LR.name})
"""Signals whose steps are not those of the training: a user's own metrics, and the iterations of drills."""


class Gathered:
    """The records of one run as a report draws them. Fed in the order of the journal, live or from the store."""

    def __init__(self) -> None:
        self.arrays: dict[str, dict[str, ThinnedRows]] = {}
        """Arrays, by signal and subject."""
        self.epochs: Thinned[dict[str, Json]] = Thinned(MOST_EPOCHS)
        """The ends of epochs: their data, as `records.EPOCH` says."""
        self.facts: dict[str, Json] = {}
        """The latest fact of each name."""
        self.samples: dict[str, dict[str, Json]] = {}
        """Facts `sample`, by id."""
        self.predictions: dict[str, Thinned[dict[str, Json]]] = {}
        """Facts `predictions`, by split."""
        self.filters: Thinned[dict[str, Json]] = Thinned(8)
        """Facts `filters`."""
        self.saliency: dict[str, dict[str, Json]] = {}
        """Facts `saliency`, by id of the sample."""
        self.judged = Judged()
        """What the rules said on the way."""
        self.about_us: list[Event] = []
        """Events `sampling`, `fault` and `dropped`: what observing cost, and what went wrong with it."""
        self.stalls: list[dict[str, Json]] = []
        """The first ones, and the latest."""
        self.trainings: list[int] = []
        """Steps at which a further training, of another model, began: the first ones."""
        self.checkpoints: list[int] = []
        """Steps at which a checkpoint was kept for a finding."""
        self.verdict: dict[str, Json] | None = None
        """What the run itself said at its end."""
        self._curves: dict[str, dict[str, Curve]] = {}
        self._left_out: dict[str, set[str]] = {}
        self._numbers = 0
        self._readings = 0
        self._last_step = 0
        self._first_time: float | None = None
        self._last_time: float | None = None
        self._unsorted: list[Readings] = []
        self._unsorted_count = 0
        self._singles: list[Reading] = []

    # -- taking ----------------------------------------------------------------------------------------------------

    def take(self, time: float, record: Record) -> None:
        """Takes one record."""
        self._clock(time, time)
        if isinstance(record, Reading):
            if self._unsorted:
                self._settle()
            self._singles.append(record)
            if len(self._singles) >= SETTLED_AT_ONCE:
                self._settle()
        elif isinstance(record, Array):
            self._array(record)
        elif isinstance(record, Event):
            self._event(record)
        else:
            self._fact(record)

    def take_readings(self, readings: Readings) -> None:
        """Takes readings in bulk, which must not be changed afterwards."""
        if not len(readings):
            return
        if self._singles or (self._unsorted and self._unsorted[0].strings is not readings.strings):
            self._settle()
        self._unsorted.append(readings)
        self._unsorted_count += len(readings)
        if self._unsorted_count >= SETTLED_AT_ONCE:
            self._settle()

    def _settle(self) -> None:
        """Sorts the readings that have come since into their curves."""
        singles, self._singles = self._singles, []
        of_each: dict[tuple[str, str], tuple[list[int], list[float]]] = {}
        for reading in singles:
            steps, values = of_each.setdefault((reading.signal, reading.subject), ([], []))
            steps.append(reading.step)
            values.append(reading.value)
        for (signal, subject), (steps, values) in of_each.items():
            self._add(signal, subject, np.array(steps), np.array(values))
        pieces, self._unsorted, self._unsorted_count = self._unsorted, [], 0
        if pieces:
            self._sort(pieces)

    def _sort(self, pieces: list[Readings]) -> None:
        strings = pieces[0].strings
        times = np.concatenate([one.time for one in pieces])
        self._clock(float(times.min()), float(times.max()))
        del times
        keys = np.concatenate(
            [one.name.astype(np.uint64) << np.uint64(32) | one.subject.astype(np.uint64) for one in pieces]
        )
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        steps, values = (
            np.concatenate([getattr(one, column) for one in pieces])[order] for column in ("step", "value")
        )
        cuts = [0, *(np.flatnonzero(keys[1:] != keys[:-1]) + 1).tolist(), len(keys)]
        groups = sorted(pairwise(cuts), key=lambda group: order[group[0]])
        for first, last in groups:  # in the order in which they were first seen
            key = int(keys[first])
            self._add(strings[key >> 32], strings[key & 0xFFFFFFFF], steps[first:last], values[first:last])

    def _clock(self, first: float, last: float) -> None:
        if first > 0:
            self._first_time = first if self._first_time is None else min(self._first_time, first)
            self._last_time = last if self._last_time is None else max(self._last_time, last)

    def _has_room(self, signal: str, subject: str, kept: Mapping[str, object]) -> bool:
        if len(kept) < MOST_SUBJECTS:
            return True
        self._leave_out(signal, subject)
        return False

    def _leave_out(self, signal: str, subject: str) -> None:
        names = self._left_out.setdefault(signal, set())
        if len(names) < 10 * MOST_SUBJECTS:
            names.add(subject)

    def _add(self, signal: str, subject: str, steps: Column, values: Column) -> None:
        self._readings += len(steps)
        if signal not in _OTHER_STEPS:
            self._last_step = max(self._last_step, int(steps.max()))
        subjects = self._curves.setdefault(signal, {})
        curve = subjects.get(subject)
        if curve is None:
            if not self._has_room(signal, subject, subjects):
                return
            curve = subjects[subject] = Curve(FEW_BUCKETS) if _is_one_of_many(signal, subject) else Curve()
        curve.add(steps, values)

    def _array(self, record: Array) -> None:
        kept = self.arrays.setdefault(record.signal, {})
        rows = kept.get(record.subject)
        if len(record.values) > LONGEST_ROW:
            self._leave_out(record.signal, record.subject)
            return
        if rows is None:
            room = len(record.values) * MOMENTS
            if self._numbers + room > MOST_NUMBERS:
                self._leave_out(record.signal, record.subject)
                return
            if not self._has_room(record.signal, record.subject, kept):
                return
            self._numbers += room
            rows = kept[record.subject] = ThinnedRows()
        rows.add(record.step, record.values)

    def _event(self, event: Event) -> None:
        if event.name == EPOCH:
            self.epochs.add(event.step, dict(event.data))
        elif event.name == VERDICT:
            self.verdict = dict(event.data)
        elif event.name == STALLED:
            if len(self.stalls) >= MOST_STALLS:
                self.stalls.pop()
            self.stalls.append({**event.data, "step": event.step})
        elif event.name in _ABOUT_US:
            if len(self.about_us) < MOST_ABOUT_US:
                self.about_us.append(event)
        elif event.name == ARTIFACT:
            if event.data.get("folder") == "checkpoints" and len(self.checkpoints) < MOST_STALLS:
                self.checkpoints.append(event.step)
        else:
            if event.name == TRAINING and len(self.trainings) < MOST_TRAININGS:
                self.trainings.append(event.step)
            self.judged.take(event)

    def _fact(self, fact: Fact) -> None:
        name, value = fact.name, fact.value
        if name in ("sample", "saliency"):
            if isinstance(value, dict):
                kept = self.samples if name == "sample" else self.saliency
                key = str(value.get("id"))
                if key in kept or len(kept) < MOST_SAMPLES:
                    kept[key] = value
        elif name == "predictions":
            if isinstance(value, dict):
                split = str(value.get("split") or "val")
                if split in self.predictions or len(self.predictions) < MOST_SPLITS:
                    self.predictions.setdefault(split, Thinned()).add(fact.step, value)
        elif name == "filters":
            if isinstance(value, dict):
                self.filters.add(fact.step, value)
        elif name != "fingerprint":
            self.facts[name] = value

    # -- asking ----------------------------------------------------------------------------------------------------

    @property
    def curves(self) -> dict[str, dict[str, Curve]]:
        """Readings, by signal and subject."""
        self._settle()
        return self._curves

    @property
    def readings(self) -> int:
        """How many readings there were."""
        self._settle()
        return self._readings

    @property
    def first_time(self) -> float | None:
        """Time of the first record, Unix seconds."""
        self._settle()
        return self._first_time

    @property
    def last_time(self) -> float | None:
        """Time of the last record, Unix seconds."""
        self._settle()
        return self._last_time

    @property
    def last_step(self) -> int:
        """The last step of which anything was measured."""
        self._settle()
        return self._last_step

    @property
    def left_out(self) -> dict[str, int]:
        """How many subjects were too many, by signal."""
        self._settle()
        return {signal: len(names) for signal, names in self._left_out.items()}

    @property
    def outcomes(self) -> dict[str, dict[str, Json]]:
        """What each rule said last."""
        return self.judged.outcomes

    def curve(self, signal: str, subject: str = "") -> Curve | None:
        """The curve of one subject, if it has a finite value."""
        found = self.curves.get(signal, {}).get(subject)
        return found if found is not None and found.total else None

    def subjects(self, signal: str) -> dict[str, Curve]:
        """All curves of a signal that have a finite value, in the order in which they were first seen."""
        return {subject: curve for subject, curve in self.curves.get(signal, {}).items() if curve.total}

    def epoch_ends(self) -> list[int]:
        """Last step of each epoch that is known."""
        ends = []
        for step, data in self.epochs.all:
            last = data.get("last_step")
            is_step = isinstance(last, (int, float)) and math.isfinite(last)
            ends.append(int(last) if is_step else step)  # type: ignore[arg-type]
        return ends


def _is_one_of_many(signal: str, subject: str) -> bool:
    """Whether this is about a layer: there may be hundreds, which are drawn as rows of a heat map."""
    about = SIGNALS[signal].subject if signal in SIGNALS else ""
    return subject != "" and about.partition(";")[0] in ("parameter", "module")
