"""Where earlier runs were at the same step: what the rules that compare runs have in common."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from ..engine import NotApplicable, Series, Signal, Trace

FACT = "family"
"""The fact by which a run says what it was."""
SIGMA = 1.4826
"""Makes the median absolute deviation of normal noise its standard deviation."""


class Band(NamedTuple):
    """One point of the run and those of the others at the same step."""

    step: int
    value: float
    low: float
    """Least of the others."""
    middle: float
    high: float
    spread: float
    """Their standard deviation, by their median absolute deviation."""
    n: int


def enough(trace: Trace, least: int) -> None:
    """Raises `NotApplicable` when there are fewer earlier runs than `least`."""
    if len(trace.peers) < least:
        raise NotApplicable(f"{len(trace.peers)} earlier runs to compare with; {least} are needed.")


def bands(trace: Trace, signal: Signal, least: int) -> list[Band]:
    """A band for each finite point of the run that at least `least` others have come as far as."""
    others = [series for peer in trace.peers.values() if len(series := peer.series(signal)) and series.is_finite]
    found = []
    own = trace.series(signal)
    for step, value in zip(own.steps, own.values, strict=True):
        values = [at for series in others if (at := _at(series, step)) is not None]
        if len(values) < least or not math.isfinite(value):
            continue
        band = spread_of(step, value, values)
        if math.isfinite(band.spread) and math.isfinite(band.middle):
            found.append(band)
    return found


def spread_of(step: int, value: float, values: Sequence[float]) -> Band:
    """The band of some values."""
    middle = median(values)
    spread = SIGMA * median(abs(one - middle) for one in values)
    return Band(step, value, min(values), middle, max(values), spread, len(values))


def _at(series: Series, step: int) -> float | None:
    """The value at a step, between two points on the line from one to the other; None beyond the last."""
    steps, values = series.steps, series.values
    place = bisect_left(steps, step)
    if place == len(steps):
        return values[-1] if step - steps[-1] <= max(1, steps[-1] // 20) else None
    if place == 0 or steps[place] == step:
        return values[place]
    share = (step - steps[place - 1]) / (steps[place] - steps[place - 1])
    return values[place - 1] * (1 - share) + values[place] * share


def different_params(trace: Trace, most: int = 3) -> str:
    """Parameters of the run that no earlier run had with this value, as text: `lr 0.1 (0.01)`."""
    told = [_params(peer) for peer in trace.peers.values()]
    found = []
    for key, value in sorted(_params(trace).items()):
        theirs = [params[key] for params in told if key in params]
        if theirs and value not in theirs:
            usual = max(sorted(set(theirs)), key=theirs.count)
            found.append(f"{key} is {value[:40]}, not {usual[:40]}")
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return "; ".join(found[:most]) + more


def _params(trace: Trace) -> dict[str, str]:
    fact = trace.facts.get(FACT)
    params = fact.get("params") if isinstance(fact, Mapping) else None
    return {str(key): str(value) for key, value in params.items()} if isinstance(params, Mapping) else {}
