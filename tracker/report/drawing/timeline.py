"""What is marked along the steps of a run: ends of epochs, findings by their number, what else happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ..gathering.found import Found, found_in
from ..gathering.gathered import Gathered
from ..gathering.sources import Source
from .figures import BAD, FAINT, INK, WARN, mark_epochs
from .lines import few_steps, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CLOSE = 0.025
"""Marks that are nearer than this share of the run share a line and a label."""
MOST_NUMBERS = 4
"""Numbers of findings in one label."""
MOST_SAID = 5
"""Lines that are named in a sentence."""
ROOM = 0.2
"""Lines that are all further apart than this share of the run have the names of their findings."""
_SEVERE = frozenset({"error", "fatal"})


@dataclass(frozen=True)
class Mark:
    """A step at which something happened: short text for the picture, words for a sentence, colour of the line."""

    step: int
    text: str
    said: str
    colour: str


def marks_of(source: Source) -> list[Mark]:
    """Findings, at the step where each began, by their place in the verdict; then what else happened in the run:
    further trainings, times it stood still, checkpoints that were kept."""
    found = [
        (one.first_step, place, one)
        for place, one in enumerate(found_in(source.verdict.get("findings")), 1)
        if one.first_step is not None and one.severity != "info"
    ]
    width = max(1, source.gathered.last_step)
    groups = _close(sorted(found, key=lambda one: one[:2]), CLOSE * width)
    starts = [group[0][0] for group in groups]
    is_roomy = all(later - before > ROOM * width for before, later in pairwise(starts))
    marks = [_mark(group, is_roomy) for group in groups]
    gathered = source.gathered
    stalls = [step for one in gathered.stalls if (step := whole(one.get("step"))) is not None]
    return [
        *marks,
        *(Mark(step, f"training {number}", "", INK) for number, step in enumerate(gathered.trainings, 2)),
        *(Mark(step, "stood still", "", FAINT) for step in sorted(set(stalls))[:MOST_NUMBERS]),
        *(Mark(step, "kept", "", FAINT) for step in sorted(set(gathered.checkpoints))[:MOST_NUMBERS]),
    ]


def _mark(group: Sequence[tuple[int, int, Found]], is_roomy: bool) -> Mark:
    """One line for findings that began at about the same step; named in the picture where there is room."""
    numbers = [place for _, place, _ in group]
    more = f" +{len(group) - MOST_NUMBERS}" if len(group) > MOST_NUMBERS else ""
    text = ", ".join(map(str, numbers[:MOST_NUMBERS])) + more
    if is_roomy and len(group) == 1:
        text = f"{text} {shortened(group[0][2].rule)}"
    said = ", ".join(f"{place} {shortened(one.rule)}" for _, place, one in group[:MOST_NUMBERS]) + more
    is_severe = any(one.severity in _SEVERE for *_, one in group)
    return Mark(group[0][0], text, f"{said} at step {group[0][0]:,}", BAD if is_severe else WARN)


def _close(found: Sequence[tuple[int, int, Found]], width: float) -> list[list[tuple[int, int, Found]]]:
    groups: list[list[tuple[int, int, Found]]] = []
    for one in found:
        if groups and one[0] - groups[-1][0][0] <= width:
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def said_of(marks: Sequence[Mark]) -> str:
    """The findings among the marks in words: nothing where nothing is marked."""
    told = [mark.said for mark in marks if mark.said]
    more = f" and {len(told) - MOST_SAID} lines more" if len(told) > MOST_SAID else ""
    return f" Marked findings: {', '.join(told[:MOST_SAID])}{more}." if told else ""


def draw_time(panels: Sequence[Axes], source: Source, marks: Sequence[Mark]) -> None:
    """Marks epochs and what happened in panels that share their steps; says below the last of them what a step is.

    Labels of marks stand above the first panel, where no curve is.
    """
    ends = source.gathered.epoch_ends()
    for panel in panels:
        if len(ends) > 1:
            panel.grid(visible=False, axis="x")
            mark_epochs(panel, ends)
        for mark in marks:
            panel.axvline(mark.step, color=mark.colour, linewidth=0.9, linestyle=(0, (4, 2)))
    width = max(1, source.gathered.last_step)
    labelled: list[int] = []
    for mark in marks:
        # Findings come first in `marks`: theirs are always there.
        if not mark.said and any(abs(mark.step - step) < ROOM / 2 * width for step in labelled):
            continue
        labelled.append(mark.step)
        is_late = mark.step > 0.7 * width
        panels[0].annotate(
            mark.text, (mark.step, 1.0), xycoords=("data", "axes fraction"), xytext=(2 if is_late else -2, 2),
            textcoords="offset points", color=mark.colour, fontsize=7, ha="right" if is_late else "left", va="bottom",
        )  # fmt: skip
    few_steps(panels[-1], most=8)
    panels[-1].set_xlabel(axis_words(source.gathered))


def axis_words(gathered: Gathered) -> str:
    """What the axis of steps says: how long an epoch is, where all are about as long."""
    spans = epoch_spans(gathered)
    if not spans:
        return "step"
    lengths = sorted(last + 1 - first for first, last in spans)
    usual = lengths[len(lengths) // 2]
    if len(spans) == 1:
        return f"step (one epoch of {usual:,})"
    if lengths[0] >= 0.8 * usual and lengths[-1] <= 1.2 * usual:
        return f"step ({len(spans):,} epochs of {usual:,} steps)"
    return f"step ({len(spans):,} epochs; lines at their ends)"


def epoch_spans(gathered: Gathered) -> list[tuple[int, int]]:
    """First and last step of each epoch that is known, in their order."""
    spans: list[tuple[int, int]] = []
    for step, data in gathered.epochs.all:
        last = whole(data.get("last_step"))
        last = step if last is None else last
        first = whole(data.get("first_step"))
        if first is None:
            first = spans[-1][1] + 1 if spans else 0
        if first <= last and (not spans or last > spans[-1][1]):
            spans.append((first, last))
    return spans


def whole(value: Any) -> int | None:
    """The value as a step, or None where it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or abs(value) > 2**53:
        return None
    return int(value)
