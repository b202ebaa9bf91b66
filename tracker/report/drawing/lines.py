"""Lines over steps: how a curve is drawn, on which scale, and what is said of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..console.characters import one_line
from ..gathering.curves import Column, Curve
from .figures import BAD, PAPER, SERIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BEYOND = 20.0
"""Times that the greatest value is larger than the middle one before the scale is logarithmic."""
SMOOTHED_OVER = 24
"""A running mean is taken over one in so many parts of a curve."""
FEW_POINTS = 60
"""Up to so many points each has a dot."""
BROKEN_EARLY = 0.3
"""Share of the steps: where nothing is a number behind it, only the beginning is drawn."""
MOST_SEARCHED = 400
"""Points among which a place for the legend is looked for."""


def shortened(name: object, most: int = 30) -> str:
    """The name in one line, with an ellipsis in the middle where it is long: its end tells layers apart."""
    text = one_line(name)
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


def short_names(names: Sequence[str], most: int = 30) -> list[str]:
    """The names, shortened; where one is long, without the parts at both ends that all of them share."""
    parts = [one_line(name).split(".") for name in names]
    if len(parts) < 2 or max(map(len, map(one_line, names))) <= most:
        return [shortened(name, most) for name in names]
    least = min(map(len, parts)) - 1
    start = next((place for place in range(least) if len({one[place] for one in parts}) > 1), least)
    ends = range(1, max(1, least - start + 1))
    end = next((place - 1 for place in ends if len({one[-place] for one in parts}) > 1), len(ends))
    short = [".".join(one[start : len(one) - end]) for one in parts]
    if start and max(map(len, short)) + len(parts[0][start - 1]) < most:  # a number alone says little
        short = [f"{parts[0][start - 1]}.{one}" for one in short]
    return [shortened(one, most) for one in short]


def few_steps(axes: Axes, most: int = 4) -> None:
    """Few and short words on the axis of steps: `400`, `20k`, `1.5M`."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(most, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: short_step(step)))


def short_step(step: float) -> str:
    """A step in a few letters."""
    if abs(step) >= 1e6:
        return f"{step / 1e6:g}M"
    return f"{step / 1e3:g}k" if abs(step) >= 1e4 else f"{step:g}"


def number(value: float) -> str:
    """A number with four digits that matter."""
    return f"{value:.4g}"


def scale_of(values: Iterable[Column]) -> str:
    """`log` where the values are positive and most lie far below the greatest, `symlog` where some are not, `linear`.

    What is mostly high and dips, as an accuracy does, stays on a straight scale: there the dips are no more than that.
    """
    found = [column[np.isfinite(column)] for column in values]
    every = np.concatenate(found) if found else np.zeros(0)
    sizes = np.abs(every[every != 0])
    if len(sizes) < 2:
        return "linear"
    middle, high = np.quantile(sizes, (0.5, 1.0))
    if (every < 0).any():
        # Losses may pass through zero: only where nearly all would be one flat line is the scale bent.
        return "symlog" if high > 1000 * middle else "linear"
    return "log" if high > BEYOND * middle and len(sizes) >= len(every) / 2 else "linear"


def set_scale(axes: Axes, values: Sequence[Column]) -> None:
    """Chooses the scale of the upright axis for these values."""
    scale = scale_of(values)
    if scale == "symlog":
        every = np.abs(np.concatenate(values))
        axes.set_yscale("symlog", linthresh=float(np.median(every[np.isfinite(every) & (every != 0)])))
    elif scale == "log":
        axes.set_yscale("log", nonpositive="mask")


def draw_curve(axes: Axes, curve: Curve, colour: str, label: str = "", is_band: bool = False) -> None:
    """The curve; with `is_band` the range of each bucket instead of a line, and the line left to somebody else."""
    if is_band:
        axes.fill_between(curve.steps, curve.lows, curve.highs, color=colour, alpha=0.13, linewidth=0)
        axes.plot(curve.steps, curve.means, color=colour, alpha=0.35, linewidth=0.7)
        return
    few = len(curve) <= FEW_POINTS
    axes.plot(curve.steps, curve.means, color=colour, label=label, marker="o" if few else "", markersize=2.5)
    if curve.width > 1:
        axes.fill_between(curve.steps, curve.lows, curve.highs, color=colour, alpha=0.13, linewidth=0)


