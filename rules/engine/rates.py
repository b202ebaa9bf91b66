"""The learning rate as one series: the highest of all groups, at each of its changes."""

from __future__ import annotations

from .signals import LR
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
