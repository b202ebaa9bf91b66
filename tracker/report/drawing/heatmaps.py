"""Heat maps: something that many layers have, layer by layer, over the steps of the run.

The colours are a picture in the page, evenly spaced for the eye and the same in light and dark; where nothing was
measured the paper shows, and what is exactly zero is grey.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..gathering.curves import Column, Curve
from .figures import BAD, INK, power
from .lines import short_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_COLUMNS = 96
MOST_ROWS = 240
"""Layers that are drawn; of more, some."""
ROW_INCHES, MOST_INCHES = 0.17, 8.0
"""Height of a row, and of the largest map."""
NAMED_EVERY = 0.115
"""Inches between two names, at least."""
ZERO = (0.54, 0.54, 0.54, 1.0)
"""Colour of what is exactly zero: in no map that is used here."""


@dataclass(frozen=True)
class Grid:
    """Values of some layers over the run: a row each, a column for each part of the steps."""

    names: list[str]
    edges: Column
    """(columns + 1,) in steps."""
    values: Column
    """(rows, columns); NaN where nothing was measured."""
    broken: dict[int, int]
    """Rows with values that were not finite, and the first step of such a one."""

    @property
    def last(self) -> Column:
        """(rows,) the latest value of each."""
        latest = np.full(len(self.names), np.nan)
        for row, values in enumerate(self.values):
            known = values[np.isfinite(values)]
            if len(known):
                latest[row] = known[-1]
        return latest

    def only(self, rows: Sequence[int]) -> Grid:
        """Some of the rows, in the given order."""
        broken = {place: self.broken[row] for place, row in enumerate(rows) if row in self.broken}
        return Grid([self.names[row] for row in rows], self.edges, self.values[list(rows)], broken)


def gridded(curves: Mapping[str, Curve], last_step: int, factors: Mapping[str, float] | None = None) -> Grid:
    """The curves as a grid, in their order; each multiplied with its factor.

    A column in which no layer was looked at repeats the one before: a value holds until the next one is measured.
    """
    longest = max((len(curve) for curve in curves.values()), default=0)
    columns = max(1, min(MOST_COLUMNS, longest))
    edges = np.linspace(0, max(1, last_step + 1), columns + 1)
    values = np.full((len(curves), columns), np.nan)
    for row, (name, curve) in enumerate(curves.items()):
        if len(curve):
            values[row] = curve.over(edges) * (factors or {}).get(name, 1.0)
    looked = np.isfinite(values).any(axis=0)
    if looked.any():
        held = np.maximum.accumulate(np.where(looked, np.arange(columns), -1))
        held[held < 0] = int(np.argmax(looked))
        # Behind the last look nothing is known: a run that broke off, or a part that was let go.
        values = np.where(
            np.arange(columns) <= int(np.flatnonzero(looked)[-1]) + _usual_gap(looked), values[:, held], np.nan
        )
    broken = {
        row: curve.first_nonfinite for row, curve in enumerate(curves.values()) if curve.first_nonfinite is not None
    }
    return Grid(list(curves), edges, values, broken)


def _usual_gap(looked: Column) -> int:
    """Columns that usually lie between two looks, less one."""
    gaps = np.diff(np.flatnonzero(looked))
    return int(np.median(gaps)) - 1 if len(gaps) else 0


def thinned(grid: Grid, keep: Collection[str] = (), most: int = MOST_ROWS) -> tuple[Grid, str]:
    """At most so many rows, evenly through the depth, and words for those that are left out.

    Those with the least and the greatest value, and those named in `keep`, stay.
    """
    count = len(grid.names)
    if count <= most:
        return grid, ""
    last = grid.last
    chosen = {row for row, name in enumerate(grid.names) if name in keep}
    if np.isfinite(last).any():
        chosen |= {int(np.nanargmin(last)), int(np.nanargmax(last))}
    chosen = set(sorted(chosen)[: most // 2])
    even = np.linspace(0, count - 1, most - len(chosen))
    chosen |= {round(place) for place in even}
    hidden = last[[row for row in range(count) if row not in chosen]]
    hidden = hidden[np.isfinite(hidden)]
    within = (
        f"; of the others the last values lie between {hidden.min():.3g} and {hidden.max():.3g}" if len(hidden) else ""
    )
    return grid.only(sorted(chosen)), f"{len(chosen)} of {count} are drawn, evenly through the depth{within}."


def height_of(rows: int, least: float = 0.6) -> float:
    """Inches that a map of so many rows is high."""
    return min(MOST_INCHES, max(least, ROW_INCHES * rows))


def draw_map(axes: Axes, grid: Grid, colours: str, low: float, high: float, *, logarithmic: bool = False) -> None:
    """The grid as coloured cells between `low` and `high`, with the names of its rows and a cross where one broke."""
    rows = len(grid.names)
    axes.imshow(
        painted(grid.values, colours, low, high, logarithmic=logarithmic),
        extent=(float(grid.edges[0]), float(grid.edges[-1]), rows - 0.5, -0.5),
        aspect="auto", interpolation="none", zorder=1,
    )  # fmt: skip
    axes.grid(visible=False)
    stride = max(1, -(-rows * NAMED_EVERY // height_of(rows)))
    named = list(range(0, rows, int(stride)))
    names = short_names(grid.names, 28)
    axes.set_yticks(named, [names[row] for row in named], fontsize=7 if stride == 1 else 6)
    axes.tick_params(axis="y", length=0)
    if grid.broken:
        axes.plot(list(grid.broken.values()), list(grid.broken), "x", color=BAD, markersize=4, clip_on=False)


def painted(values: Column, colours: str, low: float, high: float, *, logarithmic: bool = False) -> Column:
    """(..., 4) colours of the values: nothing where there is none, grey where it is exactly zero (on a logarithmic
    scale, which has no place for it)."""
    from matplotlib import colormaps

    with np.errstate(divide="ignore", invalid="ignore"):
        shown = np.log10(values) if logarithmic else values
        share = np.clip((shown - low) / ((high - low) or 1.0), 0, 1)
    found = np.asarray(colormaps[colours](np.where(np.isnan(values), 0.0, share)))
    if logarithmic:
        found[values == 0] = ZERO
    found[np.isnan(values)] = 0.0
    return np.asarray(np.round(found * 255), np.uint8)


def draw_bar(axes: Axes, colours: str, low: float, high: float, label: str, marked: Sequence[float] = ()) -> None:
    """The scale of the colours, upright, with a line at `marked`. Of a logarithmic one all values are log10."""
    column = np.linspace(low, high, 128)[:, None]
    axes.imshow(
        painted(column, colours, low, high), extent=(0, 1, low, high), aspect="auto", interpolation="none",
        origin="lower",
    )  # fmt: skip
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("right")
    axes.set_ylabel(label)
    axes.grid(visible=False)
    for value in marked:
        axes.axhline(value, color=INK, linewidth=0.8)


def powers(axes: Axes, low: float, high: float, inches: float) -> None:
    """Names the powers of ten on a scale of colours, so many inches high, that has log10 of them."""
    places = np.arange(np.ceil(low), np.floor(high) + 1, max(1, math.ceil((high - low) * 0.16 / inches)))
    axes.set_yticks(places, [power(10.0**place) for place in places])


def draw_profile(
    axes: Axes, lines: Sequence[tuple[str, Column, str]], divide: int, *, logarithmic: bool = False
) -> None:
    """Beside a map, its rows' values at a few times: a dot for each row, joined through the depth.

    Rows from `divide` on are of another kind, and a line of their own.
    """
    for label, values, colour in lines:
        shown = np.where((values > 0) | (not logarithmic), values, np.nan)
        for part in (slice(0, divide), slice(divide, None)):
            axes.plot(
                shown[part], np.arange(len(values))[part], color=colour, linewidth=1.0,
                label=None if part.start else label, marker="o" if len(values) <= 60 else "", markersize=2,
            )  # fmt: skip
    if logarithmic and any((values[np.isfinite(values)] > 0).any() for _, values, _ in lines):
        axes.set_xscale("log")
    axes.tick_params(axis="y", length=0, labelleft=False)
    axes.tick_params(axis="x", labelsize=6.5)


def stretch(values: Column, least: float, most: float) -> tuple[float, float]:
    """(low, high) in log10 that shows these values, at least `least` and at most `most` powers of ten.

    A few that explode in the end do not take the colours from all others: they are drawn as the highest.
    """
    positive: Any = np.log10(values[np.isfinite(values) & (values > 0)])
    if not len(positive):
        return -least, 0.0
    high = min(float(positive.max()), float(np.quantile(positive, 0.9)) + 3.0)
    low = max(float(np.quantile(positive, 0.01)), high - most)
    return min(low, high - least), high
