"""The data files of a run, and how surely they are identified."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..blocks import Block, Text
from .forms import MOST_ROWS, byte_size, cut_table, rows_in, table_in

_KINDS = {"full": "its whole content", "sampled": "samples of its content", "listed": "its name alone"}
_IDENTITY = {
    "complete": "every file that was read is identified",
    "partial": "some of what was read is not identified",
    "unknown": "it is not known what was read",
    "none": "no file was read",
}
_MORE = (
    ("Declared by the user", "declared"),
    ("Written by the run", "outputs"),
    ("Readers that cannot be seen", "unseen_readers"),
)


def blocks(captured: Mapping[str, Any]) -> list[Block]:
    """Nothing where no data was captured."""
    facts = table_in(captured, "data.json")
    if not facts:
        return []
    identity = str(facts.get("identity"))
    total = f"{facts.get('files', 0)} files, {byte_size(facts.get('bytes')) or 'of unknown size'}"
    found: list[Block] = [Text((f"{total}: {_IDENTITY.get(identity, identity)}.",))]
    found += cut_table(
        ("file", "size", "identified by", "SHA-256"),
        (
            (item.get("path"), byte_size(item.get("size")), _identified(item), str(item.get("sha256") or "")[:16])
            for item in rows_in(facts.get("items"))
        ),
        "{n} files",
    )
    for title, name in _MORE:
        rows = facts.get(name)
        if isinstance(rows, list) and rows:
            found += [Text((f"{title}:",)), Text([_named(row) for row in rows[:MOST_ROWS]], is_list=True)]
    return found


def _identified(item: Mapping[str, Any]) -> str:
    kind = str(item.get("kind"))
    by = _KINDS.get(kind) or f"{kind} {item.get('reason') or ''}".strip()
    package = item.get("distribution")
    return f"{by}, in {package}" if package else by


def _named(row: object) -> str:
    return str(row.get("path") or row.get("name") or dict(row)) if isinstance(row, Mapping) else str(row)
