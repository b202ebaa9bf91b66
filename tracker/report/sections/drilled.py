"""What each drill measured: pictures of those that have curves, and the numbers of all."""

from __future__ import annotations

from collections.abc import Sequence

from ..blocks import Block, Group, Section
from ..drills.plots import plots_of
from ..drills.rows import SYMBOLS, Row, rows_of
from ..gathering.sources import Source
from ..recorded.forms import cut_table, flat

MOST_PLOTS = 24


def sections(source: Source) -> Sequence[Section]:
    """One, where any drill has measured something."""
    rows = [row for row in rows_of(source) if row.fact]
    blocks: list[Block] = []
    for row in rows:
        if len(blocks) < MOST_PLOTS:
            blocks += plots_of(source, row)
    numbers = [group for row in rows for group in _numbers(row)]
    if numbers:
        blocks.append(Group(f"The numbers of {len(numbers)} drills", numbers, folded=True))
    return [Section("drilled", "What the drills measured", blocks)] if blocks else []


def _numbers(row: Row) -> list[Block]:
    shown = {key: value for key, value in row.fact.items() if key != "summary" and value not in (None, "", [], {})}
    tables = cut_table(("number", "value"), tuple(flat(shown)))
    return [Group(f"{SYMBOLS.get(row.status, '?')} {row.title}", tables, folded=True)] if tables else []
