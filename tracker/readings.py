"""Readings of a journal as columns: what is read in bulk need not become an object for each record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .rules.engine.records import Reading

_RECORD = np.dtype(
    [("value", "<f8"), ("step", "<i8"), ("subject", "<u4"), ("name", "<u2"), ("flags", "u1"), ("kind", "u1")]
)
"""One record of a journal, as `journal.py` lays it out."""
_READING = 1

Column = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """Readings that follow on each other: wall time (Unix seconds), name, subject, step and value of each."""

    time: Column
    name: Column
    """Numbers in `strings`."""
    subject: Column
    """Numbers in `strings`; 0 is the empty one."""
    step: Column
    value: Column
    strings: Mapping[int, str]

    @classmethod
    def unpacked(cls, raw: bytes, time: float, strings: Mapping[int, str]) -> tuple[Readings, float, int]:
        """Readings from records without payload, the first of them behind a clock that showed `time`.

        Returns what the clock shows behind them as well, and how many records could be used: the first one that names a
        string nobody has defined, and what follows it, is left.
        """
        rows = np.frombuffer(raw, _RECORD)
        is_reading = rows["kind"] == _READING
        # Strings are numbered in the order in which they are defined.
        unknown = is_reading & ((rows["name"] >= len(strings)) | (rows["subject"] >= len(strings)))
        if unknown.any():
            first = int(unknown.argmax())
            rows, is_reading = rows[:first], is_reading[:first]
        sets = ~is_reading & (rows["value"] != 0)
        if sets.any():
            last = np.maximum.accumulate(np.where(sets, np.arange(len(rows)), -1))
            times = np.where(last < 0, time, rows["value"][last])
            time = float(times[-1])
        else:
            times = np.full(len(rows), time)
        kept = rows[is_reading]
        found = cls(times[is_reading], kept["name"], kept["subject"], kept["step"], kept["value"], strings)
        return found, time, len(rows)

    def __len__(self) -> int:
        return len(self.step)

    def __getitem__(self, part: slice | Column) -> Readings:
        """Some of them: a slice, or a column of truth values."""
        columns = (self.time[part], self.name[part], self.subject[part], self.step[part], self.value[part])
        return Readings(*columns, self.strings)

    def records(self) -> Iterator[tuple[float, Reading]]:
        """One by one, as `JournalReader.read` gives them."""
        strings = self.strings
        columns = (self.time, self.name, self.subject, self.step, self.value)
        for time, name, subject, step, value in zip(*(column.tolist() for column in columns), strict=True):
            yield time, Reading(strings[name], strings[subject], step, value)
