"""Held-out samples that were kept, and what the model said of them at each evaluation, read from stored facts.

The facts `sample` and `predictions` come from outside: what has a wrong form is left out, and the rest is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...rules.engine.tables import number, table, tables, text
from ..gathering.gathered import Gathered

MOST_ENTRIES = 64
"""Samples of one list of an evaluation that are read."""

Answer = int | list[float] | None
"""A class; numbers; or nothing that can be told."""


@dataclass(frozen=True)
class Sample:
    """One input that was kept."""

    id: str
    kind: str
    """`image`, `tokens`, `text`, `numbers`, `series`, or anything."""
    input: Mapping[str, Any]
    shape: Sequence[Any]


@dataclass(frozen=True)
class Entry:
    """What the model said of one sample in one evaluation."""

    id: str
    target: Answer
    predicted: Answer
    is_of_classes: bool
    top: Sequence[tuple[int, float]]
    """Likeliest classes with their probabilities, if it is a class that is asked for."""
    loss: float | None

    @property
    def is_right(self) -> bool | None:
        """Whether the class, or each of a sequence, is the right one; None where that cannot be told."""
        if not self.is_of_classes or self.target is None or self.predicted is None:
            return None
        return self.target == self.predicted

    @property
    def sureness(self) -> float | None:
        """Probability of what was said."""
        return self.probability_of(self.predicted)

    def probability_of(self, one: Answer) -> float | None:
        """Probability of a class, where it was told."""
        return next((share for label, share in self.top if label == one), None)


@dataclass(frozen=True)
class Look:
    """One evaluation of a set."""

    step: int
    fixed: Mapping[str, Entry]
    """By id: the same samples each time, as far as they came."""
    worst: Sequence[Entry]
    """The largest losses, largest first."""


def samples_of(gathered: Gathered) -> dict[str, Sample]:
    """All inputs that were kept, by id."""
    found = {}
    for given, fact in gathered.samples.items():
        kind = text(fact.get("kind"))
        shape = fact.get("shape")
        sizes = list(shape[:8]) if isinstance(shape, list) else []
        found[given] = Sample(given, kind, table(fact.get("input")), sizes)
    return found


def looks_at(gathered: Gathered, split: str) -> list[Look]:
    """The evaluations of a set, oldest first, whose predictions were kept."""
    kept = gathered.predictions.get(split)
    found = []
    for step, fact in kept.all if kept is not None else ():
        fixed = [entry for one in _entries(fact.get("fixed")) if (entry := entry_of(one))]
        worst = [entry for one in _entries(fact.get("worst")) if (entry := entry_of(one))]
        if fixed or worst:
            found.append(Look(step, {one.id: one for one in fixed}, worst))
    return found


def sets_in(gathered: Gathered) -> list[str]:
    """Sets of which predictions were kept, the first held-out one first."""
    return sorted(gathered.predictions, key=lambda split: (split != "val", split))


def entry_of(given: Mapping[str, Any]) -> Entry | None:
    """An entry of the fact `predictions`; None for one without an id."""
    name = given.get("id")
    if not isinstance(name, str) or not name:
        return None
    target, predicted = _answer(given.get("target")), _answer(given.get("predicted"))
    top = [pair for one in _list(given.get("top"))[:10] if (pair := _pair(one))]
    is_sequence = _are_whole(given.get("target")) and _are_whole(given.get("predicted"))
    return Entry(name, target, predicted, bool(top) or is_sequence, top, number(given.get("loss")))


def _answer(given: Any) -> Answer:
    if isinstance(given, list):
        # A place that holds no number keeps its place: what stands beside it must not move.
        return [found if (found := number(one)) is not None else float("nan") for one in given[:MOST_ENTRIES]]
    found = number(given)
    return None if found is None else int(found) if found == int(found) and not isinstance(given, float) else [found]


def _pair(given: Any) -> tuple[int, float] | None:
    if not isinstance(given, list) or len(given) != 2:
        return None
    label, share = number(given[0]), number(given[1])
    return (int(label), share) if label is not None and share is not None else None


def _are_whole(given: Any) -> bool:
    return isinstance(given, list) and bool(given) and all(type(one) is int for one in given)


def _entries(given: Any) -> list[Mapping[str, Any]]:
    return list(tables(given))[:MOST_ENTRIES] if isinstance(given, list) else []


def _list(given: Any) -> list[Any]:
    return given if isinstance(given, list) else []
