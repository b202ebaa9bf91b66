"""What the facts of a run say about a finding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from ...rules.engine.rule import Rule
from ..gathering.found import Found, is_number

MOST_ROWS, MOST_TEXT = 8, 160
MOST_LEAVES, MOST_MARKS = 2000, 20
_THEN = " › "


def rows_of_facts(found: Found, rule: type[Rule] | None, facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(where, value) of what the needed facts say that is neither empty nor zero: what names the subject first."""
    rows: list[tuple[str, str]] = []
    for name in rule.needs_facts if rule is not None else ():
        value = facts.get(name)
        leaves = list(islice(_leaves(name, value, 6), MOST_LEAVES))
        rows += leaves or list(islice(_leaves(name, value, 6, with_no=True), MOST_LEAVES))
    marks = [mark for mark in (*found.subjects[:MOST_MARKS], *found.evidence) if mark]
    told = [row for row in rows if any(_tells(row, mark) for mark in marks)]
    beside = {row[0].rpartition(_THEN)[0] for row in told}
    near = [row for row in rows if row not in told and row[0].rpartition(_THEN)[0] in beside]
    rest = [row for row in rows if row not in told and row not in near and row[0].count(_THEN) <= 2]
    return ([*told, *near, *rest] or rows)[:MOST_ROWS]


def _tells(row: tuple[str, str], mark: str) -> bool:
    """Whether a row names this subject, or this piece of evidence."""
    where, value = row
    parts = {where.rpartition(_THEN)[2], *value.split(", ")}
    return mark in parts or any(part.startswith(f"{mark}.") for part in parts)


def _leaves(path: str, value: object, depth: int, *, with_no: bool = False) -> Iterator[tuple[str, str]]:
    is_no = value is None or value is False or (value == 0 and is_number(value))
    if (is_no and not with_no) or value in ("", [], {}):
        return
    if isinstance(value, Mapping):
        if depth <= 0:
            return
        for key, inner in list(value.items())[:200]:
            if key != "defaults":  # of an optimizer: its groups say what holds
                yield from _leaves(f"{path}{_THEN}{key}" if key else path, inner, depth - 1, with_no=with_no)
    elif isinstance(value, (list, tuple)):
        if all(isinstance(one, Mapping) for one in value):
            for number, inner in enumerate(value[:8]):
                place = path if len(value) == 1 else f"{path}{_THEN}{number}"
                yield from _leaves(place, inner, depth - 1, with_no=with_no)
        else:
            text = ", ".join(shown(one) for one in value[:12])
            yield path, _cut(f"{text}, …" if len(value) > 12 else text)
    else:
        yield path, _cut(shown(value))


def shown(value: object) -> str:
    """A value in a few letters."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "yes" if value is True else "no" if value is False else "none" if value is None else str(value)


def _cut(text: str) -> str:
    return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 1]}…"
