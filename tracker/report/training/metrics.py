"""The user's own metrics: those of training and held-out data in one panel, small panels beside each other."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import numpy as np

from ...rules.engine.signals import METRIC, METRIC_IN_MLFLOW
from ..blocks import Block, Plot, Table
from ..drawing.figures import WIDTH, as_svg, new_figure
from ..drawing.lines import (
    colour_of,
    draw_curve,
    few_steps,
    mark_nonfinite,
    number,
    place_legend,
    said_of_curve,
    set_scale,
    shortened,
)
from ..gathering.curves import Curve
from ..gathering.gathered import Gathered
from ..gathering.sources import Source

MOST_PANELS = 12
COLUMNS = 3
MOST_LINES = 4
"""Lines in one panel."""
MOST_ROWS = 60
"""Metrics in the table of those that are not drawn."""
_TRAINING = frozenset({"train", "training"})
_HELD_OUT = frozenset({"val", "valid", "validation", "eval", "evaluation", "dev", "test"})


def user_metrics(gathered: Gathered) -> dict[str, Curve]:
    """Curves of the user's metrics, by key, in the order in which they came."""
    return {**gathered.curves.get(METRIC_IN_MLFLOW.name, {}), **gathered.curves.get(METRIC.name, {})}


def metric_plots(source: Source, drawn: Collection[str] = ()) -> list[Block]:
    """A picture of small panels, and a table of what has one value only or no room; `drawn` stand elsewhere."""
    shown, rest = arranged({key: curve for key, curve in user_metrics(source.gathered).items() if key not in drawn})
    blocks: list[Block] = [_plot(shown)] if shown else []
    if rest:
        blocks.append(_table(rest, bool(shown)))
    return blocks


def arranged(curves: Mapping[str, Curve]) -> tuple[list[dict[str, Curve]], dict[str, Curve]]:
    """Panels with the curves of one topic each, those of several first; and the curves that have none."""
    topics: dict[str, dict[str, Curve]] = {}
    for key, curve in curves.items():
        if len(curve) > 1:
            topics.setdefault(topic_of(key), {})[key] = curve
    chosen = sorted(topics.values(), key=lambda panel: len(panel) == 1)[:MOST_PANELS]
    panels = [dict(list(panel.items())[:MOST_LINES]) for panel in chosen]
    drawn = {key for panel in panels for key in panel}
    return panels, {key: curve for key, curve in curves.items() if key not in drawn}


def is_held_out(key: str) -> bool:
    """Whether the key names data that is not trained on."""
    return not _HELD_OUT.isdisjoint(_words(key))


def topic_of(key: str) -> str:
    """The key without the words that name a part of the data: `val/f1` and `train_f1` are both about `f1`."""
    return " ".join(word for word in _words(key) if word not in _HELD_OUT | _TRAINING) or key


def _words(key: str) -> list[str]:
    return [word for word in re.split(r"[/_.\-\s]+", key.lower()) if word]


def _plot(panels: list[dict[str, Curve]]) -> Plot:
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure, grid = new_figure(WIDTH, 0.2 + 1.55 * rows, nrows=rows, ncols=columns, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    said = []
    for axes, panel in zip(grid.flat, panels, strict=False):
        for place, (key, curve) in enumerate(sorted(panel.items(), key=lambda one: is_held_out(one[0]))):
            # Held-out data has the colour that it has above, also where it is alone beside something else.
            first = 1 if len(panel) > 1 and all(map(is_held_out, panel)) else 0
            draw_curve(axes, curve, colour_of(place + first), f"{shortened(key, 24)} ")
            said.append(said_of_curve(shortened(key), curve))
        set_scale(axes, [curve.means for curve in panel.values()])
        axes.margins(x=0.03)
        few_steps(axes)
        axes.set_title(shortened(next(iter(panel)) if len(panel) == 1 else topic_of(next(iter(panel))), 36))
        if len(panel) > 1:
            place_legend(axes, "upper right")
        for curve in [one for one in panel.values() if one.first_nonfinite is not None][:1]:
            mark_nonfinite(axes, curve)
    for axes in grid[-1]:
        axes.set_xlabel("step, as logged")
    more = f"; {len(said) - 4} more are in the table" if len(said) > 4 else ""
    says = "; ".join(said[:4]) + more + "."
    keys = {key: curve for panel in panels for key, curve in panel.items()}
    data = _rows(dict(list(keys.items())[:30]), "The numbers")
    return Plot(as_svg(figure, says, "metrics"), "Metrics that the script logged", says, data)


def _table(rest: dict[str, Curve], are_others: bool) -> Table:
    named = dict(list(rest.items())[:MOST_ROWS])
    more = f", {len(rest) - len(named)} more are in MLflow" if len(rest) > len(named) else ""
    what = "Further metrics that the script logged" if are_others else "Metrics that the script logged"
    return _rows(named, f"{what} ({len(rest)}{more})")


def _rows(curves: dict[str, Curve], folded: str) -> Table:
    rows = []
    for key, curve in curves.items():
        if len(curve):
            ends = [number(value) for value in (curve.means[0], curve.lows.min(), curve.highs.max())]
            last = curve.last[1] if curve.last else np.nan
            rows.append([key, *ends, number(last), f"{curve.total:,}"])
        else:
            rows.append([key, "–", "–", "–", "not finite", "0"])
    headers = ["metric", "first", "least", "most", "last", "values"]
    return Table(headers, rows, folded=folded, numeric=frozenset(range(1, 6)))
