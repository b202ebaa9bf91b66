"""Histograms over time: what a row of counts says, and how rows of different ranges come onto one scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..gathering.curves import Column
from .figures import power

BINS = 32
"""Cells of one column of a picture."""
QUANTILES = (0.05, 0.5, 0.95)
"""Shares of the values that lie below the three lines of a picture."""
BENT_FROM = 8.0
"""Times that the widest moment is wider than the middle one before the scale is bent."""


GREATEST, MOST_COUNTED = 1e100, 1e15
"""Values and counts beyond these are of no tensor; they would overflow."""


class Histogram(NamedTuple):
    """How many values lie in each of some equal bins between the lowest and the highest."""

    low: float
    high: float
    counts: Column

    def below(self, values: Column) -> Column:
        """Share of the values that lie below each of these, taken as spread evenly within a bin."""
        if self.low == self.high:
            return np.asarray((values > self.low).astype(np.float64))
        bounds = np.linspace(self.low, self.high, len(self.counts) + 1)
        sums = np.concatenate([[0.0], np.cumsum(self.counts)]) / self.counts.sum()
        return np.asarray(np.interp(values, bounds, sums))

    def quantile(self, share: float) -> float:
        """The value below which this share lies."""
        if self.low == self.high:
            return self.low
        bounds = np.linspace(self.low, self.high, len(self.counts) + 1)
        sums = np.concatenate([[0.0], np.cumsum(self.counts)]) / self.counts.sum()
        rising = np.concatenate([[True], np.diff(sums) > 0])
        return float(np.interp(share, sums[rising], bounds[rising]))


def histogram_of(row: Sequence[float]) -> Histogram | None:
    """The histogram that is stored as (low, high, counts); None for a row of another form."""
    values = np.asarray(row, np.float64)
    if len(values) < 3 or not np.isfinite(values).all():
        return None
    low, high, counts = float(values[0]), float(values[1]), values[2:]
    if low > high or max(abs(low), abs(high)) > GREATEST or counts.min() < 0 or not 0 < counts.max() < MOST_COUNTED:
        return None
    return Histogram(low, high, counts)


class Scale:
    """From values to places on an upright axis: straight, or bent towards zero where moments differ much in width."""

    def __init__(self, moments: Sequence[Histogram]) -> None:
        low = min(one.quantile(0.002) for one in moments)
        high = max(one.quantile(0.998) for one in moments)
        widths = np.array([one.quantile(0.95) - one.quantile(0.05) for one in moments])
        positive = widths[widths > 0]
        self.bend: float | None = None
        """Values that are nearer to zero stand at distances that are about straight; None on a straight scale."""
        if len(positive) and high - low > BENT_FROM * float(np.median(positive)):
            self.bend = max(float(np.quantile(positive, 0.25)) / 4, 1e-12 * (high - low))
        if low == high:
            low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
        self.low, self.high = self.place(np.array([low, high]))
        """Places of the ends."""

    def place(self, values: Column) -> Column:
        """Where the values stand."""
        return values if self.bend is None else np.arcsinh(values / self.bend)

    def value(self, places: Column) -> Column:
        """The values that stand there."""
        return places if self.bend is None else np.sinh(places) * self.bend

    def ticks(self) -> tuple[list[float], list[str]]:
        """Places and words of a few values; of a bent scale, zero and powers of ten."""
        if self.bend is None:
            values = round_between(float(self.low), float(self.high), most=4)
        else:
            ends = [float(end) for end in self.value(np.array([self.low, self.high]))]
            values = [0.0] if ends[0] <= 0 <= ends[1] else []
            for end in ends:
                if abs(end) > self.bend:
                    values.append(math.copysign(10.0 ** math.floor(math.log10(abs(end))), end))
        places = self.place(np.array(values))
        return [float(place) for place in places], [power(value) for value in values]


def round_between(low: float, high: float, most: int) -> list[float]:
    """At least two and at most so many round values between these."""
    if not high > low:
        return [low]
    step = 10.0 ** math.floor(math.log10(high - low))
    step = next((one for one in (step, step / 2, step / 5) if (high - low) / one >= 2), step / 10)
    first, last = math.ceil(low / step), math.floor(high / step)
    every = max(1, -(-(last - first + 1) // most))
    return [float(f"{count * step:.12g}") for count in range(first, last + 1) if count % every == 0]


def cells(moments: Sequence[Histogram], scale: Scale) -> Column:
    """(BINS, moments) how much lies in each cell, of its moment's fullest; the first row is the lowest."""
    edges = scale.value(np.linspace(scale.low, scale.high, BINS + 1))
    edges[0], edges[-1] = -np.inf, np.inf  # what lies beyond the ends stands at them
    shares = np.stack([np.diff(one.below(edges)) for one in moments], axis=1)
    return np.asarray(shares / np.maximum(shares.max(axis=0), 1e-300))


def held_until(steps: Sequence[int], places: Column) -> Column:
    """Which moment is shown at each place along the steps: the latest one before it, else the first."""
    return np.asarray(np.clip(np.searchsorted(np.asarray(steps), places, "right") - 1, 0, len(steps) - 1))
