"""A comparison of models as plain text: the verdict, where it begins, and a line for every layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .result import First, ModelComparison, Row
    from .sizes import Size
    from .weights import WeightDifference

MOST_ROWS = 60
"""Layers in the table; around the first differences."""
MOST_WEIGHTS = 20
HEADERS = ("layer in A", "layer in B", "input", "output", "gradient at output", "passed on")


def summary(found: ModelComparison) -> str:
    """The result in one or two sentences."""
    if found.unjudged:
        return found.unjudged
    said = []
    if found.first_output is not None:
        said.append(f"The outputs differ first at {found.first_output.title}.")
    if found.first_gradient is not None:
        said.append(f"From the last layer backwards, the gradients differ first at {found.first_gradient.title}.")
    if found.buffers:
        first = found.buffers[0]
        said.append(f"{len(found.buffers)} {_plural('buffer', found.buffers)} left differently, {first.a} most of all.")
    if found.weights:
        first = found.weights[0]
        word = _plural("tensor", found.weights)
        said.append(f"{len(found.weights)} {word} not the same, most of all {first.a or first.b}.")
    if not said:
        if not found.rows:
            return "The same."
        has_gradients = any(row.gradient is not None for row in found.rows)
        what = "outputs and gradients agree" if has_gradients else "outputs agree (no gradients were compared)"
        return f"The same: {what} up to rounding through {len(found.rows)} layers."
    return " ".join(said)


def text(found: ModelComparison) -> str:
    """The whole."""
    lines = [summary(found), ""]
    for title, first in (("First output", found.first_output), ("First gradient", found.first_gradient)):
        if first is not None:
            lines += [*_of_first(title, first), ""]
    if found.others:
        lines += [
            "Different on its own as well:",
            *(f"  {one.title}: {one.at}, {one.size}" for one in found.others),
            "",
        ]
    if found.buffers:
        lines += ["Buffers behind the pass:", *_of_weights(found.buffers), ""]
    if found.weights:
        lines += ["Weights:", *_of_weights(found.weights), ""]
    if found.rows:
        lines += [*aligned_lines([HEADERS, *map(cells, shown(found.rows))]), ""]
    joined = [one.says for one in found.matching.matches if one.by not in ("name", "table")]
    if joined:
        more = f"  and {len(joined) - MOST_WEIGHTS} more" if len(joined) > MOST_WEIGHTS else ""
        lines += [
            "Matched otherwise than by name:",
            *(f"  {one}" for one in joined[:MOST_WEIGHTS]),
            *([more] * bool(more)),
            "",
        ]
    if found.settings:
        lines += ["Settings that differ:", *(f"  {one}" for one in found.settings[:MOST_WEIGHTS]), ""]
    lines += [*found.notes]
    if found.judged_by:
        lines.append(found.judged_by)
    return "\n".join(lines).rstrip()


def _of_first(title: str, first: First) -> list[str]:
    other = "" if first.b == first.a else f", {first.b or 'the model itself'} ({first.kind_b}) in B"
    lines = [f"{title}: {first.title}{other}"]
    if first.is_own_code:
        lines.append(f"  by what it does itself, seen at {first.at}")
    else:
        lines.append(f"  seen at {first.at}")
    lines.append(f"  {first.size}" + ("" if first.exact is None else f"; in float64 {first.exact:.2g} of the rms"))
    if first.before:
        lines.append(f"  the last that agrees: {first.before}")
    return lines + [f"  {one}" for one in first.hints]


def _of_weights(found: Sequence[WeightDifference]) -> list[str]:
    lines = []
    for one in found[:MOST_WEIGHTS]:
        name = one.a if one.a == one.b or not one.b else one.b if not one.a else f"{one.a} / {one.b}"
        rank = (
            "" if one.rank is None else f"; a difference of rank {one.rank} of {one.full_rank}, as an adapter makes it"
        )
        lines.append(f"  {name}: {one.size}{rank}")
    if len(found) > MOST_WEIGHTS:
        lines.append(f"  and {len(found) - MOST_WEIGHTS} more")
    return lines


def shown(rows: Sequence[Row]) -> Sequence[Row]:
    """All rows, or, of many, those around the first that differs and the last."""
    if len(rows) <= MOST_ROWS:
        return rows
    first = next((at for at, row in enumerate(rows) if row.output_differs or row.gradient_differs), 0)
    start = max(0, min(first - MOST_ROWS // 3, len(rows) - MOST_ROWS))
    return rows[start : start + MOST_ROWS]


def cells(row: Row) -> tuple[str, ...]:
    """Of one layer; `!` marks what is more than rounding."""
    call = f" #{row.call + 1}" if row.call else ""
    names = [f"{name or '(model)'}{call} {kind}" for name, kind in ((row.a, row.kind_a), (row.b, row.kind_b))]
    return (
        *names,
        _said(row.input),
        _said(row.output) + (" !" if row.output_differs else ""),
        _said(row.gradient),
        _said(row.passed_on) + (" !" if row.gradient_differs else ""),
    )


def _said(size: Size | None) -> str:
    if size is None:
        return "-"
    if size.kind != "values":
        return {"shape": f"{size.a} / {size.b}", "nonfinite": "not finite", "missing": f"{size.a} / {size.b}"}[
            size.kind
        ]
    return "0" if not size.relative else f"{size.relative:.1e}"


def aligned_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of text, two blanks apart."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _plural(word: str, found: Sequence[object]) -> str:
    return f"{word} is" if len(found) == 1 else f"{word}s are"
