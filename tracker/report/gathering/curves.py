"""Curves of any length in bounded memory: what a plot can show, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Column = np.ndarray[Any, Any]

CAPACITY = 256
"""Buckets of a curve: about one for every three pixels of a plot."""
GREATEST = 1e100
"""What lies beyond it, either way, counts as not finite: no float32 does, and scales that show it overflow."""


class Curve:
    """Values over steps: each of them while they are few, and buckets of equal width once there are too many.

    A bucket has the mean, the least and the greatest of what fell into it. Its width is the least power of two with
    which all fit, and it begins at a multiple of that: what a curve holds depends on the values alone, not on how many
    were given at once. Values that are not finite are counted, with the first step, and are in no bucket.
    """

    __slots__ = ("_buckets", "_capacity", "_few", "first_nonfinite", "last", "nonfinite", "total")

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = max(2, capacity)  # zero is a seam: with one bucket there is no width that spans it
        self._few: tuple[Column, Column] | None = np.zeros(0, np.int64), np.zeros(0)
        self._buckets: _Buckets | None = None
        self.total = 0
        """Values that were finite."""
        self.nonfinite = 0
        """Values that were not."""
        self.last: tuple[int, float] | None = None
        """Step and value that came last, finite or not."""
        self.first_nonfinite: int | None = None
        """Step of the value that was not finite first."""

    def add(self, steps: Sequence[int] | Column, values: Sequence[float] | Column) -> None:
        """Takes values in the order in which they were measured; steps may be further back than those before."""
        at, what = np.asarray(steps, np.int64), np.asarray(values, np.float64)
        if not len(at):
            return
        self.last = int(at[-1]), float(what[-1])
        is_finite = np.abs(what) <= GREATEST
        if not is_finite.all():
            if self.first_nonfinite is None:
                self.first_nonfinite = int(at[int(np.argmin(is_finite))])
            self.nonfinite += int(len(at) - np.count_nonzero(is_finite))
            at, what = at[is_finite], what[is_finite]
            if not len(at):
                return
        self.total += len(at)
        if self._few is not None:
            at, what = np.concatenate([self._few[0], at]), np.concatenate([self._few[1], what])
            if len(at) <= self._capacity:
                self._few = at, what
                return
            self._few, self._buckets = None, _Buckets(self._capacity)
        if self._buckets is not None:
            self._buckets.add(at, what)

    def _shown(self) -> _Buckets:
        """The buckets; of few values one for each step that has any."""
        if self._buckets is not None:
            return self._buckets
        steps, values = self._few if self._few is not None else (np.zeros(0, np.int64), np.zeros(0))
        return _Buckets.of_few(steps, values)

    def __len__(self) -> int:
        return int(np.count_nonzero(self._shown().count))

    @property
    def width(self) -> int:
        """Steps that a bucket covers."""
        return 1 if self._buckets is None else 1 << self._buckets.shift

    @property
    def steps(self) -> Column:
        """(n,) mean of the steps of each bucket that has values."""
        return self._shown().steps

    @property
    def means(self) -> Column:
        """(n,) mean of each bucket that has values."""
        return self._shown().means

    @property
    def lows(self) -> Column:
        """(n,) least value of each."""
        shown = self._shown()
        return shown.low[shown.count > 0]

    @property
    def highs(self) -> Column:
        """(n,) greatest value of each."""
        shown = self._shown()
        return shown.high[shown.count > 0]

    @property
    def counts(self) -> Column:
        """(n,) how many values each has."""
        shown = self._shown()
        return shown.count[shown.count > 0]

    def over(self, edges: Column) -> Column:
        """(len(edges) - 1,) mean between each two edges, in steps; NaN where nothing was measured.

        What lies before the first edge counts to the first part, what lies behind the last to the last. A part that is
        narrower than the buckets around it has the mean of the one it lies in.
        """
        shown = self._shown()
        used = shown.count > 0
        cells, means = len(edges) - 1, shown.means
        where = np.clip(np.searchsorted(edges, shown.steps, "right") - 1, 0, cells - 1)
        count, total = np.zeros(cells), np.zeros(cells)
        np.add.at(count, where, shown.count[used])
        np.add.at(total, where, means * shown.count[used])
        with np.errstate(invalid="ignore"):
            found = np.asarray(total / count)
        if self.width > 1:
            middles = (np.asarray(edges[:-1], np.float64) + np.asarray(edges[1:], np.float64)) / 2
            inside = np.floor(middles / self.width) - shown.first
            is_empty = (count == 0) & (inside >= 0) & (inside < len(used))
            inside = np.where(is_empty, inside, 0).astype(np.int64)
            is_empty &= used[inside]
            number = np.cumsum(used) - 1  # of a used bucket among those that are used
            found[is_empty] = means[number[inside[is_empty]]]
        return found


class _Buckets:
    """Buckets beside each other, as columns."""

    __slots__ = ("capacity", "count", "first", "high", "highest", "low", "lowest", "offset", "shift", "sum")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.shift = 0
        """A bucket is 2**shift steps wide."""
        self.first = 0
        """Number of the first bucket: it begins at step first * 2**shift."""
        self.lowest: int | None = None
        self.highest = 0
        self.count: Column = np.zeros(0, np.int64)
        self.sum: Column = np.zeros(0)
        self.offset: Column = np.zeros(0)
        """Sum of the distances of the steps from the bucket's beginning."""
        self.low: Column = np.zeros(0)
        self.high: Column = np.zeros(0)

    @classmethod
    def of_few(cls, steps: Column, values: Column) -> _Buckets:
        """Buckets of one step each, wherever they lie."""
        found = cls(len(steps))
        at, where = np.unique(steps, return_inverse=True)
        found._empty(len(at))
        found._add(where, values, 0.0)
        found.offset = at * found.count.astype(np.float64)
        return found

    def _empty(self, size: int) -> None:
        self.count, self.sum, self.offset = np.zeros(size, np.int64), np.zeros(size), np.zeros(size)
        self.low, self.high = np.full(size, np.inf), np.full(size, -np.inf)

    def add(self, steps: Column, values: Column) -> None:
        """Takes finite values; makes buckets wider as far as needed."""
        lowest, highest = int(steps.min()), int(steps.max())
        if self.lowest is None:
            self.lowest, self.highest = lowest, highest
            self._empty(self.capacity)
            self._make_room()
        else:
            is_further_back = lowest < self.lowest
            self.lowest, self.highest = min(lowest, self.lowest), max(highest, self.highest)
            if is_further_back or highest >> self.shift >= self.first + self.capacity:
                self._make_room()
        where = (steps >> self.shift) - self.first
        self._add(where, values, steps - (steps >> self.shift << self.shift))

    def _add(self, where: Column, values: Column, offsets: Column | float) -> None:
        np.add.at(self.count, where, 1)
        np.add.at(self.offset, where, offsets)
        np.add.at(self.sum, where, values)
        np.minimum.at(self.low, where, values)
        np.maximum.at(self.high, where, values)

    def _make_room(self) -> None:
        """Puts what there is into buckets that reach from the lowest to the highest step."""
        lowest, shift = self.lowest or 0, self.shift
        while (self.highest >> shift) - (lowest >> shift) >= self.capacity:
            shift += 1
        used = np.flatnonzero(self.count)
        before = self.first + used
        self.first, widened, self.shift = lowest >> shift, shift - self.shift, shift
        count, total, offset, low, high = (
            column[used] for column in (self.count, self.sum, self.offset, self.low, self.high)
        )
        now = before >> widened
        moved = (before - (now << widened)) << (shift - widened)
        self._empty(self.capacity)
        where = now - self.first
        np.add.at(self.count, where, count)
        np.add.at(self.offset, where, offset + moved * count.astype(np.float64))
        np.add.at(self.sum, where, total)
        np.minimum.at(self.low, where, low)
        np.maximum.at(self.high, where, high)

    @property
    def steps(self) -> Column:
        used = np.flatnonzero(self.count)
        begins = ((self.first + used) << self.shift) if self.lowest is not None else np.zeros(len(used))
        return np.asarray(begins + self.offset[used] / self.count[used])

    @property
    def means(self) -> Column:
        used = self.count > 0
        # Rounded, the mean of equal values may lie beside them.
        return np.clip(self.sum[used] / self.count[used], self.low[used], self.high[used])
