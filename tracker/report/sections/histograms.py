"""How weights, gradients and outputs are distributed, layer by layer, over the run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ...rules.engine.signals import GRAD_HISTOGRAM, OUTPUT_HISTOGRAM, WEIGHT_HISTOGRAM, Signal
from ..blocks import Block, Plot, Section, Table, Text
from ..drawing.distributions import QUANTILES, Histogram, Scale, cells, held_until, histogram_of
from ..drawing.figures import INK, as_svg
from ..drawing.lines import number, short_names
from ..drawing.strips import Strips
from ..gathering.depth import in_depth, is_vector, named_by_findings
from ..gathering.gathered import Gathered
from ..gathering.sources import Source

MOST_LAYERS = 12
MOST_CELLS = 64
"""Columns of one panel's picture."""
MOST_NAMED = 24
"""Names of layers that are not drawn."""
HUE = (0.21, 0.47, 0.84)
"""Colour of the cells, which are the more transparent the emptier they are: on light and on dark paper."""
_KINDS = (
    (WEIGHT_HISTOGRAM, "Weights", "parameter"),
    (GRAD_HISTOGRAM, "Gradients", "parameter"),
    (OUTPUT_HISTOGRAM, "Outputs", "layer"),
)

Moments = Sequence[tuple[int, Histogram]]


def sections(source: Source) -> Sequence[Section]:
    """One with a picture for each kind of histogram that there is."""
    blocks = [block for kind in _KINDS for block in _kind(source, *kind)]
    if not blocks:
        return []
    note = "The fuller the colour, the more values; lines: the median, and what 90 % of the values lie between."
    return [Section("histograms", "Histograms over the run", blocks, note)]


def _kind(source: Source, signal: Signal, title: str, what: str) -> list[Block]:
    found = moments_of(source.gathered, signal.name)
    if not found:
        return []
    names = in_depth(source.gathered, found)
    drawn = chosen(names, named_by_findings(source), {one for one in names if is_vector(source.gathered, one)})
    end = float(max(source.gathered.last_step, max(found[name][-1][0] for name in drawn)) + 1)
    strips = Strips(len(drawn), end)
    for name, short in zip(drawn, short_names(drawn), strict=True):
        _draw(strips, short, found[name], end)
    moments = max(len(one) for one in found.values())
    says = f"{title} of {len(drawn)} of {len(found)} {what}s at up to {moments} moments. {_widest(found, drawn)}"
    blocks: list[Block] = [
        Plot(
            as_svg(strips.figure, says, f"histograms-{signal.name}"),
            f"{title} over the run",
            says,
            _table(found, names, what),
        )
    ]
    rest = [name for name in names if name not in set(drawn)]
    if rest:
        more = f" and {len(rest) - MOST_NAMED} more" if len(rest) > MOST_NAMED else ""
        blocks.append(Text((f"Not drawn: {', '.join(short_names(rest, 40)[:MOST_NAMED])}{more}.",), "muted"))
    return blocks


def moments_of(gathered: Gathered, signal: str) -> dict[str, Moments]:
    """Histograms by subject and step; rows of another form are passed over."""
    found: dict[str, Moments] = {}
    for subject, rows in gathered.arrays.get(signal, {}).items():
        parsed = ((step, histogram_of(row)) for step, row in rows.all)
        moments = [(step, one) for step, one in parsed if one is not None]
        if moments:
            found[subject] = moments
    return found


def chosen(names: Sequence[str], named: Collection[str], vectors: Collection[str]) -> list[str]:
    """At most `MOST_LAYERS` of these: those that a finding names, then the first, the last and evenly between.

    Biases and scales come last.
    """
    first = [name for name in names if any(name == one or name.startswith(f"{one}.") for one in named)]
    picked = first[:MOST_LAYERS]
    for group in ([one for one in names if one not in vectors], [one for one in names if one in vectors]):
        group = [name for name in group if name not in picked]
        room = MOST_LAYERS - len(picked)
        if group and room:
            even = {round(place) for place in np.linspace(0, len(group) - 1, min(room, len(group)))}
            picked += [group[place] for place in sorted(even)]
    return [name for name in names if name in set(picked)]


def _draw(strips: Strips, name: str, moments: Moments, end: float) -> None:
    steps, histograms = [step for step, _ in moments], [one for _, one in moments]
    scale = Scale(histograms)
    strip = strips.add(name, float(scale.low), float(scale.high))
    filled = cells(histograms, scale)
    columns = min(MOST_CELLS, max(1, 4 * len(moments)))
    places = (np.arange(columns) + 0.5) * end / columns
    shown = np.zeros((len(filled), columns, 4))
    shown[..., :3] = HUE
    shown[..., 3] = np.sqrt(filled[:, held_until(steps, places)])
    strip.image(np.asarray(np.round(shown * 255), np.uint8))
    for share in QUANTILES:
        line = scale.place(np.array([one.quantile(share) for one in histograms]))
        is_middle = share == 0.5
        strip.line(
            np.asarray(steps), line, color=INK, linewidth=0.8 if is_middle else 0.5, alpha=0.9 if is_middle else 0.6
        )
    strip.ticks(*scale.ticks())
    if scale.bend is not None:
        strip.note("bent scale")


def _widest(found: Mapping[str, Moments], drawn: Sequence[str]) -> str:
    """What changed most, and where the values lie at the end."""
    grown = {}
    for name in drawn:
        first, last = (_width(found[name][place][1]) for place in (0, -1))
        if first > 0 and last > 0:
            grown[name] = last / first
    if not grown:
        return "None changed its width."
    most = max(grown, key=lambda name: abs(np.log(grown[name])))
    moments, name = found[most], short_names(drawn, 40)[list(drawn).index(most)]
    return (
        f"The width that holds 90 % of the values changed most in {name}: from "
        f"{number(_width(moments[0][1]))} at step {moments[0][0]:,} to {number(_width(moments[-1][1]))} at step "
        f"{moments[-1][0]:,} ({number(grown[most])} times)."
    )


def _width(histogram: Histogram) -> float:
    return histogram.quantile(QUANTILES[-1]) - histogram.quantile(QUANTILES[0])


def _table(found: Mapping[str, Moments], names: Sequence[str], what: str) -> Table:
    rows = []
    for name in names[:30]:
        step, last = found[name][-1]
        quantiles = [number(last.quantile(share)) for share in QUANTILES]
        rows.append([name, f"{step:,}", number(last.low), *quantiles, number(last.high), f"{len(found[name])}"])
    some = f", {len(rows)} of {len(names)}" if len(rows) < len(names) else ""
    headers = [what, "step", "least", "5 %", "median", "95 %", "most", "moments"]
    return Table(headers, rows, folded=f"The last moment in numbers{some}", numeric=frozenset(range(1, len(headers))))
