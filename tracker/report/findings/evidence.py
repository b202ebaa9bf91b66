"""What a rule looked at when it found something: the curves, and the levels across them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...rules.engine import signals
from ...rules.engine.rule import Rule
from ...rules.engine.signals import Signal
from ..drawing.units import group_of, title_of, words_for
from ..gathering.curves import Curve
from ..gathering.found import Found, is_number
from ..gathering.gathered import Gathered
from ..gathering.measured import curves_of

MOST_LINES, MOST_OTHERS, MOST_PANELS, MOST_COLUMNS, MOST_NAMED = 4, 8, 2, 40, 20
"""Lines of what is at fault, lines beside them to compare with, panels of a picture, columns of a panel, and subjects
of a finding that are looked for."""

_LOOKS_AT: dict[str, tuple[Signal, ...]] = {
    "absent-gradient": (signals.GRAD_NORM, signals.LOSS),
    "accumulation-not-averaged": (signals.LOSS, signals.GRAD_NORM),
    "class-imbalance-unweighted": (signals.CLASS_COUNT, signals.RECALL),
    "collapsed-predictions": (signals.PREDICTIONS, signals.VAL_ACCURACY),
    "constant-labels": (signals.CLASS_COUNT,),
    "initialisation-scale": (signals.LOSS, signals.OUTPUT_RMS),
    "learning-rate-too-high": (signals.LOSS, signals.LR),
    "learning-rate-too-low": (signals.LOSS, signals.LR),
    "learning-rate-zero": (signals.LR, signals.LOSS),
    "loss-reduction-sum": (signals.LOSS, signals.GRAD_NORM),
    "missing-zero-grad": (signals.LOSS, signals.GRAD_NORM),
    "no-better-than-baseline": (signals.VAL_ACCURACY, signals.LOSS, signals.VAL_LOSS),
    "nonfinite-gradient": (signals.GRAD_NORM, signals.LOSS),
    "nonfinite-input": (signals.INPUT_NONFINITE, signals.LOSS),
    "nonfinite-loss": (signals.LOSS, signals.GRAD_NORM),
    "nonfinite-weight": (signals.WEIGHT_NORM, signals.LOSS),
    "output-size-mismatch": (signals.CLASS_COUNT,),
    "repeated-batch": (signals.REPEATED, signals.LOOKED_AT),
    "schedule-collapsed": (signals.LR, signals.LOSS),
    "scheduler-before-optimizer": (signals.LR, signals.LOSS),
    "scheduler-never-steps": (signals.LR, signals.LOSS),
    "scheduler-step-unit": (signals.LR, signals.LOSS),
    "step-does-nothing": (signals.UPDATE_RATIO, signals.LOSS),
    "unlearnable-labels": (signals.VAL_LOSS, signals.LOSS, signals.VAL_ACCURACY),
    "weight-decay-dominates": (signals.WEIGHT_NORM, signals.LOSS),
    "weight-divergence": (signals.WEIGHT_NORM, signals.LOSS),
    "zero-gradient-layer": (signals.GRAD_NORM, signals.LOSS),
}
"""Rules that are judged from facts, or from whichever of several signals there is: what shows their faults."""

_COUNTED = (signals.CLASS_COUNT, signals.PREDICTIONS)
"""Signals that are counts of each class: columns beside each other say more than curves."""

_ON_CHANGE = (signals.LR, signals.GRAD_SCALE, signals.BATCH_SIZE, signals.BACKWARDS)

_LIMITS = frozenset(
    {"bar", "guess", "expected", "expected_high", "baseline", "limit", "chance", "others", "even", "spread"}
)


@dataclass(frozen=True)
class Line:
    """A curve of a panel."""

    label: str
    curve: Curve
    subject: str = ""
    is_other: bool = False
    """Whether it is there for comparison only."""
    is_held: bool = False
    """Whether a value holds until the next one: it is measured where it changes."""


@dataclass(frozen=True)
class Bar:
    """A level across a panel: a knob of the rule, or what it measured."""

    label: str
    value: float
    is_limit: bool = False
    """Whether it is what the values were held against, and not one of them."""


@dataclass(frozen=True)
class Column:
    """A count of one class."""

    label: str
    value: float
    is_subject: bool = False


@dataclass(frozen=True)
class Panel:
    """Axes of a picture: curves of one unit over the steps, or columns of one class each."""

    title: str
    lines: Sequence[Line] = ()
    bars: Sequence[Bar] = ()
    columns: Sequence[Column] = ()
    unit: tuple[Signal, ...] = ()
    """The signals that can be drawn across each other here."""

    @property
    def subjects(self) -> list[Line]:
        """The lines that are at fault, without those to compare with."""
        return [line for line in self.lines if not line.is_other]

    @property
    def others(self) -> list[Line]:
        """The lines to compare with."""
        return [line for line in self.lines if line.is_other]


def panels_of(found: Found, rule: type[Rule] | None, thresholds: object, gathered: Gathered) -> list[Panel]:
    """What the rule looked at, at most `MOST_PANELS`; the loss where it looked at nothing that has a curve."""
    wanted = _wanted(found.rule, rule)
    panels = [panel for group in _grouped(wanted) if (panel := _panel(group, found, gathered)) is not None]
    if not any(panel.lines for panel in panels):
        losses = _panel((signals.LOSS, signals.VAL_LOSS), found, gathered)
        panels += [losses] if losses is not None else []
    chosen = panels[:MOST_PANELS]
    levels = _levels(found, rule, thresholds if isinstance(thresholds, Mapping) else {})
    return [replace(panel, bars=_bars_of(panel, levels)) for panel in chosen]


def _wanted(name: str, rule: type[Rule] | None) -> list[Signal]:
    """Signals that the rule looks at, the most telling first."""
    barred = list(dict.fromkeys((rule.bars if rule is not None else {}).values()))
    needed = list(rule.needs) if rule is not None else []
    told = list(_LOOKS_AT.get(name, ()))
    return list(dict.fromkeys([*told, *needed, *barred]))


def _grouped(wanted: Sequence[Signal]) -> list[tuple[Signal, ...]]:
    groups: dict[tuple[Signal, ...], list[Signal]] = {}
    for signal in wanted:
        groups.setdefault(group_of(signal), []).append(signal)
    return [tuple(group) for group in groups.values()]


def _panel(group: Sequence[Signal], found: Found, gathered: Gathered) -> Panel | None:
    if group[0] in _COUNTED:
        columns = _columns(group[0], found, gathered)
        return Panel(words_for(group[0]), columns=columns, unit=group_of(group[0])) if columns else None
    lines: list[Line] = []
    for signal in group:
        lines += _lines(signal, found, gathered, is_alone=len(group) == 1)
    if not lines:
        return None
    if len(group) > 1 and len({line.subject for line in lines}) == 1:  # all of one subject: the finding says which
        lines = [replace(line, label=line.label.removesuffix(f" ({line.subject})")) for line in lines]
    subjects, others = [line for line in lines if not line.is_other], [line for line in lines if line.is_other]
    return Panel(title_of(group), [*subjects[:MOST_LINES], *others[:MOST_OTHERS]], unit=group_of(group[0]))


def _lines(signal: Signal, found: Found, gathered: Gathered, *, is_alone: bool) -> list[Line]:
    curves = curves_of(signal, gathered)
    if not curves:
        return []
    whole = curves.get("")
    chosen = _about(curves, found)
    if not chosen and whole is not None:
        chosen = [""]
    elif not chosen:
        chosen = list(curves) if len(curves) <= MOST_LINES else _extremes(curves, signal)
    label, is_held = "" if is_alone else words_for(signal), signal in _ON_CHANGE
    names = [""] if is_alone and len(curves) == 1 and signal == signals.LR else chosen
    lines = [
        Line(_label(label, name), curves[at], subject=name, is_held=is_held)
        for at, name in zip(chosen, names, strict=True)
    ]
    if is_alone and chosen != [""]:
        beside = _beside(curves, chosen, signal)
        lines += [Line(name, curves[name], is_other=True, is_held=is_held) for name in beside]
    return lines


def _about(curves: Mapping[str, Curve], found: Found) -> list[str]:
    """Subjects of curves that a finding names: the same, parts of a layer that it names, or its class in a split."""
    chosen: dict[str, None] = {}
    for subject in found.subjects[:MOST_NAMED]:
        exact = [name for name in curves if name == subject]
        parts = [name for name in curves if name.startswith(f"{subject}.") or name.rpartition("/")[2] == subject]
        layers = [name for name in curves if name and subject.startswith(f"{name}.")]
        chosen.update(dict.fromkeys(exact or sorted(parts, key=_is_bias) or layers))
    if not chosen:
        words = {word.strip(",;:()'") for word in found.message.split()}
        chosen.update({name: None for name in curves if name and name in words})
    return list(chosen)[:MOST_LINES]


def _is_bias(name: str) -> bool:
    return name.rpartition(".")[2].startswith("bias")


def _extremes(curves: Mapping[str, Curve], signal: Signal) -> list[str]:
    """The subjects with the largest and the least value at the end; matrices, where parameters are meant."""
    named = [name for name in curves if name and not (signal.subject.startswith("parameter") and _is_bias(name))]
    ordered = sorted(named or list(curves), key=lambda name: float(curves[name].means[-1]))
    return list(dict.fromkeys([ordered[-1], ordered[0]]))


def _beside(curves: Mapping[str, Curve], chosen: Sequence[str], signal: Signal) -> list[str]:
    """Subjects to compare with, spread evenly over the model; biases have a scale of their own."""
    are_biases = any(map(_is_bias, chosen))
    split = chosen[0].rpartition("/")[0]
    rest = [
        name
        for name in curves
        if name
        and name not in chosen
        and name.rpartition("/")[0] == split
        and (are_biases or not (signal.subject.startswith("parameter") and _is_bias(name)))
    ]
    if len(rest) <= MOST_OTHERS:
        return rest
    places = {round(at * (len(rest) - 1) / (MOST_OTHERS - 1)) for at in range(MOST_OTHERS)}
    return [rest[place] for place in sorted(places)]


def _columns(signal: Signal, found: Found, gathered: Gathered) -> list[Column]:
    if signal == signals.PREDICTIONS:
        arrays = gathered.arrays.get(signal.name, {})
        split = next((name for name in (*found.subjects, "val") if name in arrays), next(iter(arrays), ""))
        latest = arrays[split].all[-1][1] if split in arrays and arrays[split].all else ()
        counts = {str(label): count for label, count in enumerate(latest) if math.isfinite(count)}
        top = {max(counts, key=counts.__getitem__)} if counts else set()
    else:
        curves = gathered.subjects(signal.name)
        counts = {
            label: curve.last[1] for label, curve in curves.items() if curve.last and math.isfinite(curve.last[1])
        }
        top = set(found.subjects)
    ordered = sorted(counts, key=lambda label: -counts[label])[:MOST_COLUMNS]
    if all(label.isdigit() for label in ordered):
        ordered.sort(key=int)
    return [Column(label, counts[label], label in top) for label in ordered]


def _label(what: str, subject: str) -> str:
    return f"{what} ({subject})" if what and subject else what or subject


def _levels(found: Found, rule: type[Rule] | None, thresholds: Mapping[Any, Any]) -> list[tuple[Signal, Bar]]:
    """The levels that a rule names in `bars`: of knobs the value that was in force, of evidence what was seen."""
    if rule is None:
        return []
    levels = []
    for name, signal in rule.bars.items():
        is_knob = name in rule.model_fields
        value = thresholds.get(name) if is_knob else found.evidence.get(name)
        if is_knob and value is None:
            value = rule.model_fields[name].default
        if isinstance(value, (int, float)) and is_number(value):
            levels.append((signal, Bar(name.replace("_", " "), float(value), is_knob or name in _LIMITS)))
    return levels


def _bars_of(panel: Panel, levels: Iterable[tuple[Signal, Bar]]) -> list[Bar]:
    """Those of the panel's unit; of two at one height the limit."""
    bars: dict[float, Bar] = {}
    for signal, bar in levels:
        if group_of(signal) == panel.unit and (bar.value not in bars or bar.is_limit):
            bars[bar.value] = bar
    return list(bars.values())
