"""Things that come again and again, of which a report shows some."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

MOMENTS = 48
"""Moments that are kept of what comes again and again: histograms, matrices, predictions."""


class Thinned(Generic[T]):
    """Things that come at steps: all while they are few, then every second, every fourth, and always the latest."""

    def __init__(self, most: int = MOMENTS) -> None:
        self._most = max(1, most)
        self._stride = 1
        self._seen = 0
        self._kept: list[tuple[int, T]] = []
        self._latest: tuple[int, T] | None = None

    def add(self, step: int, what: T) -> None:
        """Takes the next one."""
        self._latest = one = (step, what)
        if self._seen % self._stride == 0:
            self._kept.append(one)
            if len(self._kept) > self._most:
                self._kept = self._kept[::2]
                self._stride *= 2
        self._seen += 1

    @property
    def all(self) -> list[tuple[int, T]]:
        """(step, thing) of those that are kept, in their order; the latest is the last."""
        if self._latest is None or self._kept[-1] is self._latest:
            return list(self._kept)
        return [*self._kept, self._latest]

    @property
    def seen(self) -> int:
        """How many came."""
        return self._seen


class ThinnedRows:
    """The same for rows of numbers, which take a quarter of the memory here that they take as tuples."""

    def __init__(self, most: int = MOMENTS) -> None:
        self._rows: Thinned[array[float]] = Thinned(most)

    def add(self, step: int, values: Sequence[float]) -> None:
        """Takes the next one."""
        self._rows.add(step, array("d", values))

    @property
    def all(self) -> list[tuple[int, tuple[float, ...]]]:
        """(step, row) of those that are kept, in their order; the latest is the last."""
        return [(step, tuple(row)) for step, row in self._rows.all]

    @property
    def seen(self) -> int:
        """How many came."""
        return self._rows.seen
