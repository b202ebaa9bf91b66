"""The curves of the training: loss in training against held-out data, accuracy, learning rate, speed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...rules.engine.signals import (
    EPOCH_LOSS,
    LOSS,
    LR,
    TRAIN_ACCURACY,
    VAL_ACCURACY,
    VAL_LOSS,
    Signal,
    meaning_of,
)
from ..blocks import Block, Plot, Section, Table, Text
from ..drawing.figures import WIDTH, as_svg, new_figure
from ..drawing.lines import (
    colour_of,
    draw_curve,
    mark_nonfinite,
    number,
    place_legend,
    said_of_curve,
    set_scale,
    shortened,
    trend,
    worth_seeing,
)
from ..drawing.timeline import draw_time, epoch_spans, marks_of, said_of
from ..gathering.curves import Column, Curve
from ..gathering.gathered import Gathered
from ..gathering.sources import Source
from ..training.loss_terms import term_plots
from ..training.metrics import metric_plots, user_metrics
from ..training.speed import speed_blocks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_SETS = 3
"""Held-out sets that are drawn."""
MOST_GROUPS = 6
"""Parameter groups whose learning rates are drawn."""
_HEIGHTS = {"loss": 2.5, "accuracy": 1.5, "rate": 1.0}


class Line(NamedTuple):
    """What is drawn as one line: words for it in the picture and in a sentence, and its curve."""

    label: str
    said: str
    curve: Curve


class Curves(NamedTuple):
    """What the first picture is made of."""

    loss: Curve | None
    held_out: list[Line]
    accuracy: list[Line]
    rates: list[Line]
    is_trained: bool
    """Whether the first accuracy is that of training."""
    metrics: frozenset[str]
    """Keys of the user's metrics that stand for what was not measured."""


def sections(source: Source) -> Sequence[Section]:
    """One, where anything was measured."""
    curves = _curves(source.gathered)
    blocks: list[Block] = []
    if curves.loss is not None or curves.held_out or curves.accuracy:
        blocks.append(_main(source, curves))
        if not curves.held_out:
            blocks.append(
                Text(("No loss on held-out data was seen: whether the model overfits cannot be read here.",), "muted")
            )
    blocks += term_plots(source)
    blocks += metric_plots(source, curves.metrics)
    blocks += speed_blocks(source)
    return [Section("training", "Training", blocks)] if blocks else []


def _curves(gathered: Gathered) -> Curves:
    """The curves that were measured; where one is missing, the metric of the user's that means the same."""
    loss = _first(gathered, LOSS, EPOCH_LOSS)
    held_out = _sets(gathered, VAL_LOSS, "loss")
    trained = gathered.curve(TRAIN_ACCURACY.name)
    accuracy = [Line("training", "training accuracy", trained)] if trained is not None else []
    accuracy += _sets(gathered, VAL_ACCURACY, "accuracy")
    rates = [
        Line(f"group {shortened(name)}", f"learning rate of group {shortened(name)}", curve)
        for name, curve in gathered.subjects(LR.name).items()
    ]
    used: set[str] = set()
    if loss is not None and gathered.last_step:  # steps of a user's metrics may be of another kind than ours
        return Curves(loss, held_out, accuracy, rates[:MOST_GROUPS], trained is not None, frozenset())
    for key, curve in user_metrics(gathered).items():
        meaning, line = meaning_of(key), Line(shortened(key), f"metric {shortened(key)}", curve)
        if meaning is EPOCH_LOSS and loss is None:
            loss = curve
        elif meaning is VAL_LOSS and len(held_out) < MOST_SETS:
            held_out.append(line)
        elif meaning is VAL_ACCURACY and len(accuracy) < 2 * MOST_SETS:
            accuracy.append(line)
        elif meaning is TRAIN_ACCURACY and trained is None:
            trained = curve
            accuracy.insert(0, line)
        elif meaning is LR and len(rates) < MOST_GROUPS:
            rates.append(line)
        else:
            continue
        used.add(key)
    return Curves(loss, held_out, accuracy, rates[:MOST_GROUPS], trained is not None, frozenset(used))


