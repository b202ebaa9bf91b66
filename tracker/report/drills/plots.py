"""Draws what drills measured: curves of losses, a sweep of the learning rate, scales through the depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...rules.engine.tables import number as known
from ..blocks import Plot
from ..drawing.figures import BAD, FAINT, GOOD, INK, PAPER, SERIES, WARN, WIDTH, as_svg, new_figure
from ..drawing.lines import (
    colour_of,
    few_steps,
    mark_nonfinite,
    number,
    place_legend,
    running_mean,
    said_of_curve,
    set_scale,
    short_names,
    shortened,
)
from ..gathering.sources import Source
from .rows import SCALES, Row, curves_of, layers_of, rates_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_LINES, MOST_LAYERS = 8, 48
FEW_LINES = 3
"""Lines whose names have room among them."""
_LEVELS = {
    "floor": (GOOD, "lowest possible"),
    "guess": (FAINT, "by guessing"),
    "constant": (FAINT, "constant answer"),
    "linear": (WARN, "linear model"),
    "hidden": (GOOD, "one hidden layer"),
}
"""Numbers of a fact that are losses to compare a curve with: colour, and words."""


def plots_of(source: Source, row: Row) -> list[Plot]:
    """The pictures of one drill; none of one that measured nothing that could be drawn."""
    found = _sweep(source, row) or _losses(source, row)
    return [*found, *_depth(row)]


# -- losses ----------------------------------------------------------------------------------------------------------


def _losses(source: Source, row: Row) -> list[Plot]:
    """The loss over the iterations, one line for each variant, and the level it should come down to."""
    found = {name: curve for name, curve in curves_of(source, row.drill).items() if len(curve)}
    best = sorted(found, key=lambda name: (name != "", float(found[name].means[-1])))[:MOST_LINES]
    curves = {name: curve for name, curve in found.items() if name in best}
    if not curves:
        return []
    figure, axes = new_figure()
    for place, (name, curve) in enumerate(curves.items()):
        axes.plot(curve.steps, curve.means, color=colour_of(place), label=_label(name), linewidth=1.1 if name else 1.7)
    lines = {key: value for key in _LEVELS if (value := known(row.fact.get(key))) is not None}
    set_scale(axes, [curve.means for curve in curves.values()])
    if axes.get_yscale() == "log":
        lines = {key: value for key, value in lines.items() if value > 0}
    for key, value in lines.items():
        colour, word = _LEVELS[key]
        axes.axhline(value, color=colour, linewidth=1.0, linestyle=(0, (4, 2)), label=f"{word} ({number(value)})")
    for curve in curves.values():
        mark_nonfinite(axes, curve)
    axes.set_xlabel("iteration on the same batch")
    axes.set_ylabel("loss")
    few_steps(axes, 8)
    if len(curves) + len(lines) > FEW_LINES:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02))
    elif len(curves) + len(lines) > 1:
        place_legend(axes, "upper right")
    parts = [said_of_curve(_label(name), curve) for name, curve in curves.items()]
    parts += [f"{_LEVELS[key][1]}: {number(value)}" for key, value in lines.items()]
    parts += [f"{len(found) - len(curves)} more are not drawn"] if len(found) > len(curves) else []
    says = f"Loss: {'; '.join(parts)}."
    return [Plot(as_svg(figure, says, f"drill-{row.drill}"), f"{_title(row)}: the loss", says)]


def _label(name: str) -> str:
    """A variant in words; one that is a number is what the learning rate was multiplied with."""
    if name in ("", "1"):
        return "as it is"
    return f"rate x{name}" if name.replace(".", "", 1).isdigit() else shortened(name)


def _title(row: Row) -> str:
    return shortened(row.title[:1].upper() + row.title[1:], 60)


# -- a sweep of the learning rate ------------------------------------------------------------------------------------


def _sweep(source: Source, row: Row) -> list[Plot]:
    """The loss against the learning rate, with the user's own and what is suggested; beside it the loss at the own."""
    curves, rates = curves_of(source, row.drill), rates_of(source, row.drill)
    loss, rate = curves.get(""), rates.get("")
    if row.drill != "learning-rate-range" or loss is None or rate is None:
        return []
    n = min(len(loss), len(rate))
    x, y = rate.means[:n], loss.means[:n]
    if n < 3 or not (x > 0).all():
        return []
    own_loss = curves.get("own")
    has_own = own_loss is not None and len(own_loss) > 1
    figure, grid = new_figure(
        WIDTH, 2.7, ncols=2 if has_own else 1, squeeze=False, width_ratios=[3, 1] if has_own else [1]
    )
    axes = grid[0][0]
    axes.plot(x, y, color=SERIES[0], alpha=0.35, linewidth=0.8)
    axes.plot(x, running_mean(y), color=SERIES[0])
    axes.set_xscale("log")
    top = _limits(axes, y)
    marks = {
        "steepest": ("falls fastest", GOOD, (0, (4, 2))),
        "breaks_at": ("breaks", BAD, (0, (4, 2))),
        "own": ("yours", INK, "solid"),
    }
    told = []
    for place, (key, (word, colour, style)) in enumerate(marks.items()):
        value = known(row.fact.get(key))
        if value is None or value <= 0:
            continue
        axes.axvline(value, color=colour, linewidth=1.1, linestyle=style)
        is_left = value > np.sqrt(x[0] * x[-1])
        axes.annotate(
            f"{word} {value:.2g}", (value, 1.0 - 0.09 * place), xycoords=("data", "axes fraction"),
            xytext=(-3 if is_left else 3, -2), textcoords="offset points", color=colour, fontsize=7.5, va="top",
            ha="right" if is_left else "left",
            bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 1},
        )  # fmt: skip
        told.append(f"{word} at {value:.2g}" if key != "own" else f"your learning rate is {value:.3g}")
    axes.set_xlabel("learning rate, raised from step to step")
    axes.set_ylabel("loss on one batch")
    cut = f"; what is above {number(top)} is not drawn" if top is not None else ""
    says = f"{said_of_curve('The loss', loss)}; {'; '.join(told) or 'it fell at no rate'}{cut}."
    if has_own and own_loss is not None:
        beside = grid[0][1]
        beside.plot(own_loss.steps, own_loss.means, color=SERIES[1], marker="o", markersize=2.5)
        set_scale(beside, [own_loss.means])
        mark_nonfinite(beside, own_loss)
        few_steps(beside)
        beside.set_xlabel("step")
        beside.set_title("at your learning rate")
        says += f" {said_of_curve('At your own rate it', own_loss)}."
    return [Plot(as_svg(figure, says, f"drill-{row.drill}"), f"{_title(row)}: the loss against the rate", says)]


