"""Draws what is known of classes: who is taken for whom, recall over the evaluations, how frequent each one is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..drawing.figures import BAD, FAINT, GOOD, GRID, INK, SERIES, new_figure
from .confusions import Confusion
from .names import ClassNames

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_WITH_NUMBERS = 15
"""Classes up to which the cells of a matrix have their counts written in them."""
MOST_LINES = 10
"""Classes up to which recall is drawn as lines; of more, as a heat map."""
MOST_ROWS = 30
"""Classes that a heat map or bars show: the worst ones, where there are more."""
_NAMED = 3
"""Lines that have a colour and a name: those that end lowest."""
_LETTER = 4.8
"""Points that a letter of a label takes, about."""
_LEVELS = 12
_FULL, _FULL_BARE = 0.55, 0.95
"""Opacity of a cell that has all of its row: light enough to read a number in it, or of one without a number."""


def matrix_figure(confusion: Confusion, names: ClassNames) -> Figure:
    """Rows are true classes; green on the diagonal and red beside it, the stronger, the larger the share of the row."""
    n = confusion.classes
    figure, axes = new_figure(3.7, 3.5)
    axes.set(xlim=(0, n), ylim=(n, 0), aspect="equal", xlabel="predicted", ylabel="true")
    axes.grid(False)
    shares = confusion.shares
    is_right = np.eye(n, dtype=bool)
    # The square root makes what is rare visible: one in a hundred has a tenth of the colour.
    level = np.ceil(np.sqrt(shares) * _LEVELS).astype(int)
    full = _FULL if n <= MOST_WITH_NUMBERS else _FULL_BARE
    for colour, where in ((GOOD, is_right), (BAD, ~is_right)):
        for one in range(1, _LEVELS + 1):
            _fill(axes, np.argwhere(where & (level == one)), colour, full * one / _LEVELS)
    if n <= MOST_WITH_NUMBERS:
        _write_counts(axes, confusion.counts)
    stride = -(-n // MOST_WITH_NUMBERS)
    ticks = range(0, n, stride)
    labels = [names(one, 9) for one in ticks]
    is_long = max(map(len, labels)) > 2
    axes.set_xticks([one + 0.5 for one in ticks], labels, rotation=90 if is_long else 0)
    axes.set_yticks([one + 0.5 for one in ticks], labels)
    axes.tick_params(length=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(True)
    letters = max(map(len, labels))
    _place(figure, axes, left=18 + _LETTER * letters, bottom=20 + (_LETTER * letters if is_long else 8))
    return figure


def _place(figure: Figure, axes: Axes, left: float, bottom: float, right: float = 6, top: float = 6) -> None:
    """Puts the axes into the figure, with so many points around them: measuring each letter takes half the time."""
    width, height = (72 * size for size in figure.get_size_inches())
    figure.set_layout_engine("none")
    axes.set_position((left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height))


def _fill(axes: Axes, cells: Any, colour: str, opacity: float) -> None:
    """All cells of one colour as one path: a matrix of 30 classes stays small."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if not len(cells):
        return
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]])
    points = (cells[:, None, ::-1] + corners).reshape(-1, 2).astype(float)
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY] * len(cells)
    axes.add_patch(PathPatch(Path(points, codes), facecolor=colour, alpha=opacity, linewidth=0))


def _write_counts(axes: Axes, counts: Any) -> None:
    written = {(int(row), int(column)): _short(float(counts[row, column])) for row, column in np.argwhere(counts > 0)}
    longest = max(map(len, written.values()), default=1)
    size = min(8.0, 190 / len(counts) / (0.66 * max(longest, 2)))
    for (row, column), text in written.items():
        axes.text(column + 0.5, row + 0.53, text, ha="center", va="center", fontsize=size, color=INK)


def _short(count: float) -> str:
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if count >= unit:
            return f"{count / (1e3 if letter == 'k' else unit):.0f}{letter}"
    return f"{count:.0f}"


def recall_figure(recalls: Mapping[str, tuple[Any, Any]], names: ClassNames, ends: Sequence[int], unit: str) -> Figure:
    """Recall of each class, (steps, values) by class, lowest at the end first."""
    if len(recalls) <= MOST_LINES:
        return _recall_lines(recalls, names, ends, unit)
    return _recall_heat(recalls, names, unit)


