"""How captured content is read and said: whatever form it has, nothing here raises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..blocks import Facts, Table

MOST_ROWS = 500
"""Rows of a table; of more, their number is said."""


def table_in(value: object, *path: str) -> Mapping[str, Any]:
    """The mapping at the end of `path`; an empty one where there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def rows_in(value: object) -> list[Mapping[str, Any]]:
    """The mappings in a list."""
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []


def said(value: object) -> str:
    """A value in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def facts_of(pairs: Iterable[tuple[str, object]]) -> list[Facts]:
    """What is known of them; none of it makes no block."""
    known = [(name, said(value)) for name, value in pairs if value not in (None, "", [], {}, ())]
    return [Facts(known)] if known else []


def cut_table(
    headers: tuple[str, ...], rows: Iterable[tuple[object, ...]], folded: str = "", caption: str = ""
) -> list[Table]:
    """A table of at most `MOST_ROWS` rows, which says how many there are; no block without a row."""
    all_rows = [tuple(said(cell) for cell in row) for row in rows]
    if not all_rows:
        return []
    shown = all_rows[:MOST_ROWS]
    if len(all_rows) > len(shown):
        caption = f"{caption} The first {MOST_ROWS} of {len(all_rows)}.".strip()
    return [Table(headers, shown, caption, folded.format(n=len(all_rows)) if folded else "")]


def byte_size(size: object) -> str:
    """A number of bytes in the unit that fits; nothing for what is no number."""
    if not isinstance(size, (int, float)) or isinstance(size, bool):
        return ""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size:g} bytes"


def flat(value: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """(dotted name, value) of everything in nested mappings and lists of mappings."""
    if isinstance(value, Mapping) and value:
        for name, one in value.items():
            yield from flat(one, f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(value, list) and any(isinstance(one, Mapping) for one in value):
        for index, one in enumerate(value):
            yield from flat(one, f"{prefix}[{index}]")
    elif prefix:
        yield prefix, value
