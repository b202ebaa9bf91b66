"""Small pictures over steps beside each other, drawn in one set of axes.

A set of axes for each would have them measured and laid out by matplotlib, which takes most of the time of a report
that has dozens of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..gathering.curves import Column
from .distributions import round_between
from .figures import FAINT, GRID, INK, WIDTH, new_figure
from .lines import short_step, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 4
LEFT, RIGHT, ABOVE, BELOW, HEIGHT = 0.44, 0.06, 0.2, 0.2, 0.72
"""Inches around and of a picture: words at its left, its name above, steps below."""
MOST_LETTERS = 25


class Strips:
    """A sheet with room for so many pictures. Its units are inches, from the upper left."""

    def __init__(self, count: int, end: float) -> None:
        """`end` is the step behind the last."""
        self._columns = min(COLUMNS, count)
        rows = -(-count // self._columns)
        self._width = WIDTH / COLUMNS
        self._end = end
        self._count = count
        size = self._width * self._columns, rows * (ABOVE + HEIGHT + BELOW) + 0.16
        self.figure: Figure
        self._axes: Axes
        self.figure, self._axes = new_figure(*size)
        self.figure.set_layout_engine("none")
        self._axes.set_position((0, 0, 1, 1))
        self._axes.set_axis_off()
        self._axes.set(xlim=(0, size[0]), ylim=(size[1], 0), autoscale_on=False)
        self._used = 0

    def add(self, name: str, low: float, high: float) -> Strip:
        """The next picture, of values from `low` to `high`; of a long name the middle is left out."""
        row, column = divmod(self._used, self._columns)
        left, top = column * self._width + LEFT, row * (ABOVE + HEIGHT + BELOW) + ABOVE
        box = left, (column + 1) * self._width - RIGHT, top + HEIGHT, top
        is_lowest = self._used + self._columns >= self._count
        self._used += 1
        strip = Strip(self._axes, box, self._end, low, high)
        strip.frame(name, is_lowest=is_lowest)
        return strip


class Strip:
    """One picture: from steps and values to its place on the sheet."""

    def __init__(self, axes: Axes, box: tuple[float, float, float, float], end: float, low: float, high: float) -> None:
        """`box` is left, right, bottom, top."""
        self._axes = axes
        self._box = box
        self._end = end
        self._low, self._high = low, high

    def frame(self, name: str, *, is_lowest: bool) -> None:
        """The name above and the steps below; what they are stands under the lowest ones."""
        left, right, bottom, top = self._box
        self._write(left, top - 0.04, shortened(name, MOST_LETTERS), size=7, color=INK, va="bottom")
        self._axes.plot([left, right], [bottom, bottom], color=GRID, linewidth=0.8)
        for step in round_between(0.0, self._end, most=3):
            x = self._x(np.array([step]))[0]
            self._axes.plot([x, x], [bottom, bottom + 0.03], color=GRID, linewidth=0.8)
            where = "right" if x > right - 0.08 else "center"  # or it would leave the sheet
            self._write(x, bottom + 0.05, short_step(step), size=6.5, ha=where, va="top")
        if is_lowest:
            self._write((left + right) / 2, bottom + 0.17, "step", size=6.5, ha="center", va="top")

    def ticks(self, places: Sequence[float], words: Sequence[str]) -> None:
        """Words at the left, at these values."""
        for place, text in zip(places, words, strict=True):
            y = float(self._y(np.array([place]))[0])
            self._axes.plot([self._box[0] - 0.03, self._box[0]], [y, y], color=GRID, linewidth=0.8)
            self._write(self._box[0] - 0.05, y, text, size=6.5, ha="right", va="center")

    def image(self, colours: Column) -> None:
        """(rows, columns, 4) colours that fill it, the lowest row first."""
        left, right, bottom, top = self._box
        self._axes.imshow(
            colours, extent=(left, right, bottom, top), aspect="auto", interpolation="none", origin="lower"
        )

    def line(self, steps: Column, values: Column, **style: Any) -> None:
        """A line that holds each value until the next step, and the last one to the end."""
        x, y = self._x(np.append(steps, self._end)), self._y(np.append(values, values[-1]))
        self._axes.plot(x, np.clip(y, self._box[3], self._box[2]), drawstyle="steps-post", **style)

    def note(self, text: str) -> None:
        """A word above, at the right."""
        self._write(self._box[1], self._box[3] - 0.04, text, size=6, ha="right", va="bottom")

    def _x(self, steps: Column) -> Column:
        left, right, *_ = self._box
        return np.asarray(left + (right - left) * steps / self._end)

    def _y(self, values: Column) -> Column:
        *_, bottom, top = self._box
        return np.asarray(bottom + (top - bottom) * (values - self._low) / ((self._high - self._low) or 1.0))

    def _write(self, x: float, y: float, text: str, size: float, **style: Any) -> None:
        self._axes.text(x, y, text, fontsize=size, **{"color": FAINT, **style})
