"""What became of samples over the evaluations: when each became right, and which stay among the worst."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

from ..gathering.gathered import Gathered
from .held_out import Entry, Look

SHOWN = 12
"""Answers of a history that are written out: of more, some, the first and the last among them."""
_OFTEN, _HALF = 3, 0.5
"""Evaluations, and share of those of the last half, in which a sample is among the worst to be named."""
_SURE = 0.8


@dataclass(frozen=True)
class History:
    """One sample at each evaluation in which it came."""

    id: str
    steps: Sequence[int]
    entries: Sequence[Entry]

    @property
    def now(self) -> Entry:
        """What was said of it last."""
        return self.entries[-1]

    @property
    def losses(self) -> list[float]:
        """The losses that are known."""
        return [one.loss for one in self.entries if one.loss is not None]

    def some(self) -> list[Entry]:
        """At most `SHOWN` of them, evenly over time."""
        n = len(self.entries)
        if n <= SHOWN:
            return list(self.entries)
        return [self.entries[round(place * (n - 1) / (SHOWN - 1))] for place in range(SHOWN)]

    def right_since(self) -> int | None:
        """Place of the first of the evaluations from which on it was right each time; None if it is wrong now."""
        place = None
        for number in range(len(self.entries) - 1, -1, -1):
            if self.entries[number].is_right is not True:
                break
            place = number
        return place

    def was_right(self) -> int:
        """In how many evaluations it was right."""
        return sum(one.is_right is True for one in self.entries)


def histories(looks: Sequence[Look]) -> list[History]:
    """Of each fixed sample, in the order in which they were first seen."""
    names = dict.fromkeys(name for look in looks for name in look.fixed)
    found = []
    for name in names:
        seen = [(look.step, look.fixed[name]) for look in looks if name in look.fixed]
        found.append(History(name, [step for step, _ in seen], [entry for _, entry in seen]))
    return found


@dataclass(frozen=True)
class Stubborn:
    """A sample that stays among the worst mistakes."""

    entry: Entry
    """What was said of it last."""
    times: int
    of: int
    """Evaluations, of so many."""
    is_contradicted: bool
    """Whether the model gives the same other class each time, and is sure of it: the label may be the mistake."""


def stubborn(looks: Sequence[Look]) -> list[Stubborn]:
    """Samples that are among the worst again and again in the later half of the evaluations, most often first."""
    late = looks[len(looks) // 2 :]
    if len(late) < _OFTEN:
        return []
    seen: dict[str, list[Entry]] = {}
    for look in late:
        for entry in {one.id: one for one in look.worst}.values():
            seen.setdefault(entry.id, []).append(entry)
    found = []
    for entries in seen.values():
        if len(entries) >= _OFTEN and len(entries) > _HALF * len(late):
            said = {str(one.predicted) for one in entries}
            is_sure = all((one.sureness or 0.0) >= _SURE for one in entries)
            is_wrong = all(one.is_right is False and isinstance(one.target, int) for one in entries)
            found.append(Stubborn(entries[-1], len(entries), len(late), is_wrong and len(said) == 1 and is_sure))
    return sorted(found, key=lambda one: (-one.times, -(one.entry.loss or 0.0)))


class Moments:
    """Says when a step was: in which epoch, where epochs are known."""

    def __init__(self, gathered: Gathered) -> None:
        self._ends: list[int] = []
        self._numbers: list[int] = []
        for (_, data), end in zip(gathered.epochs.all, gathered.epoch_ends(), strict=True):
            epoch = data.get("epoch")
            if isinstance(epoch, int) and (not self._ends or end > self._ends[-1]):
                self._ends.append(end)
                self._numbers.append(epoch + 1)

    def __call__(self, step: int) -> str:
        """`epoch 3`, counted from 1, or `step 120`."""
        place = bisect.bisect_left(self._ends, step)
        if place < len(self._ends):
            return f"epoch {self._numbers[place]}"
        if self._ends and step <= self._ends[-1] + 1:
            return f"epoch {self._numbers[-1]}"
        return f"step {step:,}"
