"""The curves of both runs over each other, with the first step where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...compare.streams import OBSERVED
from ...rules.engine.signals import GRAD_NORM, LOSS, LR, TRAIN_ACCURACY, VAL_ACCURACY, VAL_LOSS
from ..blocks import Block, Plot, Section, Table, Text
from ..drawing.figures import SERIES, WIDTH, as_svg, mark_step, new_figure
from ..drawing.lines import draw_curve, number, said_of_curve, set_scale, shortened
from ..gathering.curves import Column, Curve
from ..gathering.sources import Source
from ..recorded.forms import cut_table
from ..training.metrics import user_metrics
from .pair import Pair

MOST_PANELS = 12
_SIGNALS = (
    (LOSS, "training loss"),
    (VAL_LOSS, "held-out loss"),
    (TRAIN_ACCURACY, "training accuracy"),
    (VAL_ACCURACY, "held-out accuracy"),
    (LR, "learning rate"),
    (GRAD_NORM, "gradient norm"),
)


def sections(pair: Pair) -> Sequence[Section]:
    """One, where anything was measured of either."""
    panels = _panels(pair)
    blocks: list[Block] = []
    if panels:
        blocks.append(_overlaid(pair, panels))
    blocks += _gap(pair)
    blocks += _firsts(pair)
    return [Section("numbers", "Numbers", blocks)] if blocks else []


def _panels(pair: Pair) -> dict[str, tuple[Curve | None, Curve | None]]:
    sides = [_curves(source) for source in (pair.a, pair.b)]
    names = dict.fromkeys([*sides[0], *sides[1]])
    found = {name: (sides[0].get(name), sides[1].get(name)) for name in names}
    several = [name for name, curves in found.items() if any(one is not None and len(one) > 1 for one in curves)]
    return {name: found[name] for name in several[:MOST_PANELS]}


def _curves(source: Source) -> dict[str, Curve]:
    found: dict[str, Curve] = {}
    for signal, words in _SIGNALS:
        curves = source.gathered.subjects(signal.name)
        # Of parameter groups the first stands for all; of layers there is no such one.
        one = curves.get("") or (next(iter(curves.values()), None) if signal is LR else None)
        if one is not None:
            found[words] = one
    return {**found, **{shortened(key): curve for key, curve in user_metrics(source.gathered).items() if len(curve)}}


def _overlaid(pair: Pair, panels: dict[str, tuple[Curve | None, Curve | None]]) -> Plot:
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure, grid = new_figure(WIDTH, 0.3 + 1.9 * rows, nrows=rows, ncols=columns, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    told = []
    for axes, (name, curves) in zip(grid.flat, panels.items(), strict=False):
        axes.set_title(name)
        values = []
        for side, curve, colour in zip("AB", curves, SERIES, strict=False):
            if curve is not None and len(curve):
                draw_curve(axes, curve, colour, side)
                values.append(curve.means)
        if values:
            set_scale(axes, values)
        first = next((one for key, one in pair.comparison.numbers.firsts.items() if _is_about(key, name)), None)
        if first is not None:
            mark_step(axes, first.step, f"differ from step {first.step}")
        a, b = curves
        if a is not None and b is not None and len(a) and len(b):
            told.append(f"{said_of_curve(f'{name} of A', a)}, of B to {number(float(b.means[-1]))}")
    grid.flat[0].legend()
    for axes in grid[-1]:
        axes.set_xlabel("step")
    says = ". ".join(told[:6]) + "." if told else "Curves of one of the runs only."
    return Plot(as_svg(figure, says, "overlaid"), "A and B over each other", says)


def _is_about(key: str, name: str) -> bool:
    """Whether the key of a compared number is that of a panel: of a signal of ours, or the user's own metric."""
    signal = next((signal.name for signal, words in _SIGNALS if words == name), None)
    if signal is None:
        return shortened(key) == name
    return key == OBSERVED + signal or (signal == LR.name and key.startswith(f"{OBSERVED}{signal}/"))


def _gap(pair: Pair) -> list[Block]:
    """How far the training losses are apart, on a logarithmic scale: a drift grows, a fault jumps."""
    one, other = pair.a.gathered.curve(LOSS.name), pair.b.gathered.curve(LOSS.name)
    if one is None or other is None or not len(one) or not len(other):
        return []
    last = min(one.steps[-1], other.steps[-1])
    edges = np.linspace(0, last + 1, min(256, int(last) + 2))
    if len(edges) < 3:
        return []
    apart: Column = np.abs(one.over(edges) - other.over(edges))
    middles = (edges[:-1] + edges[1:] - 1) / 2  # a step reaches from its number to the next
    known = np.isfinite(apart)
    if not (apart[known] > 0).any():
        return [Text(("The training losses do not differ at any step.",))]
    figure, axes = new_figure(WIDTH, 2.2)
    axes.plot(middles[known], np.where(apart[known] > 0, apart[known], np.nan), color=SERIES[2])
    axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel("|A - B|")
    if pair.first is not None:
        mark_step(axes, pair.first.step, f"first difference: {shortened(pair.first.metric.removeprefix(OBSERVED))}")
    most = int(np.nanargmax(apart))
    says = (
        f"The training losses are at most {number(float(apart[most]))} apart, at step {middles[most]:.0f}, "
        f"and {number(float(apart[known][-1]))} at the end."
    )
    return [Plot(as_svg(figure, says, "gap"), "Distance of the training losses", says)]


def _firsts(pair: Pair) -> list[Block]:
    numbers = pair.comparison.numbers
    ordered = sorted(numbers.firsts.values(), key=lambda one: (one.moment, one.step))
    rows: list[tuple[Any, ...]] = [
        (shortened(one.metric, 60), one.step, repr(one.a), repr(one.b), one.size, numbers.different.get(one.metric, ""))
        for one in ordered
    ]
    headers = ("number", "first at step", "A", "B", "apart", "points that differ")
    found: list[Table] = cut_table(headers, rows, "Where each of {n} numbers differs first")
    for side, only in (("A", numbers.only_in_a), ("B", numbers.only_in_b)):
        found += cut_table(("number",), ((key,) for key in only), f"{{n}} numbers that only {side} has")
    return list(found)
