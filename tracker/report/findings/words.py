"""What the picture of a finding shows, in words and in numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..blocks import Table
from ..drawing.lines import shortened
from ..gathering.curves import Curve
from ..gathering.found import Found
from .evidence import Panel

_ROWS, _MOST_ROWS, _MOST_COLUMNS = 16, 30, 4


def count(others: int) -> str:
    """How many others, in words."""
    return "1 other" if others == 1 else f"{others} others"


def capital(text: str) -> str:
    """The text with its first letter large."""
    return text[:1].upper() + text[1:]


def says(found: Found, panels: Sequence[Panel]) -> Iterator[str]:
    """What is to be seen of a finding, in sentences with numbers."""
    for panel in panels:
        if panel.columns:
            top = max(panel.columns, key=lambda column: column.value)
            least = min(panel.columns, key=lambda column: column.value)
            yield f"{capital(panel.title)}: most for {shortened(top.label)} with {top.value:.6g}, least for " + (
                f"{shortened(least.label)} with {least.value:.6g}, of {len(panel.columns)} classes."
            )
            continue
        for line in panel.subjects[:2]:
            curve, name = line.curve, shortened(line.label)
            if not name or name == panel.title:
                about = capital(panel.title)
            else:  # of several signals each line has a name that says it all
                about = capital(name) if len(panel.unit) > 1 else f"{capital(panel.title)} ({name})"
            lost = f", not finite from step {curve.first_nonfinite}" if curve.first_nonfinite is not None else ""
            if float(curve.lows.min()) == float(curve.highs.max()):
                yield f"{about}: {curve.means[0]:.4g} throughout{lost}."
                continue
            yield (
                f"{about}: {curve.means[0]:.4g} at step {curve.steps[0]:.0f}, "
                f"{curve.means[-1]:.4g} at step {curve.steps[-1]:.0f}, between {curve.lows.min():.4g} and "
                f"{curve.highs.max():.4g}{lost}."
            )
        if panel.others:
            ends = [float(line.curve.means[-1]) for line in panel.others]
            range_of = f"at {ends[0]:.4g}" if len(ends) == 1 else f"between {min(ends):.4g} and {max(ends):.4g}"
            yield f"{count(len(ends)).capitalize()} end{'s' if len(ends) == 1 else ''} {range_of}."
        limits = [f"{bar.label} {bar.value:.4g}" for bar in panel.bars]
        if limits:
            yield f"Levels: {', '.join(limits)}."
    if found.first_step is not None:
        gone = f", gone at step {found.resolved_at}" if found.resolved_at is not None else ""
        yield f"Found at step {found.first_step}{gone}."


def numbers(panels: Sequence[Panel]) -> Table | None:
    """Some of the numbers of the lines that are at fault, by step; or those of the classes."""
    lines = [(line.label or panel.title, line.curve) for panel in panels for line in panel.subjects][:_MOST_COLUMNS]
    if not lines:
        rows = [(column.label, f"{column.value:.6g}") for panel in panels for column in panel.columns]
        return Table(("class", panels[0].title), rows[:_MOST_ROWS], folded="The numbers", numeric=frozenset({1}))
    longest = max((curve for _, curve in lines), key=len)
    places = sorted({round(place) for place in np.linspace(0, len(longest) - 1, min(_ROWS, len(longest)))})
    steps = [float(longest.steps[place]) for place in places]
    table = [(f"{step:.0f}", *(_value_at(curve, step, longest.width) for _, curve in lines)) for step in steps]
    headers = ("step", *(shortened(name) for name, _ in lines))
    return Table(headers, table, folded="The numbers", numeric=frozenset(range(1, len(headers))))


def _value_at(curve: Curve, step: float, width: int) -> str:
    """The value nearest to a step; nothing where none is near."""
    gaps = np.abs(curve.steps - step)
    place = int(gaps.argmin())
    return f"{curve.means[place]:.6g}" if gaps[place] <= max(1.0, width, curve.width) else ""
