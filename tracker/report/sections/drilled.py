"""What each drill measured: pictures of those that have curves, unless they stand with a finding, and all numbers."""

from __future__ import annotations

from collections.abc import Sequence

from ..blocks import Block, Group, Section
from ..drills.plots import plots_of
from ..drills.rows import SYMBOLS, Row, drill_of, rows_of
from ..findings.stories import rule_named
from ..gathering.found import found_in
from ..gathering.sources import Source
from ..recorded.forms import cut_table, flat

MOST_PLOTS = 24


def sections(source: Source) -> Sequence[Section]:
    """One, where any drill has measured something."""
    rows = [row for row in rows_of(source) if row.fact]
    blocks: list[Block] = []
    shown = {drill_of(rule_named(one.rule)) for one in found_in(source.verdict.get("findings"))}
    for row in rows:
        if len(blocks) < MOST_PLOTS and row.drill not in shown:
            blocks += plots_of(source, row)
    numbers = [group for row in rows for group in _numbers(row)]
    if numbers:
        blocks.append(Group(f"The numbers of {len(numbers)} drills", numbers, folded=True))
    return [Section("drilled", "What the drills measured", blocks)] if blocks else []


def _numbers(row: Row) -> list[Block]:
    shown = {key: value for key, value in row.fact.items() if key != "summary" and value not in (None, "", [], {})}
    tables = cut_table(("number", "value"), tuple(flat(shown)))
    return [Group(f"{SYMBOLS.get(row.status, '?')} {row.title}", tables, folded=True)] if tables else []
