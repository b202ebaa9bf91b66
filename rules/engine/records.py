"""What flows from the probes to the rules: readings, arrays, events and facts.

These are the only things a rule can see, live or replayed. The journal stores them, the trace keeps a bounded past of
them, and nothing here needs torch or MLflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

SCHEMA = 1
"""Version of the record forms below; stored with every journal and every stored series."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One number: `value` of `signal` for `subject` (layer, parameter, class, split, metric key or "") at `step`."""

    signal: str
    subject: str
    step: int
    value: float


@dataclass(frozen=True, slots=True)
class Array:
    """A bounded row of numbers: a histogram, a row of a confusion matrix, per-unit maxima."""

    signal: str
    subject: str
    step: int
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at `step`: an epoch ended, a judgement is due, the run ended."""

    name: str
    step: int
    data: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that is so from `step` on, until another fact of the same name replaces it."""

    name: str
    step: int
    value: Json


Record: TypeAlias = "Reading | Array | Event | Fact"

EPOCH = "epoch"
"""Event: an epoch is complete. data: `epoch` (0-based), `first_step`, `last_step`."""

TRAINING = "training"
"""Event: another training begins in the same run, of another model: the next fold, say. It is judged for itself."""

JUDGE = "judge"
"""Event: the engine ran here. data: `phase`. A replay judges at the same places, so it reaches the same verdict."""

OUTCOME = "outcome"
"""Event: what one rule said. data: `Outcome.as_json()`."""

VERDICT = "verdict"
"""Event: the verdict of the whole run. data: `Verdict.as_json()`."""

STALLED = "stalled"
"""Event: the training stood still, behind `step`. data: `since` (text), `seconds`, `step_seconds` (median, or null),
`longest` (seconds, the longest silence before), `went_on` (false: it ended, or has not gone on yet), `where`
("loader", or "")."""

END = "end"
"""Event: the run ended. data: `status` (FINISHED, FAILED, KILLED), `reason`."""
