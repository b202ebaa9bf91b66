"""How far a loss came: what rules ask that speak only when a training was harmed."""

from __future__ import annotations

from statistics import median

from .signals import LOSS
from .trace import Series, Trace

LEAST = 10
"""Losses below which nothing is said."""


def fall(losses: Series, share: float = 0.1) -> float | None:
    """How much of its first level a loss has lost, 0 to 1; negative when it rose. None where that cannot be said.

    The levels are medians over the first and last `share` of the losses, at least five of each.
    """
    if len(losses) < LEAST or not losses.is_finite:
        return None
    n = min(len(losses) // 2, max(5, int(share * len(losses))))
    first, last = median(losses.values[:n]), median(losses.values[-n:])
    return (first - last) / first if first > 0 else None


def stands(trace: Trace, least: float = 0.1) -> bool:
    """Whether the training loss lost less than `least` of its first level, or rose, or is no longer finite."""
    losses = trace.series(LOSS)
    if len(losses) and not losses.is_finite:
        return True
    lost = fall(losses)
    return lost is not None and lost < least