def _recall_lines(recalls: Mapping[str, tuple[Any, Any]], names: ClassNames, ends: Sequence[int], unit: str) -> Figure:
    from ..drawing.figures import mark_epochs

    figure, axes = new_figure()
    lowest = list(recalls)[:_NAMED]
    ends_at = []
    for number, (name, (steps, values)) in enumerate(recalls.items()):
        is_named = name in lowest
        colour = SERIES[number] if is_named else FAINT
        axes.plot(
            steps, values, color=colour, linewidth=1.8 if is_named else 0.8, alpha=1 if is_named else 0.6,
            marker="os^"[number] if is_named else None, markersize=3, zorder=3 if is_named else 2,
        )  # fmt: skip
        if is_named:
            ends_at.append((float(values[-1]), float(steps[-1]), colour, names(name, 16)))
    for place, (value, step, colour, text) in _apart(ends_at, 0.09):
        axes.annotate(
            f"{text}: {value:.2f}", (step, place), xytext=(5, 0), textcoords="offset points", color=colour,
            fontsize=7.5, va="center", annotation_clip=False,
        )  # fmt: skip
    mark_epochs(axes, list(ends))
    axes.set(ylim=(-0.03, 1.03), xlabel=unit, ylabel="recall")
    _place(figure, axes, left=36, bottom=30, right=12 + _LETTER * max(len(text) + 6 for *_, text in ends_at))
    return figure


def _apart(
    labels: Sequence[tuple[float, float, str, str]], least: float
) -> list[tuple[float, tuple[float, float, str, str]]]:
    """Heights for labels so that none covers another: each at its own, or as little above as is needed."""
    placed: list[tuple[float, tuple[float, float, str, str]]] = []
    for one in sorted(labels):
        height = one[0] if not placed else max(one[0], placed[-1][0] + least)
        placed.append((height, one))
    over = placed[-1][0] - 1.0 if placed else 0.0
    return [(height - max(over, 0.0), one) for height, one in placed]


def _recall_heat(recalls: Mapping[str, tuple[Any, Any]], names: ClassNames, unit: str) -> Figure:
    shown = list(recalls.items())[:MOST_ROWS]
    steps = np.unique(np.concatenate([steps for _, (steps, _) in shown]))
    picture = np.full((len(shown), len(steps)), np.nan)
    for row, (_, (at, values)) in enumerate(shown):
        picture[row, np.searchsorted(steps, at)] = values
    figure, axes = new_figure(height=1.1 + 0.14 * len(shown))
    drawn = axes.imshow(picture, aspect="auto", vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
    axes.grid(False)
    axes.set_yticks(range(len(shown)), [names(name, 16) for name, _ in shown])
    places = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), 9)).round().astype(int))
    axes.set_xticks(places, [f"{steps[one]:.0f}" for one in places])
    axes.set(xlabel=unit)
    axes.tick_params(length=0)
    bar = figure.colorbar(drawn, ax=axes, label="recall", pad=0.01, fraction=0.04)
    bar.outline.set_visible(False)
    return figure


def bars_figure(labels: Sequence[str], series: Sequence[tuple[str, Any]], word: str, unit: str) -> Figure:
    """Bars for each class, one beside the other for each series (its name, its values)."""
    n = len(labels)
    letters = max(map(len, labels))
    is_long = n > 20 or letters > 80 / n
    figure, axes = new_figure(height=2.4)
    width = 0.8 / len(series)
    for number, (name, values) in enumerate(series):
        places = np.arange(n) + (number - (len(series) - 1) / 2) * width
        colour = SERIES[number]
        axes.bar(places, np.nan_to_num(np.asarray(values, float)), width * 0.92, color=colour, label=name)
    axes.set_xticks(range(n), labels, rotation=90 if is_long else 0, fontsize=7.5 if n <= 20 else 6)
    axes.tick_params(axis="x", length=0)
    axes.grid(False, axis="x")
    axes.set(xlabel=word, ylabel=unit)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=len(series), borderaxespad=0.0)
    _place(figure, axes, left=42, bottom=22 + (_LETTER * letters if is_long else 8), top=18)
    return figure


def weights_figure(labels: Sequence[str], counts: Sequence[float], weights: Sequence[float]) -> Figure:
    """Weight of each class against how many labels it has, and the line on which a weight is one over the count."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    figure, axes = new_figure(3.7, 2.6)
    axes.set(xscale="log", yscale="log", xlabel="labels of the class", ylabel="its weight")
    x = np.array([min(counts), max(counts)], float)
    middle = float(np.exp(np.mean(np.log(np.asarray(counts) * np.asarray(weights)))))
    axes.plot(x, middle / x, color=GRID, linewidth=1.2, linestyle=(0, (4, 2)), label="one over the count")
    axes.plot(counts, weights, "o", color=SERIES[0], markersize=4)
    for label, count, weight in list(zip(labels, counts, weights, strict=True))[:MOST_WITH_NUMBERS]:
        axes.annotate(label, (count, weight), xytext=(4, 3), textcoords="offset points", fontsize=7, color=INK)
    for axis, values in ((axes.xaxis, counts), (axes.yaxis, weights)):
        low, high = float(min(values)), float(max(values))
        axis.set_major_locator(FixedLocator(list(dict.fromkeys([low, (low * high) ** 0.5, high]))))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
        axis.set_minor_locator(NullLocator())
    axes.margins(0.12)
    axes.legend(loc="lower left")
    return figure
