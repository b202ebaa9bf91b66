"""What was recorded of the two runs and is not the same, the best explanation first."""

from __future__ import annotations

from collections.abc import Sequence

from ...compare.kinds import RecordedDifference
from ..blocks import Block, Code, Group, Section, Table, Text
from ..recorded.forms import cut_table, said
from .pair import Pair

MOST_LINES = 400
"""Lines of code that are shown."""
FIRST_ROWS = 12
"""Differences that stand open; the others are folded."""
_BRIEF = 200
_FITS = {"likely": "likely", "possible": "possible", "unlikely": "unlikely", "no": "no"}


def sections(pair: Pair) -> Sequence[Section]:
    """Always one."""
    found = pair.comparison.differences
    if not found:
        line = "Nothing that was recorded differs: code, parameters, environment, data and randomness are the same."
        return [Section("differences", "What differs", (Text((line,)),))]
    rows = [(one.what, *map(_brief, _sides(one)), _FITS[one.fit], one.reason) for one in found]
    telling = [row for row, one in zip(rows, found, strict=True) if one.score > 0 or one.kind != "random state"]
    rest = [row for row in rows if row not in telling]
    headers = ("what", "A", "B", "explains it", "why")
    blocks: list[Block] = [*cut_table(headers, telling[:FIRST_ROWS], caption="The best explanation comes first.")]
    blocks += cut_table(headers, telling[FIRST_ROWS:], "{n} more")
    blocks += cut_table(headers, rest, "{n} more that explain nothing")
    blocks += _code(pair)
    return [Section("differences", "What differs", blocks)]


def _sides(one: RecordedDifference) -> tuple[object, object]:
    return (one.a, one.b) if one.hunk is None or one.hunk.whole else one.hunk.telling


def _brief(value: object) -> str:
    text = " ".join(said(value).split()) if value is not None else "none"
    return text if len(text) <= _BRIEF else f"{text[: _BRIEF - 1]}…"


def _code(pair: Pair) -> list[Block]:
    code = pair.comparison.code
    if code.problem:
        return [Text((f"Code: {code.problem}.",), "warn")]
    lines: list[str] = []
    for hunk in code.hunks:
        lines.append(f"@@ {hunk.place}{f' ({hunk.whole})' if hunk.whole else ''}")
        lines += [*(f"-{line}" for line in hunk.removed), *(f"+{line}" for line in hunk.added)]
    if not lines:
        return []
    more = f"The first {MOST_LINES} of {len(lines)} lines." if len(lines) > MOST_LINES else ""
    shown: list[Block] = [Code("\n".join(lines[:MOST_LINES]), more, is_diff=True)]
    if code.stat:
        shown.append(Table(("files",), [(line.strip(),) for line in code.stat.splitlines()[:100]], folded="Files"))
    return [Group("Code, from A to B", shown)]
