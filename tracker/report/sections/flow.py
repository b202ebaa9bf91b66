"""How the gradient flows through the depth, and how far each step moves each parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...rules.engine.signals import GRAD_NORM, LOSS, UPDATE_RATIO
from ..blocks import Block, Plot, Section, Table
from ..drawing.figures import FAINT, SERIES, WIDTH, as_svg, new_figure
from ..drawing.heatmaps import (
    Grid,
    draw_bar,
    draw_map,
    draw_profile,
    gridded,
    height_of,
    powers,
    stretch,
    thinned,
)
from ..drawing.lines import draw_curve, number, set_scale, short_names, shortened, worth_seeing
from ..drawing.timeline import Mark, draw_time, epoch_spans, marks_of, said_of
from ..gathering.curves import Column, Curve
from ..gathering.depth import in_depth, is_vector, named_by_findings, sizes_of
from ..gathering.gathered import Gathered
from ..gathering.sources import Source

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_TOGETHER = 30
"""Parameters that are drawn with biases and scales below the weights; with more, these are left out."""
RATIO, BAND = 1e-3, (1e-4, 1e-2)
"""Share of its size by which a step moves a weight where training goes well, as a rule of thumb, and what is usual
around it. Source: Karpathy, "Building makemore, part 3" (2022)."""
_LEAST_INCHES = 1.0
"""Height of a map of few rows: words stand at its scale."""
_DECADES_OF_GRADIENTS = 2.0, 10.0
_DECADES_AROUND = 2.0, 5.0
"""Powers of ten to each side of `RATIO` that the colours span, at least and at most."""


def sections(source: Source) -> Sequence[Section]:
    """One with a map for the gradients and one for the updates, as far as they were measured."""
    blocks = [*_gradients(source), *_ratios(source)]
    return [Section("flow", "Gradient flow and updates", blocks)] if blocks else []


def _chosen(gathered: Gathered, signal: str) -> tuple[dict[str, Curve], int, str]:
    """Curves by parameter, weights in the order of the model and then, if there is room, vectors; how many weights
    there are, and words for what is left out."""
    every = {
        name: curve
        for name, curve in gathered.curves.get(signal, {}).items()
        if name and (len(curve) or curve.first_nonfinite is not None)
    }
    names = in_depth(gathered, every)
    weights = [name for name in names if not is_vector(gathered, name)] or names
    vectors = [name for name in names if name not in set(weights)]
    if len(names) > MOST_TOGETHER and vectors:
        return {name: every[name] for name in weights}, len(weights), f"{len(vectors)} biases and scales are left out. "
    return {name: every[name] for name in (*weights, *vectors)}, len(weights), ""


# -- gradients -------------------------------------------------------------------------------------------------------


def _gradients(source: Source) -> list[Block]:
    gathered = source.gathered
    curves, weights, left = _chosen(gathered, GRAD_NORM.name)
    if not curves:
        return []
    sizes = sizes_of(gathered)
    is_each = all(name in sizes for name in curves)
    factors = {name: 1 / sizes[name] ** 0.5 for name in curves} if is_each else {}
    end = _end(gathered)
    whole = gridded(curves, end, factors)
    grid, fewer = thinned(whole, named_by_findings(source))
    total = gathered.curve(GRAD_NORM.name)
    low, high = stretch(grid.values, *_DECADES_OF_GRADIENTS)
    frame = _frame(len(grid.names), has_total=total is not None)
    if total is not None and frame.above is not None:
        draw_curve(frame.above, total, SERIES[0])
        set_scale(frame.above, [total.lows, total.highs])
        frame.above.set_ylabel("whole\ngradient")
    draw_map(frame.map, grid, "viridis", low, high, logarithmic=True)
    draw_bar(frame.scale, "viridis", low, high, "per element (RMS)" if is_each else "norm")
    powers(frame.scale, low, high, height_of(len(grid.names), _LEAST_INCHES))
    marks = _finish(source, frame, grid, curves, weights, factors, end)
    what = "Gradient per element (its norm over the root of its size)" if is_each else "Gradient norm"
    told = f"{what} of {len(whole.names)} parameters{extremes(whole, weights)} {left}{fewer}"
    says = f"{told.strip()}{_broken(whole)}{said_of(marks)}"
    title = "Gradient flow: size of the gradient, parameter by step" + (", per element" if is_each else "")
    data = _table(
        whole, ("gradient per element" if is_each else "gradient norm"), np.argsort(whole.last, kind="stable")
    )
    return [Plot(as_svg(frame.figure, says, "flow"), title, says, data)]


def extremes(grid: Grid, weights: int) -> str:
    """Least and greatest of the last values, and how they lie through the depth."""
    last = grid.last[:weights]
    known = np.flatnonzero(np.isfinite(last))
    if not len(known):
        return ": none was a number."
    low, high = int(known[np.argmin(last[known])]), int(known[np.argmax(last[known])])
    zeros = int((last[known] == 0).sum())
    if zeros == len(known):
        return f": at the end all {zeros} weights got exactly zero."
    names = short_names(grid.names, 40)
    text = (": at last between " if grid.broken else ": at the end between ") + " and ".join(
        f"{number(last[row])} ({names[row]})" for row in (low, high)
    )
    if zeros:
        return f"{text}; {zeros} of {len(known)} weights got exactly zero."
    first, end = float(last[known[0]]), float(last[known[-1]])
    return f"{text}; the first layer's is {number(first / end)} times the last layer's."


# -- update ratios ---------------------------------------------------------------------------------------------------


def _ratios(source: Source) -> list[Block]:
    gathered = source.gathered
    curves, weights, left = _chosen(gathered, UPDATE_RATIO.name)
    if not curves:
        return []
    end = _end(gathered)
    whole = gridded(curves, end)
    grid, fewer = thinned(whole, named_by_findings(source))
    middle = np.log10(RATIO)
    found = grid.values[np.isfinite(grid.values) & (grid.values > 0)]
    away = float(np.quantile(np.abs(np.log10(found) - middle), 0.98)) if len(found) else 0.0
    reach = min(max(away, _DECADES_AROUND[0]), _DECADES_AROUND[1])
    low, high = middle - reach, middle + reach
    frame = _frame(len(grid.names), has_total=False)
    draw_map(frame.map, grid, "RdBu_r", low, high, logarithmic=True)
    draw_bar(frame.scale, "RdBu_r", low, high, "update / weight", [middle])
    powers(frame.scale, low, high, height_of(len(grid.names), _LEAST_INCHES))
    for edge in BAND:
        frame.scale.axhline(np.log10(edge), color=FAINT, linewidth=0.8, linestyle=(0, (2, 1)))
    frame.side.axvspan(*BAND, color=FAINT, alpha=0.12, linewidth=0)
    frame.side.axvline(RATIO, color=FAINT, linewidth=0.9, linestyle=(0, (4, 2)))
    marks = _finish(source, frame, grid, curves, weights, {}, end)
    says = (
        "Norm of each step's change over the norm of the parameter; white is 1e-3, red moves faster, blue slower. "
        + f"{_outside(whole, weights)} {left}{fewer}".strip()
        + f"{_broken(whole)}{said_of(marks)}"
    )
    last = whole.last
    with np.errstate(divide="ignore", invalid="ignore"):
        order = np.argsort(-np.abs(np.log10(last) - middle), kind="stable")
    data = _table(whole, "update ratio", order)
    return [Plot(as_svg(frame.figure, says, "updates"), "Update ratio, parameter by step, against 1e-3", says, data)]


def _outside(grid: Grid, weights: int) -> str:
    last = grid.last[:weights]
    known = last[np.isfinite(last)]
    if not len(known):
        return "None was a number at the end."
    slow, fast = int((known < BAND[0]).sum()), int((known > BAND[1]).sum())
    return (
        f"At the end the middle one of {len(known)} weights moves by {number(float(np.median(known)))}; "
        f"{slow} below 1e-4, {fast} above 1e-2."
    )


# -- what both have --------------------------------------------------------------------------------------------------


class _Frame(NamedTuple):
    figure: Figure
    map: Axes
    side: Axes
    """Beside the map: its rows at a few times."""
    scale: Axes
    words: Axes
    """Above `side`, without axes."""
    above: Axes | None
    """A curve above the map, on its steps."""


def _end(gathered: Gathered) -> int:
    """The last step that is drawn: both maps have the same steps."""
    gradients = gathered.curves.get(GRAD_NORM.name, {}).values()
    losses = gathered.curves.get(LOSS.name, {}).values()
    return int(worth_seeing([*gradients, *losses], gathered.last_step))


def _frame(rows: int, *, has_total: bool) -> _Frame:
    """A figure with room for a map of so many rows and what belongs to it."""
    heights = [1.0 if has_total else 0.12, height_of(rows, _LEAST_INCHES)]
    figure, grid = new_figure(
        WIDTH, sum(heights) + 0.75, nrows=2, ncols=3, squeeze=False, sharex="col",
        gridspec_kw={"height_ratios": heights, "width_ratios": [20, 5.5, 0.45]},
    )  # fmt: skip
    grid[0, 2].remove()
    grid[0, 1].axis("off")
    if not has_total:
        grid[0, 0].axis("off")
    grid[1, 1].sharey(grid[1, 0])
    return _Frame(figure, grid[1, 0], grid[1, 1], grid[1, 2], grid[0, 1], grid[0, 0] if has_total else None)


def _finish(
    source: Source,
    frame: _Frame,
    grid: Grid,
    curves: Mapping[str, Curve],
    weights: int,
    factors: Mapping[str, float],
    end: int,
) -> list[Mark]:
    """The profile beside the map, a line between weights and what stands below them, and what happened when."""
    above = set(list(curves)[:weights])
    count = sum(name in above for name in grid.names)
    for axes in (frame.map, frame.side) if 0 < count < len(grid.names) else ():
        axes.axhline(count - 0.5, color=FAINT, linewidth=1.0)
    draw_profile(frame.side, _times(source, curves, grid, factors), count, logarithmic=True)
    legend = frame.words.legend(
        *frame.side.get_legend_handles_labels(), loc="lower right", borderpad=0, borderaxespad=0,
        ncols=3 if frame.above is None else 1, handlelength=1.2,
    )  # fmt: skip
    legend.set_in_layout(False)
    frame.map.set_xlim(0, end + 1)
    marks = [mark for mark in marks_of(source) if mark.step <= end + 1]
    draw_time([one for one in (frame.above, frame.map) if one is not None], source, marks)
    return marks


def _times(
    source: Source, curves: Mapping[str, Curve], grid: Grid, factors: Mapping[str, float]
) -> list[tuple[str, Column, str]]:
    """The values in the first, the middle and the last epoch; of a run without three, its first, middle, last tenth."""
    spans = epoch_spans(source.gathered)
    if len(spans) >= 3:
        places = [0, (len(spans) - 1) // 2, len(spans) - 1]
        parts = [(f"epoch {place + 1}", *spans[place]) for place in places]
    else:
        last = source.gathered.last_step
        tenth = max(1, last // 10)
        middle = max(tenth, last // 2 - tenth // 2)
        parts = [("start", 0, tenth), ("middle", middle, middle + tenth), ("end", max(0, last - tenth), last)]
    lines: list[tuple[str, Column, str]] = []
    for (label, first, end), colour in zip(parts, (SERIES[1], SERIES[3], SERIES[0]), strict=True):
        values = np.array(
            [
                _between(curves[name], first, end) * factors.get(name, 1.0) if len(curves[name]) else np.nan
                for name in grid.names
            ]
        )
        if np.isfinite(values).any():
            lines.append((label, values, colour))
    return lines


def _between(curve: Curve, first: int, last: int) -> float:
    """Mean of what was measured from `first` to `last`, or what was measured nearest, if no further away than that."""
    steps, means = curve.steps, curve.means
    inside = (steps >= first) & (steps <= last)
    if inside.any():
        return float(means[inside].mean())
    away = np.abs(steps - (first + last) / 2)
    return float(means[int(np.argmin(away))]) if away.min() <= max(last + 1 - first, curve.width) else np.nan


def _broken(grid: Grid) -> str:
    if not grid.broken:
        return ""
    row = min(grid.broken, key=lambda one: grid.broken[one])
    return (
        f" Crosses: {len(grid.broken)} had values that were not finite, {shortened(grid.names[row])} first, "
        f"at step {grid.broken[row]:,}."
    )


def _table(grid: Grid, what: str, order: Column) -> Table:
    """The last values, those first that stand out."""
    last = grid.last
    rows = []
    for row in [int(one) for one in order][:30]:
        values = grid.values[row][np.isfinite(grid.values[row])]
        if len(values):
            rows.append(
                [grid.names[row], number(values[0]), number(values.min()), number(values.max()), number(last[row])]
            )
    some = f", {len(rows)} of {len(grid.names)}" if len(rows) < len(grid.names) else ""
    return Table(
        ["parameter", "first", "least", "most", "last"], rows, caption=f"{what.capitalize()}, over the run",
        folded=f"The numbers{some}", numeric=frozenset({1, 2, 3, 4}),
    )  # fmt: skip
