"""Units that say nothing: zero for every sample of a batch, or where their activation is flat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...rules.engine.signals import DEAD, SATURATED, SATURATION, Signal
from ..blocks import Block, Plot, Section, Table, Text
from ..drawing.figures import INK, WIDTH, as_svg, new_figure
from ..drawing.heatmaps import Grid, draw_bar, draw_map, gridded, height_of
from ..drawing.lines import short_names
from ..drawing.timeline import draw_time, marks_of, said_of
from ..gathering.sources import Source

MOST_ROWS = 40
WORTH = 0.005
"""A share that a layer must have had for a row of its own."""
_KINDS = (
    (DEAD, "Dead units", "share of units that are zero for every sample of the batch"),
    (SATURATED, "Saturated units", "share of units that are saturated for every sample of the batch"),
    (SATURATION, "Saturated values", "share of an activation's values that lie where it is flat"),
)


def sections(source: Source) -> Sequence[Section]:
    """One, where outputs of activations were looked at."""
    blocks = [block for kind in _KINDS for block in _kind(source, *kind)]
    return [Section("units", "Dead and saturated units", blocks)] if blocks else []


def _kind(source: Source, signal: Signal, title: str, what: str) -> list[Block]:
    curves = source.gathered.subjects(signal.name)
    if not curves:
        return []
    grid = gridded(curves, source.gathered.last_step)
    worst = np.nan_to_num(np.nanmax(grid.values, axis=1))
    last = np.nan_to_num(grid.last)
    order = sorted(range(len(worst)), key=lambda row: (-last[row], -worst[row]))
    shown = [row for row in order if worst[row] >= WORTH][:MOST_ROWS]
    if not shown:
        layers = "the one layer" if len(curves) == 1 else f"all {len(curves)} layers"
        return [Text((f"{title}: at most {worst.max():.1%} at any time in {layers} looked at.",), "muted")]
    return [_plot(source, signal, (title, what), grid, order, shown)]


def _plot(
    source: Source, signal: Signal, words: tuple[str, str], grid: Grid, order: Sequence[int], shown: Sequence[int]
) -> Plot:
    title, what = words
    drawn = grid.only(shown)
    figure, axes = new_figure(
        WIDTH, height_of(len(shown)) + 0.75, ncols=2, squeeze=False, gridspec_kw={"width_ratios": [25, 0.45]}
    )
    draw_map(axes[0, 0], drawn, "viridis", 0.0, 1.0)
    for row, share in enumerate(drawn.last):
        if np.isfinite(share):
            axes[0, 0].annotate(
                f"{share:.0%}", (1.0, row), xycoords=("axes fraction", "data"), xytext=(3, 0),
                textcoords="offset points", fontsize=7, color=INK, va="center",
            )  # fmt: skip
    draw_bar(axes[0, 1], "viridis", 0.0, 1.0, "share")
    marks = marks_of(source)
    draw_time([axes[0, 0]], source, marks)
    last = grid.last
    top = order[0]
    many = int((np.nan_to_num(last) > 0.5).sum())
    least = len(grid.names) - len(shown)
    says = (
        f"{what[0].upper()}{what[1:]}: at the end most in {short_names(grid.names, 40)[top]} ({last[top]:.1%}); "
        f"in {many} of {len(grid.names)} layers more than half."
        + (f" Layers that are not drawn: {least}, at most {_most_of(grid, shown):.1%} at any time." if least else "")
        + said_of(marks)
    )
    rows = []
    for row in list(order)[:30]:
        values = grid.values[row][np.isfinite(grid.values[row])]
        if len(values):
            rows.append([grid.names[row], *(f"{share:.1%}" for share in (values[0], values.max(), last[row]))])
    some = f", {len(rows)} of {len(grid.names)} layers" if len(rows) < len(grid.names) else ""
    data = Table(["layer", "first", "most", "last"], rows, folded=f"The numbers{some}", numeric=frozenset({1, 2, 3}))
    return Plot(as_svg(figure, says, f"units-{signal.name}"), f"{title}: {what}, by step", says, data)


def _most_of(grid: Grid, shown: Sequence[int]) -> float:
    rest = np.delete(grid.values, list(shown), axis=0)
    return float(np.nanmax(rest)) if np.isfinite(rest).any() else 0.0
