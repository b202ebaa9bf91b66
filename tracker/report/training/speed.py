"""How fast the training was, what it waited for, and what memory it held."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...rules.engine.signals import MEMORY, STEP_SECONDS, STEP_SECONDS_LONGEST, WAIT_DATA
from ..blocks import Block, Facts, Plot
from ..drawing.figures import WIDTH, as_svg, new_figure
from ..drawing.lines import colour_of, few_steps, number, set_scale, shortened
from ..gathering.curves import Curve
from ..gathering.gathered import Gathered
from ..gathering.sources import Source

MOST_LINES = 4
_BYTES = 1 << 20


class Panel(NamedTuple):
    """A small panel: title, unit, what its values are multiplied with, lines by name."""

    title: str
    unit: str
    factor: float
    lines: dict[str, Curve]


def speed_blocks(source: Source) -> list[Block]:
    """A picture of small panels; where each has one value only, the values."""
    panels = [panel for panel in _panels(source.gathered) if panel.lines]
    if not panels:
        return []
    says = ". ".join(_said(panel) for panel in panels) + "."
    if all(len(curve) == 1 for panel in panels for curve in panel.lines.values()):
        return [
            Facts(
                [
                    (f"{panel.title}: {name}", _value(panel, curve))
                    for panel in panels
                    for name, curve in panel.lines.items()
                ]
            )
        ]
    figure, grid = new_figure(WIDTH, 1.75, ncols=len(panels), squeeze=False)
    for axes, panel in zip(grid[0], panels, strict=True):
        for place, (name, curve) in enumerate(panel.lines.items()):
            axes.plot(
                curve.steps, curve.means * panel.factor, color=colour_of(place), label=f"{shortened(name, 20)} ",
                marker="o" if len(curve) <= 60 else "", markersize=2.5,
            )  # fmt: skip
        set_scale(axes, [curve.means * panel.factor for curve in panel.lines.values()])
        if axes.get_yscale() == "linear":
            axes.set_ylim(0, 1.08 * max(float(curve.means.max()) for curve in panel.lines.values()) * panel.factor or 1)
        axes.set_title(f"{panel.title} ({panel.unit})")
        if len(panel.lines) > 1:
            axes.legend(loc="best")
        axes.set_xlim(0, 1.03 * max(1, source.gathered.last_step))
        few_steps(axes)
        axes.set_xlabel("step")
    return [Plot(as_svg(figure, says, "speed"), "Speed, waiting and memory", says)]


def _panels(gathered: Gathered) -> list[Panel]:
    steps = {
        name: curve
        for name, signal in (("mean", STEP_SECONDS), ("longest", STEP_SECONDS_LONGEST))
        if (curve := gathered.curve(signal.name)) is not None
    }
    seconds = max((float(np.median(curve.means)) for curve in steps.values()), default=1.0)
    unit, factor = ("s", 1.0) if seconds >= 1 else ("ms", 1e3)
    waits = gathered.curve(WAIT_DATA.name)
    memory = gathered.subjects(MEMORY.name)
    return [
        Panel("Time of a step", unit, factor, steps),
        Panel("Time spent waiting for data", "%", 100.0, {} if waits is None else {"waiting": waits}),
        Panel("Memory", "MiB", 1 / _BYTES, dict(list(memory.items())[:MOST_LINES])),
    ]


def _said(panel: Panel) -> str:
    only = len(panel.lines) == 1
    return f"{panel.title}, at the end: " + ", ".join(
        f"{_value(panel, curve)}" if only else f"{shortened(name, 20)} {_value(panel, curve)}"
        for name, curve in panel.lines.items()
    )


def _value(panel: Panel, curve: Curve) -> str:
    return f"{number(float(curve.means[-1]) * panel.factor)} {panel.unit}"