def _first(gathered: Gathered, *signals: Signal) -> Curve | None:
    """The curve of the first of these that was measured, also where no value of it was finite."""
    curves = (gathered.curves.get(signal.name, {}).get("") for signal in signals)
    return next((curve for curve in curves if curve is not None), None)


def _sets(gathered: Gathered, signal: Signal, what: str) -> list[Line]:
    """A line for each held-out set, those without a finite value too."""
    found = list(gathered.curves.get(signal.name, {}).items())[:MOST_SETS]
    return [
        Line(f"held out: {shortened(name)}", f"held-out {what} ({shortened(name)})", curve)
        if name
        else Line("held out", f"held-out {what}", curve)
        for name, curve in found
    ]


# -- the first picture -----------------------------------------------------------------------------------------------


def _main(source: Source, curves: Curves) -> Plot:
    shown = [
        name
        for name, there in (
            ("loss", curves.loss is not None or curves.held_out),
            ("accuracy", curves.accuracy),
            ("rate", curves.rates),
        )
        if there
    ]
    heights = [_HEIGHTS[name] for name in shown]
    figure, grid = new_figure(
        WIDTH, sum(heights) + 0.5, nrows=len(shown), sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    panels = dict(zip(shown, grid[:, 0], strict=True))
    lines = [
        *([Line("training", "training loss", curves.loss)] if curves.loss is not None else []),
        *curves.held_out,
        *curves.accuracy,
        *curves.rates,
    ]
    first, last = _reach(source.gathered, lines)
    losses = [one for one in (curves.loss, *(line.curve for line in curves.held_out)) if one is not None]
    end = worth_seeing(losses, last)
    margin = 0.012 * (end - first) + 0.5
    grid[0, 0].set_xlim(first - margin, end + margin)
    said: list[str] = []
    if "loss" in panels:
        said += _draw_loss(panels["loss"], source, curves)
    if "accuracy" in panels:
        said += _draw_accuracy(panels["accuracy"], curves)
    if "rate" in panels:
        said += _draw_rates(panels["rate"], curves, last)
    marks = [mark for mark in marks_of(source) if mark.step <= end + 1 or end == last]
    draw_time(list(panels.values()), source, marks)
    others = len(source.gathered.trainings)
    several = f" {others + 1} trainings, each of a model of its own, follow each other." if others else ""
    says = ". ".join(said) + "." + several + said_of(marks)
    words = {"loss": "loss", "accuracy": "accuracy", "rate": "learning rate"}
    title = " and ".join(filter(None, [", ".join(words[name] for name in shown[:-1]), words[shown[-1]]]))
    return Plot(as_svg(figure, says, "training"), title.capitalize(), says, _table(source, curves))


def _reach(gathered: Gathered, lines: Sequence[Line]) -> tuple[float, float]:
    """First and last step that anything is known of."""
    steps = [line.curve.steps for line in lines if len(line.curve)]
    first = min([float(column[0]) for column in steps], default=0.0)
    last = max([float(column[-1]) for column in steps], default=0.0)
    return min(first, 0.0) if gathered.last_step else first, max(last, float(gathered.last_step))


def _draw_loss(axes: Axes, source: Source, curves: Curves) -> list[str]:
    axes.set_ylabel("loss")
    said, drawn = [], []
    if curves.loss is not None and len(curves.loss):
        where, means, what = trend(curves.loss, epoch_spans(source.gathered))
        draw_curve(axes, curves.loss, colour_of(0), is_band=True)
        axes.plot(where, means, color=colour_of(0), linewidth=1.8, label=f"training, {what}")
        drawn += [curves.loss.lows, curves.loss.highs]
        said.append(f"Training loss ({what}) went from {number(means[0])} to {number(means[-1])}")
    for place, line in enumerate(curves.held_out, 1):
        if len(line.curve):
            draw_curve(axes, line.curve, colour_of(place), line.label)
            drawn.append(line.curve.means)
            best = int(np.argmin(line.curve.means))
            told = _opened(said_of_curve(line.said, line.curve))
            if 0 < best < len(line.curve) - 1:
                told += f"; it was least at step {line.curve.steps[best]:,.0f}"
            said.append(told)
    if drawn:
        set_scale(axes, drawn)
        place_legend(axes, "upper right")
    for name, curve in [("training loss", curves.loss), *((line.said, line.curve) for line in curves.held_out)]:
        if curve is not None and curve.first_nonfinite is not None:
            mark_nonfinite(axes, curve)
            end = axes.get_xlim()[1]
            cut = (
                f"; drawn until step {end:,.0f} of {source.gathered.last_step:,}"
                if end < source.gathered.last_step
                else ""
            )
            said.append(_opened(f"{name} was not finite first at step {curve.first_nonfinite:,}{cut}"))
            break
    return said


def _draw_accuracy(axes: Axes, curves: Curves) -> list[str]:
    axes.set_ylabel("accuracy")
    said = []
    for place, line in enumerate(curves.accuracy):
        if len(line.curve):
            draw_curve(axes, line.curve, colour_of(place + (not curves.is_trained)), line.label)
            said.append(_opened(said_of_curve(line.said, line.curve)))
    if said:
        place_legend(axes, "lower right")
    return said


def _draw_rates(axes: Axes, curves: Curves, last: float) -> list[str]:
    axes.set_ylabel("learning rate")
    said, drawn = [], []
    for place, line in enumerate(curves.rates):
        if not len(line.curve):
            continue
        steps: Column = np.append(line.curve.steps, max(last, float(line.curve.steps[-1])))
        means: Column = np.append(line.curve.means, line.curve.means[-1])
        axes.plot(steps, means, color=colour_of(place + 2), drawstyle="steps-post", linewidth=1.2, label=line.label)
        drawn.append(means)
        said.append(_opened(said_of_curve(line.said if len(curves.rates) > 1 else "learning rate", line.curve)))
    if len(drawn) > 1:
        axes.legend(loc="upper right", ncols=3)
    if drawn:
        set_scale(axes, drawn)
        if axes.get_yscale() == "linear":
            axes.set_ylim(bottom=min(0.0, float(min(one.min() for one in drawn))))
    return said[:2] + ([f"{len(said) - 2} more groups are drawn"] if len(said) > 2 else [])


def _opened(text: str) -> str:
    return text[:1].upper() + text[1:]


def _table(source: Source, curves: Curves) -> Table | None:
    """Training and held-out loss of at most thirty epochs, evenly spread, the last among them."""
    spans = epoch_spans(source.gathered)
    if not spans or curves.loss is None or not len(curves.loss):
        return None
    edges = np.array([*(first for first, _ in spans), spans[-1][1] + 1], np.float64)
    columns = [("training loss", curves.loss)]
    columns += [(line.said, line.curve) for line in (*curves.held_out, *curves.accuracy)]
    values = [curve.over(edges) if len(curve) else np.full(len(spans), np.nan) for _, curve in columns]
    chosen = sorted({round(place) for place in np.linspace(0, len(spans) - 1, min(30, len(spans)))})
    rows = [
        [
            f"{place + 1}",
            f"{spans[place][1]:,}",
            *(number(column[place]) if np.isfinite(column[place]) else "–" for column in values),
        ]
        for place in chosen
    ]
    headers = ["epoch", "last step", *(name for name, _ in columns)]
    some = f" ({len(rows)} of {len(spans)} epochs)" if len(rows) < len(spans) else ""
    return Table(headers, rows, folded=f"The numbers, epoch by epoch{some}", numeric=frozenset(range(1, len(headers))))
