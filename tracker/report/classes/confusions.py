"""Which classes are taken for which: matrices of an evaluation, or the commonest mistakes where classes are many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ...rules.engine.signals import CONFUSED, CONFUSION
from ..gathering.gathered import Gathered

Matrix = np.ndarray[Any, Any]

MOST_CLASSES = 100
"""Classes of a matrix that is read at all."""


class Mistake(NamedTuple):
    """One class that was taken for another."""

    true: int
    predicted: int
    times: float
    share: float | None
    """Of all samples of the true class, 0 to 1; None where not known how many there are."""


@dataclass(frozen=True, eq=False)
class Confusion:
    """The matrix of one evaluation: `counts[true, predicted]`, at a step."""

    counts: Matrix
    step: int

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.counts)

    @property
    def samples(self) -> int:
        """Answers that were counted."""
        return round(float(self.counts.sum()))

    @property
    def accuracy(self) -> float:
        """Share on the diagonal, 0 to 1."""
        return float(np.trace(self.counts) / self.counts.sum())

    @property
    def there(self) -> Matrix:
        """(classes,) how often each class is the true one."""
        return np.asarray(self.counts.sum(1))

    @property
    def predicted(self) -> Matrix:
        """(classes,) how often each was predicted."""
        return np.asarray(self.counts.sum(0))

    @property
    def shares(self) -> Matrix:
        """(classes, classes) each row divided by its sum; zeros for a class that is not there."""
        return np.asarray(self.counts / np.maximum(self.there, 1e-9)[:, None])

    @property
    def recall(self) -> Matrix:
        """(classes,) share of the samples of each class that are predicted as it; NaN for one that is not there."""
        return _divided(np.diagonal(self.counts), self.there)

    @property
    def precision(self) -> Matrix:
        """(classes,) share of the predictions of each class that are right; NaN for one that is never predicted."""
        return _divided(np.diagonal(self.counts), self.predicted)

    def mistakes(self, most: int) -> list[Mistake]:
        """The commonest ones, most first."""
        wrong = self.counts.copy()
        np.fill_diagonal(wrong, 0)
        there = self.there
        found = []
        for place in np.argsort(-wrong, axis=None, kind="stable")[:most]:
            true, predicted = divmod(int(place), self.classes)
            count = float(wrong[true, predicted])
            if count > 0:
                found.append(Mistake(true, predicted, count, count / float(there[true])))
        return found


def confusion_of(values: Sequence[float], step: int) -> Confusion | None:
    """The matrix that an array CONFUSION holds, row after row; None where it is not square, or counts nothing."""
    side = math.isqrt(len(values))
    if side * side != len(values) or not 2 <= side <= MOST_CLASSES:
        return None
    try:
        counts = np.asarray(values, np.float64).reshape(side, side)
    except (TypeError, ValueError):
        return None
    if not np.isfinite(counts).all() or (counts < 0).any() or counts.sum() <= 0:
        return None
    return Confusion(counts, step)


def confusions(gathered: Gathered, split: str) -> list[Confusion]:
    """All that are kept of a split, oldest first, of as many classes as the latest."""
    kept = gathered.arrays.get(CONFUSION.name, {}).get(split)
    found = [confusion_of(values, step) for step, values in kept.all] if kept is not None else []
    there = [one for one in found if one is not None]
    return [one for one in there if one.classes == there[-1].classes]


def commonest(gathered: Gathered, split: str) -> tuple[int, list[Mistake]] | None:
    """Step and mistakes of the latest array CONFUSED, of more classes than a matrix can show; None without one."""
    kept = gathered.arrays.get(CONFUSED.name, {}).get(split)
    if kept is None or not kept.all:
        return None
    step, values = kept.all[-1]
    found = []
    for true, predicted, count in zip(values[::3], values[1::3], values[2::3], strict=False):
        if all(math.isfinite(one) and one >= 0 for one in (true, predicted, count)) and count > 0:
            found.append(Mistake(int(true), int(predicted), count, None))
    return (step, sorted(found, key=lambda one: -one.times)) if found else None


def _divided(part: Matrix, whole: Matrix) -> Matrix:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(whole > 0, part / whole, np.nan))
