"""Which rules did not judge, and why; and which looked and found nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..blocks import Block, Group, Section, Table, Text
from ..gathering.sources import Source

_OTHERS = "Could not tell"
_REASONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Switched off", ("off:", "on request only")),
    ("Kept back", ("found, but not yet", "suppressed:")),
    ("Not meant for this kind of training", ("not meant for the task profile", "in the task profile")),
    ("Nothing to compare with", ("earlier runs",)),
    ("Never asked", ("never asked",)),
    ("Numbers that were not finite", ("not finite",)),
    ("Too short, or too little of it", ("needed", "judged from", "judged at", "warming up", "too few")),
    ("Nothing of the kind in this run", ("was not observed", "is not known", "no ", "nothing")),
)
"""What reasons have in common, by the words in them; the first that fits."""


def sections(source: Source) -> Sequence[Section]:
    """One, where rules were asked."""
    skipped, crashed = _pairs(source.verdict.get("skipped")), _pairs(source.verdict.get("crashed"))
    listed = source.verdict.get("clear")
    clear = sorted(str(one) for one in listed) if isinstance(listed, (list, tuple)) else []
    if not (skipped or crashed or clear):
        return []
    blocks: list[Block] = []
    if crashed:
        text = "These rules failed while they were asked; what they look for may be there."
        blocks.append(Group(f"Failed ({len(crashed)})", (Text((text,)), _table(crashed)), tone="bad"))
    groups = _grouped(skipped)
    if groups:
        folded = [Group(f"{title} ({len(rows)})", (_table(rows),), folded=True) for title, rows in groups.items()]
        blocks += [Text((f"{len(skipped)} rules did not judge this run; each says why.",)), *folded]
    if clear:
        blocks.append(Group(f"Looked, and found nothing ({len(clear)})", (Text((", ".join(clear),)),), folded=True))
    counts = [f"{len(clear)} clear", f"{len(skipped)} did not judge", f"{len(crashed)} failed"]
    return [Section("skipped", "What was not judged", blocks, note=", ".join(counts))]


def _pairs(value: object) -> list[tuple[str, str]]:
    """(rule, reason) of each entry that is one."""
    entries = value if isinstance(value, (list, tuple)) else ()
    return [
        (str(one.get("rule") or "?"), str(one.get("reason") or "no reason was given"))
        for one in entries
        if isinstance(one, Mapping)
    ]


def _grouped(skipped: Sequence[tuple[str, str]]) -> dict[str, list[tuple[str, str]]]:
    """By what the reasons have in common, most rules first; what could not be told comes last."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for rule, reason in skipped:
        title = next((title for title, marks in _REASONS if any(mark in reason for mark in marks)), _OTHERS)
        groups.setdefault(title, []).append((rule, reason))
    return dict(sorted(groups.items(), key=lambda item: (item[0] == _OTHERS, -len(item[1]))))


def _table(rows: Sequence[tuple[str, str]]) -> Table:
    return Table(("rule", "why"), rows)
