"""Draws predicted numbers against true ones, and their error over the evaluations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..drawing.figures import FAINT, GRID, SERIES, mark_epochs, new_figure
from ..gathering.curves import Curve
from .held_out import Entry

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def pairs(entries: Sequence[Entry]) -> list[tuple[float, float]]:
    """True and predicted numbers of all entries, of as many as both have."""
    found = []
    for one in entries:
        if isinstance(one.target, list) and isinstance(one.predicted, list):
            found += [pair for pair in zip(one.target, one.predicted, strict=False) if all(map(math.isfinite, pair))]
    return found


def regression_figure(
    first: Sequence[Entry], last: Sequence[Entry], error: Curve | None, spread: Curve | None, ends: Sequence[int]
) -> Figure:
    """Left, where there are any, predicted against true values at first and now; right the error over steps."""
    now = pairs(last)
    panels = (len(now) > 0) + (error is not None)
    figure, found = new_figure(width=7.6 if panels == 2 else 4.2, height=2.7, ncols=panels, squeeze=False)
    axes = found[0]
    if now:
        then = pairs(first)
        numbers = [one for pair in (*now, *then) for one in pair]
        low, high = min(numbers), max(numbers)
        axes[0].plot([low, high], [low, high], color=GRID, linewidth=1.2, zorder=1)
        if then and first != last:
            axes[0].plot(
                *zip(*then, strict=True), "o", color=FAINT, markersize=3.5, markerfacecolor="none", label="at first"
            )
        axes[0].plot(*zip(*now, strict=True), "o", color=SERIES[0], markersize=4, label="at the end")
        axes[0].set(xlabel="true", ylabel="predicted")
        axes[0].legend(loc="upper left")
    if error is not None:
        right = axes[-1]
        right.plot(error.steps, error.means, color=SERIES[0], marker="o", markersize=2.5, label="error")
        if spread is not None and spread.means[-1] > 0:
            right.axhline(
                float(spread.means[-1]), color=FAINT, linewidth=1, linestyle=(0, (4, 2)), label="always the mean"
            )
        mark_epochs(right, list(ends))
        values = [float(one) for one in error.means if one > 0]
        if values and max(values) > 100 * min(values):
            right.set_yscale("log")
        right.set(xlabel="step", ylabel="root mean squared error")
        right.legend(loc="best")
    return figure
