"""What the rules found in one run, in the other, and in both."""

from __future__ import annotations

from collections.abc import Sequence

from ..blocks import Section, Table, Text
from ..gathering.found import Found, found_in
from ..gathering.sources import Source
from .pair import Pair


def sections(pair: Pair) -> Sequence[Section]:
    """Always one."""
    a, b = (_by_rule(source) for source in (pair.a, pair.b))
    rules = list(dict.fromkeys([*a, *b]))
    if not rules:
        return [Section("findings", "Findings", (Text(("Nothing was found in either.",), "good"),))]
    rows = [(rule, _said(a.get(rule)), _said(b.get(rule))) for rule in rules]
    return [Section("findings", "Findings", (Table(("rule", "A", "B"), rows),))]


def _by_rule(source: Source) -> dict[str, Found]:
    found: dict[str, Found] = {}
    for one in found_in(source.verdict.get("findings")):
        found.setdefault(one.rule, one)
        for consequence in one.consequences:
            found.setdefault(consequence.rule, consequence)
    return found


def _said(found: Found | None) -> str:
    if found is None:
        return "not found"
    since = f", since step {found.first_step}" if found.first_step is not None else ""
    return f"{found.severity}{since}: {found.message}"