def place_legend(axes: Axes, otherwise: str) -> None:
    """A legend where no line is, if that is found quickly."""
    points = sum(int(np.size(line.get_xdata())) for line in axes.get_lines())
    where: Any = "best" if points <= MOST_SEARCHED else otherwise
    axes.legend(loc=where, frameon=True, facecolor=PAPER, edgecolor="none", framealpha=0.7)


def mark_nonfinite(axes: Axes, curve: Curve) -> None:
    """A word at the first step whose value is no number; where it stayed so, what follows is shaded."""
    step = curve.first_nonfinite
    if step is None:
        return
    stays = curve.last is not None and not math.isfinite(curve.last[1])
    if stays:
        axes.axvspan(step, max(step, axes.get_xlim()[1]), color=BAD, alpha=0.08, linewidth=0)
    else:
        axes.axvline(step, color=BAD, linewidth=0.8, linestyle=(0, (1, 2)))
    axes.annotate(
        f"not finite {'from' if stays else 'at'} step {step:,}", (step, 0.03), xycoords=("data", "axes fraction"),
        xytext=(4, 0), textcoords="offset points", color=BAD, fontsize=7, va="bottom",
        ha="left" if step < sum(axes.get_xlim()) / 2 else "right",
    )  # fmt: skip


def worth_seeing(curves: Iterable[Curve], last: float) -> float:
    """The last step that is drawn, of so many: where soon nothing is a number any more, a little more than that."""
    every = list(curves)
    finite = max([float(one.steps[-1]) for one in every if len(one)], default=0.0)
    is_broken = any(one.first_nonfinite is not None for one in every)
    return min(last, max(1.5 * finite, finite + 10)) if is_broken and finite < BROKEN_EARLY * last else last


def trend(curve: Curve, spans: Sequence[tuple[int, int]]) -> tuple[Column, Column, str]:
    """Steps and values of the line that is read first: means of epochs, or a running mean where they are few or short.

    The mean of an epoch stands in its middle, as a later one would make training look worse than what is held out.
    """
    shortest = min((last + 1 - first for first, last in spans), default=0)
    if len(spans) >= 3 and shortest >= 2 * curve.width:
        edges = np.array([*(first for first, _ in spans), spans[-1][1] + 1], np.float64)
        means = curve.over(edges)
        middles = np.array([(first + last) / 2 for first, last in spans])
        known = np.isfinite(means)
        if known.sum() >= 3:
            return middles[known], means[known], "mean of each epoch"
    return curve.steps, running_mean(curve.means), "running mean"


def running_mean(values: Column) -> Column:
    """(n,) mean of the values around each, over one part in `SMOOTHED_OVER` of them; narrower at the ends."""
    half = len(values) // (2 * SMOOTHED_OVER)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    reach = np.minimum(half, np.minimum(at, len(values) - 1 - at))
    return np.asarray((sums[at + reach + 1] - sums[at - reach]) / (2 * reach + 1))


def said_of_curve(name: str, curve: Curve) -> str:
    """Where it began, where it ended, and between what it lay."""
    if len(curve) == 1 and curve.total == 1:
        return f"{name} was {number(curve.means[0])}"
    low, high = float(curve.lows.min()), float(curve.highs.max())
    text = f"{name} went from {number(curve.means[0])} to {number(curve.means[-1])}"
    if low == high:
        text = f"{name} stayed {number(low)}"
    else:
        ends = float(curve.means[0]), float(curve.means[-1])
        between = [f"least {number(low)}"] if low < min(ends) else []
        between += [f"most {number(high)}"] if high > max(ends) else []
        text += f" ({', '.join(between)})" if between else ""
    if curve.first_nonfinite is not None:
        text += f", and was not finite first at step {curve.first_nonfinite:,}"
    return text


def colour_of(place: int) -> str:
    """One of the eight colours of lines."""
    return SERIES[place % len(SERIES)]