def _limits(axes: Axes, y: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float | None:
    """Chooses the range of losses: a broken one is thousands of times what matters. The upper end, where it cuts."""
    low, first = float(y.min()), float(y[0])
    room = max(first - low, 1e-3 * abs(first), 1e-12)
    top = first + 0.6 * room
    if 0 < low < first / 50:
        axes.set_yscale("log")
        top = 3 * first
        axes.set_ylim(low / 1.5, top)
    else:
        axes.set_ylim(low - 0.08 * room, top)
    return top if float(y.max()) > top else None


# -- depth -----------------------------------------------------------------------------------------------------------


def _depth(row: Row) -> list[Plot]:
    """Scales of outputs and of their gradients, layer by layer, the first one at the top."""
    layers = layers_of(row.fact)
    if len(layers) < 2:
        return []
    every = len(layers)
    layers = [layers[int(place)] for place in np.unique(np.linspace(0, every - 1, min(every, MOST_LAYERS)).round())]
    names = short_names([name for name, _ in layers], 26)
    keys = [key for key in SCALES if sum(key in known_of for _, known_of in layers) > 1]
    if not keys:
        return []
    figure, grid = new_figure(WIDTH, 0.75 + 0.145 * len(layers), ncols=len(keys), squeeze=False, sharey=True)
    told = []
    for column, (axes, key) in enumerate(zip(grid[0], keys, strict=True)):
        places = [place for place, (_, known_of) in enumerate(layers) if key in known_of]
        x = np.array([layers[place][1][key] for place in places], np.float64)
        axes.plot(x, places, color=colour_of(column), marker="o", markersize=3)
        axes.set_xscale("log")
        if x.max() < 10 * x.min():
            middle = float(np.sqrt(x.max() * x.min()))
            axes.set_xlim(middle / 4, middle * 4)
        axes.set_title(SCALES[key])
        told.append(f"{SCALES[key]} {number(float(x[0]))} at the first, {number(float(x[-1]))} at the last")
    grid[0][0].set_yticks(range(len(names)), names)
    grid[0][0].set_ylim(len(names) - 0.5, -0.5)
    fewer = f", {len(layers)} of {every} layers drawn" if len(layers) < every else ""
    says = f"Layer by layer{fewer}: {'; '.join(told)}."
    return [Plot(as_svg(figure, says, f"depth-{row.drill}"), f"{_title(row)}: scale through the depth", says)]


__all__ = ["plots_of"]
