"""Draws what a rule looked at: its curves, the levels across them, and where the fault was found."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ...rules.engine.signals import LOSS
from ..blocks import Plot
from ..drawing.figures import BAD, FAINT, GOOD, INK, SERIES, WIDTH, as_svg, mark_epochs, new_figure
from ..drawing.lines import shortened
from ..gathering.curves import Column
from ..gathering.found import Found
from .evidence import Bar, Line, Panel
from .words import capital, count, numbers, says

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DECADES = 2.0
"""Powers of ten that values span beyond which their axis is logarithmic."""
FAR = 1.5
"""How many times the span of the values a level may be away from them and still be drawn."""
AWAY = 5.0
"""How many times the values a limit may be, or the other way round, and still be drawn on a linear axis."""
EARLY = 0.25
"""Share of the run below which what has curves is shown alone: a loss that ends early would be a dot otherwise."""
MOST_LETTERS = 24
"""Letters of the words beside a level."""
LEAST_PLACES = 8
"""Columns there is room for, however few there are."""


def draw(
    found: Found, panels: Sequence[Panel], epoch_ends: list[int], last_step: int, key: str, noticed: int | None = None
) -> Plot | None:
    """The picture of a finding, which was first said at step `noticed`; None where there is nothing to draw."""
    panels = [panel for panel in panels if panel.lines or panel.columns]
    if not panels:
        return None
    figure, grid = _new_figure(panels)
    left, right = _span_of(panels, last_step)
    for place, (axes, panel) in enumerate(zip(grid[:, 0], panels, strict=True)):
        if panel.columns:
            _columns(axes, panel)
            continue
        _lines(axes, panel, left, right)
        mark_epochs(axes, [end for end in epoch_ends if left <= end <= right])
        _mark(axes, found, noticed, panel, left, right, with_words=place == 0)
        axes.set_xlim(left, right)
        axes.set_ylabel(panel.title)
        axes.yaxis.set_label_coords(-0.5 / WIDTH * 1.25, 0.5)
        if place == len(panels) - 1 or panels[place + 1].columns:
            axes.set_xlabel("step" if right >= 0.9 * last_step else f"step (the first {right:.0f} of {last_step})")
        else:
            axes.tick_params(labelbottom=False)
    text = " ".join(says(found, panels))
    title = " and ".join(capital(panel.title) if not place else panel.title for place, panel in enumerate(panels))
    return Plot(as_svg(figure, text, key), title, text, data=numbers(panels))


def _new_figure(panels: Sequence[Panel]) -> tuple[Figure, Any]:
    """A row of axes for each panel, in places of our own: to measure all text first takes as long as drawing it."""
    height, below = 1.75 if len(panels) == 1 else 1.4, 0.42
    above = 0.08 + 0.16 * _legend_rows(panels[0])
    gaps = [0.14 + 0.34 * bool(one.columns) + 0.2 * _legend_rows(next_one) for one, next_one in pairwise(panels)]
    between = max(gaps, default=0.0)
    whole = above + below + len(panels) * height + (len(panels) - 1) * between
    figure, grid = new_figure(WIDTH, whole, nrows=len(panels), squeeze=False)
    figure.set_layout_engine(None)
    words = max((len(_words_of(bar)) for panel in panels for bar in panel.bars), default=0)
    figure.subplots_adjust(
        left=0.78 / WIDTH, right=1 - (0.12 + 0.062 * min(words, MOST_LETTERS)) / WIDTH, top=1 - above / whole,
        bottom=below / whole, hspace=between / height,
    )  # fmt: skip
    return figure, grid


def _legend_rows(panel: Panel) -> int:
    """Rows that the names of the lines take above their panel: one, two where they are long, none without names."""
    letters = [len(shortened(line.label)) + 6 for line in panel.subjects if line.label] + [22] * bool(panel.others)
    return min(len(letters), 1 + (sum(letters) > 80))


def _words_of(bar: Bar) -> str:
    return shortened(f"{bar.label} {bar.value:.4g}", MOST_LETTERS)


def _span_of(panels: Sequence[Panel], last_step: int) -> tuple[float, float]:
    """First and last step to show: the whole run, or as far as the curves go where that is a small part of it."""
    steps = [line.curve.steps for panel in panels for line in panel.lines]
    if not steps:
        return 0.0, float(max(1, last_step))
    first, last = min(float(one[0]) for one in steps), max(float(one[-1]) for one in steps)
    right = last + max(2.0, 0.15 * (last - first)) if last < EARLY * last_step else max(last, float(last_step))
    pad = 0.01 * (right - min(0.0, first))
    return min(0.0, first) - pad, right + pad


def _lines(axes: Axes, panel: Panel, left: float, right: float) -> None:
    for line in panel.others:
        axes.plot(*_points(line, right), color=FAINT, linewidth=0.7, alpha=0.55, drawstyle=_style(line))
    subjects = panel.subjects
    for number, line in enumerate(subjects):
        curve, colour = line.curve, _colour(panel, line, number)
        if float(np.max(curve.highs - curve.lows, initial=0.0)) > 0:
            axes.fill_between(curve.steps, curve.lows, curve.highs, color=colour, alpha=0.2, linewidth=0)
        marker = "o" if len(curve) <= 24 and not line.is_held else None
        axes.plot(*_points(line, right), color=colour, marker=marker, markersize=3, zorder=3, drawstyle=_style(line))
    _scale(axes, panel)
    _legend(axes, panel, subjects)


def _colour(panel: Panel, line: Line, number: int) -> str:
    """Training and held-out data have the colours they have in the rest of the page."""
    words = line.label or panel.title
    place = 0 if words.startswith("training") else 1 if words.startswith("held-out") else number
    return SERIES[place % len(SERIES)]


def _points(line: Line, right: float) -> tuple[Column, Column]:
    """Steps and values; what is measured where it changes holds until the end."""
    steps, values = line.curve.steps, line.curve.means
    if line.is_held and steps[-1] < right:
        return np.append(steps, right), np.append(values, values[-1])
    return steps, values


def _style(line: Line) -> Literal["steps-post", "default"]:
    return "steps-post" if line.is_held else "default"


def _scale(axes: Axes, panel: Panel) -> None:
    """A logarithmic axis where the values span powers of ten; levels that are near enough to be seen."""
    from matplotlib.ticker import NullLocator

    seen = [of for line in panel.subjects for of in (line.curve.lows, line.curve.highs)]
    values = np.concatenate([*seen, *(line.curve.means for line in panel.others)])
    # Of losses the first line tells: one that falls to nothing beside it must not hide how much it rises.
    telling = panel.lines[0].curve.means if LOSS in panel.unit else values
    positive = telling[telling > 0]
    has_zeros = bool((values == 0).any())
    levels = [bar.value for bar in panel.bars]
    limits = [bar.value for bar in panel.bars if bar.is_limit and bar.value > 0]
    is_log = len(positive) > 0 and not bool((values < 0).any()) and _spans_decades(positive, limits, has_zeros)
    if is_log:
        axes.set_yscale("log", nonpositive="clip")
        axes.yaxis.set_minor_locator(NullLocator())
        positive = values[values > 0]
        shown = [*positive.tolist(), *(level for level in levels if level > 0 and _is_near_log(level, positive))]
        low, high = min(shown), max(shown)
        pad = 10 ** (0.07 * math.log10(high / low))
        axes.set_ylim(low / (pad * pad if has_zeros else pad), high * pad)
    else:
        low, high = float(values.min()), float(values.max())
        span = max(high - low, 0.1 * max(abs(low), abs(high)), 1e-12)
        near = [bar.value for bar in panel.bars if low - FAR * span <= bar.value <= high + FAR * span]
        near += [bar.value for bar in panel.bars if bar.is_limit and 0 < low / AWAY <= bar.value <= high * AWAY]
        low, high = min(low, *near) if near else low, max(high, *near) if near else high
        pad = 0.08 * max(high - low, span)
        axes.set_ylim(low - pad, high + pad)
    _levels(axes, panel.bars, panel.subjects)


def _spans_decades(positive: Column, limits: Sequence[float], has_zeros: bool) -> bool:
    """Whether the values span powers of ten, or lie that far from what they were held against."""
    low, high = float(positive.min()), float(positive.max())
    if math.log10(high / low) > DECADES:
        return True
    return not has_zeros and any(
        _is_near_log(limit, positive) and not low / AWAY <= limit <= high * AWAY for limit in limits
    )


def _is_near_log(level: float, values: Column) -> bool:
    return bool(float(values.min()) / 1e4 <= level <= float(values.max()) * 1e4)


def _is_flat_at(line: Line, level: float) -> bool:
    return math.isclose(float(line.curve.lows.min()), level) and math.isclose(float(line.curve.highs.max()), level)


def _levels(axes: Axes, bars: Iterable[Bar], lines: Sequence[Line]) -> None:
    """Lines across the axes, with their words beside them, moved apart where they would meet."""
    low, high = axes.get_ylim()
    bars = [bar for bar in bars if bar.is_limit or not any(_is_flat_at(line, bar.value) for line in lines)]
    inside = sorted((bar for bar in bars if low <= bar.value <= high), key=lambda bar: bar.value)
    places: list[float] = []
    for bar in inside:
        at = float(axes.transAxes.inverted().transform(axes.transData.transform((0, bar.value)))[1])
        places.append(max(at, places[-1] + 0.11) if places else at)
    excess = max(0.0, places[-1] - 1.0) if places else 0.0
    for bar, place in zip(inside, places, strict=True):
        colour = BAD if bar.is_limit else INK
        axes.axhline(bar.value, color=colour, linewidth=0.9, linestyle=(0, (5, 3)) if bar.is_limit else (0, (1, 2)))
        axes.annotate(
            _words_of(bar), (1.0, place - excess), xycoords="axes fraction", xytext=(4, 0),
            textcoords="offset points", color=colour, fontsize=7, va="center", annotation_clip=False,
        )  # fmt: skip


def _legend(axes: Axes, panel: Panel, subjects: Sequence[Line]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=_colour(panel, line, number), label=shortened(line.label))
        for number, line in enumerate(subjects)
        if line.label
    ]
    if panel.others:
        handles.append(Line2D([], [], color=FAINT, linewidth=0.7, label=f"{count(len(panel.others))}, to compare"))
    if handles:
        columns = -(-len(handles) // _legend_rows(panel))
        axes.legend(
            handles=handles, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns, borderaxespad=0.1,
            columnspacing=1.2,
        )  # fmt: skip


def _mark(
    axes: Axes, found: Found, noticed: int | None, panel: Panel, left: float, right: float, *, with_words: bool
) -> None:
    """Where the fault was found and how long it lasted, where it went, and where values ceased to be finite."""
    lost = [line.curve.first_nonfinite for line in panel.subjects if line.curve.first_nonfinite is not None]
    first = found.first_step
    until = found.resolved_at if found.resolved_at is not None else found.last_step
    is_all = first is not None and until is not None and until - first > 0.95 * (right - left)
    if first is not None and until is not None and until > first and not is_all:
        axes.axvspan(max(first, left), min(until, right), color=BAD, alpha=0.07, linewidth=0, zorder=0)
    marks: dict[int, tuple[str, str]] = {}
    if first is not None:
        began = noticed is not None and noticed - first > 0.02 * (right - left)
        marks[first] = ("from here" if began else "found", BAD)
        if began and noticed is not None:
            marks[noticed] = ("noticed", FAINT)
    if found.resolved_at is not None:
        marks[found.resolved_at] = (f"gone, step {found.resolved_at}", GOOD)
    for step in lost[:1]:
        also = marks.get(step)
        marks[step] = ("found: not finite from here" if also else "not finite from here", BAD)
    inside = sorted((step, *mark) for step, mark in marks.items() if left <= step <= right)
    before = -math.inf
    for number, (step, words, colour) in enumerate(inside):
        axes.axvline(step, color=colour, linewidth=1.0, linestyle=(0, (4, 2)))
        if with_words:
            is_late = step > left + 0.75 * (right - left)
            down = 11 * number if step - before < 0.3 * (right - left) else 2
            before = step
            axes.annotate(
                words if "step" in words else f"{words}, step {step}", (step, 1.0), xycoords=("data", "axes fraction"),
                xytext=(-3 if is_late else 3, -down), textcoords="offset points", color=colour, fontsize=7, va="top",
                ha="right" if is_late else "left",
            )  # fmt: skip


def _columns(axes: Axes, panel: Panel) -> None:
    columns = panel.columns
    colours = [SERIES[1] if column.is_subject else SERIES[0] for column in columns]
    places = range(len(columns))
    axes.bar(places, [column.value for column in columns], color=colours, width=0.7)
    axes.set_xlim(-0.8, max(len(columns), LEAST_PLACES) - 0.2)
    axes.set_xticks(list(places), [shortened(column.label, 12) for column in columns])
    if max(len(column.label) for column in columns) * len(columns) > 90:
        axes.tick_params(axis="x", labelrotation=90)
    axes.set_ylabel(panel.title)
    axes.set_xlabel("class")
    axes.grid(axis="x", visible=False)
    _levels(axes, [bar for bar in panel.bars if bar.is_limit], ())
