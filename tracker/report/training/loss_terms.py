"""The terms of a loss: what each is worth, with its factor, over the run."""

from __future__ import annotations

import numpy as np

from ...rules.engine.signals import LOSS_TERM
from ..blocks import Block, Plot, Table
from ..drawing.figures import WIDTH, as_svg, new_figure
from ..drawing.lines import colour_of, number, place_legend, set_scale, shortened
from ..drawing.timeline import draw_time
from ..gathering.curves import Curve
from ..gathering.sources import Source

MOST_TERMS = 8
"""Terms that are drawn."""


def term_plots(source: Source) -> list[Block]:
    """What the terms of the loss are worth, with their factors."""
    found = source.gathered.subjects(LOSS_TERM.name)
    if len(found) < 2:
        return []
    chosen = sorted(found, key=lambda name: -float(np.abs(found[name].means).mean()))[:MOST_TERMS]
    figure, axes = new_figure(WIDTH, 1.9)
    for place, name in enumerate(chosen):
        axes.plot(
            found[name].steps, found[name].means, color=colour_of(place), linewidth=1.2, label=f"{shortened(name)} "
        )
    set_scale(axes, [found[name].means for name in chosen])
    axes.set_ylabel("value, with its factor")
    place_legend(axes, "upper right")
    draw_time([axes], source, [])
    last = sum(abs(float(curve.means[-1])) for curve in found.values()) or 1.0
    says = (
        f"At the end, of the {len(found)} terms of the loss, "
        + ", ".join(
            f"{shortened(name)} is {number(found[name].means[-1])} ({abs(found[name].means[-1]) / last:.0%})"
            for name in chosen
        )
        + "."
    )
    rows = [[name, *_ends(curve)] for name, curve in list(found.items())[:30]]
    data = Table(
        ["term", "first", "least", "most", "last"], rows, folded="The numbers", numeric=frozenset({1, 2, 3, 4})
    )
    return [Plot(as_svg(figure, says, "terms"), "Terms of the loss", says, data)]


def _ends(curve: Curve) -> list[str]:
    return [number(value) for value in (curve.means[0], curve.lows.min(), curve.highs.max(), curve.means[-1])]
