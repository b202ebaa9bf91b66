"""The learning rate as one series: the highest of all groups, at each of its changes."""

from __future__ import annotations

from math import isfinite

from .finding import NotApplicable
from .signals import LR
from .tables import number, tables
from .trace import Trace

MOST_GROUPS = 4
"""Groups that are looked at: rates that differ by layer rise and fall together."""


def rate_at(trace: Trace) -> list[tuple[int, float]]:
    """(step, highest rate of all groups from this step on), oldest first; empty when no rate is known.

    A metric that the user logs stands for the rates where none was measured. Of many groups, those with the highest
    rates count.
    """
    every = trace.by_subject(LR) or {"": trace.series(LR)}
    peaks = {subject: max(rates.values, default=0.0) for subject, rates in every.items()}
    highest = sorted(peaks, key=lambda subject: (-peaks[subject], subject))[:MOST_GROUPS]
    series = {subject: every[subject] for subject in highest}
    changes = sorted(
        (step, subject, rate)
        for subject, rates in series.items()
        for step, rate in zip(rates.steps, rates, strict=True)
        if rate == rate and abs(rate) != float("inf")
    )
    now: dict[str, float] = {}
    found: list[tuple[int, float]] = []
    for step, subject, rate in changes:
        now[subject] = rate
        top = max(now.values())
        if found and found[-1][0] == step:
            found[-1] = (step, top)
        elif not found or found[-1][1] != top:
            found.append((step, top))
    return found


def peak_rate(trace: Trace, groups: object) -> float:
    """Highest learning rate of the run so far, that of the optimizer's `groups` where none was measured.

    Raises `NotApplicable` when none is known.
    """
    rates = [rate for series in (trace.series(LR), *trace.by_subject(LR).values()) for rate in series if isfinite(rate)]
    if not rates:
        rates = [rate for group in tables(groups) if (rate := number(group.get("lr"))) is not None]
    if not rates:
        raise NotApplicable("no learning rate is known")
    return max(rates)
