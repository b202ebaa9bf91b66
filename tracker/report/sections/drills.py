"""What a preflight came to: the drill that failed first, and the table of all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone

from ..blocks import Banner, Block, Facts, Section, Table, Text
from ..drills.rows import SYMBOLS, Row, rows_of
from ..gathering.found import is_number
from ..gathering.sources import Source
from ..recorded.forms import rows_in
from .summary import lasting


def sections(source: Source) -> Sequence[Section]:
    """Always one, the first of the page."""
    rows = rows_of(source)
    blocks: list[Block] = [_banner(source, rows)]
    if rows:
        cells = [
            (row.title, f"{SYMBOLS.get(row.status, '?')} {row.status}", row.says, ", ".join(row.rules), _seconds(row))
            for row in rows
        ]
        headers = ("drill", "result", "what was measured", "found", "seconds")
        blocks.append(Table(headers, cells, numeric=frozenset({4})))
    crashed = rows_in(source.verdict.get("crashed"))
    if crashed:
        names = [f"{one.get('rule')}: {one.get('reason')}" for one in crashed]
        blocks.append(Text(names, "warn", is_list=True, label="Rules that failed while they judged"))
    facts = list(_facts(source, rows))
    if facts:
        blocks.append(Facts(facts))
    parts = [f"Experiment {source.experiment}"] if source.experiment else []
    return [Section("drills", source.name or "Preflight", blocks, note=" · ".join([*parts, f"run {source.run_id}"]))]


def _banner(source: Source, rows: Sequence[Row]) -> Banner:
    counts = {status: sum(row.status == status for row in rows) for status in SYMBOLS}
    said = ", ".join(f"{count} {status}" for status, count in counts.items())
    if not rows:
        return Banner("No drills", "?", "warn", ("The table of the drills is not there, or not in a form of ours.",))
    if counts["failed"]:
        table = source.verdict.get("preflight")
        failures = rows_in(table.get("failures")) if isinstance(table, Mapping) else []
        head = next(row for row in rows if row.status == "failed")
        lines = [said[:1].upper() + said[1:] + "."]
        if failures:
            message = str(failures[0].get("message") or head.says)
            lines.insert(0, message[:1].upper() + message[1:])
            advice = failures[0].get("advice")
            lines += [f"First thing to try: {advice[0]}"] if isinstance(advice, list) and advice else []
        word = "1 drill failed" if counts["failed"] == 1 else f"{counts['failed']} drills failed"
        return Banner(f"{word}: {head.title}", "✖", "bad", lines)
    if counts["passed"]:
        return Banner("Passed", "✓", "good", (f"No drill failed: {said}.",))
    return Banner("Could not be done", "?", "warn", ("Every drill was skipped; the table says why.",))


def _seconds(row: Row) -> str:
    return "" if row.seconds is None else f"{row.seconds:.1f}"


def _facts(source: Source, rows: Sequence[Row]) -> Iterator[tuple[str, object]]:
    if source.started is not None and is_number(source.started):
        moment = datetime.fromtimestamp(source.started, timezone.utc)
        yield "Started", moment.strftime("%Y-%m-%d %H:%M UTC")
    spent = sum(row.seconds or 0.0 for row in rows)
    if spent > 0:
        yield "The drills took", lasting(spent)
