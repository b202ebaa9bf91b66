"""Which run is which, and how they compare in one look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...rules.engine.signals import LOSS
from ..blocks import Banner, Block, Section, Table
from ..drawing.lines import number
from ..gathering.found import found_in
from ..gathering.sources import Source
from ..training.numbers import rows_of_numbers
from .pair import Pair

_VERDICTS = {"true": "suspicious", "false": "not suspicious"}


def sections(pair: Pair) -> Sequence[Section]:
    """Always one."""
    comparison, numbers = pair.comparison, pair.comparison.numbers
    if numbers.is_bitwise and numbers.same_shape:
        banner = Banner("The same bits", "=", "good", (f"{numbers.n_points} numbers were compared.",))
    elif not numbers.n_points:
        banner = Banner("No number in common", "?", "warn", (comparison.explanation,))
    else:
        banner = Banner("They part", "≠", "warn", tuple(_parting(pair)))
    blocks: list[Block] = [banner, Table(("", "A", "B"), _about(pair), caption="The two runs")]
    rows = _finals(pair)
    if rows:
        headers = ("last value", "A", "B", "difference")
        blocks.append(Table(headers, rows, "Numbers at the end", numeric=frozenset({1, 2, 3})))
    note = f"A: {pair.a.name} ({pair.a.run_id}) · B: {pair.b.name} ({pair.b.run_id})"
    return [Section("summary", "A and B", blocks, note)]


def _parting(pair: Pair) -> Iterator[str]:
    yield pair.comparison.explanation
    first, numbers = pair.first, pair.comparison.numbers
    if first is not None:
        yield f"First: {first.metric} at step {first.step}, {first.a!r} in A and {first.b!r} in B ({first.size})."
    yield f"{numbers.n_different} of {numbers.n_points} numbers in common differ."


def _about(pair: Pair) -> list[tuple[str, str, str]]:
    rows = [("run", pair.a.run_id, pair.b.run_id)]
    rows += [(name, _said(pair.a, name), _said(pair.b, name)) for name in ("verdict", "headline", "grade", "status")]
    rows.append(("steps", _steps(pair.a), _steps(pair.b)))
    return rows


def _steps(source: Source) -> str:
    loss = source.gathered.curve(LOSS.name)
    return f"{loss.last[0] + 1:,}" if loss is not None and loss.last is not None else "not known"


def _said(source: Source, what: str) -> str:
    if what == "verdict":
        return _VERDICTS.get(str(source.verdict.get("suspicious")), "not judged")
    if what == "headline":
        found = found_in(source.verdict.get("findings"))
        return f"{found[0].rule}: {found[0].message}" if found else "nothing found"
    if what == "grade":
        return str(source.tags.get("repro.grade") or source.proof.get("grade") or "not known")
    return source.status.lower()


def _finals(pair: Pair) -> list[tuple[str, str, str, str]]:
    """The last values of what both have; of anything else, each side's own."""
    a, b = ({row[0]: row[4] for row in rows_of_numbers(one.gathered)} for one in (pair.a, pair.b))
    rows = []
    for name in dict.fromkeys([*a, *b]):
        one, other = a.get(name, ""), b.get(name, "")
        rows.append((name, one, other, _apart(one, other)))
    return rows


def _apart(one: str, other: str) -> str:
    try:
        return number(float(other) - float(one))
    except ValueError:
        return ""
