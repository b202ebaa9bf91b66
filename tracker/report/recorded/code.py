"""The state of the code: command, commit, what differs from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..blocks import Block, Code, Text
from .forms import MOST_ROWS, cut_table, facts_of, table_in

MOST_PATCH = 60_000
"""Characters of the uncommitted changes that are shown; all of them are in the captured file."""
_KINDS = {
    "git": "a git repository with its uncommitted changes",
    "files": "copies of the source files; there is no git repository",
    "plain": "copies of the source files; there is no git repository",
}


def blocks(captured: Mapping[str, Any]) -> list[Block]:
    """Nothing where no code was captured."""
    facts, run = table_in(captured, "code.json"), table_in(captured, "run.json")
    if not facts:
        return []
    argv = run.get("orig_argv")
    found: list[Block] = [
        *facts_of(
            (
                ("command", " ".join(map(str, argv)) if isinstance(argv, list) else None),
                ("started in", run.get("cwd")),
                ("stored as", _KINDS.get(str(facts.get("kind")), facts.get("kind"))),
                ("commit", facts.get("commit")),
                ("branch", facts.get("branch")),
                ("remote", facts.get("remote")),
                ("commit is on the remote", facts.get("base_on_remote") if facts.get("remote") else None),
                ("uncommitted changes", facts.get("dirty")),
                ("identity of all files (git tree)", facts.get("tree")),
            )
        )
    ]
    changed = facts.get("changed")
    if isinstance(changed, list) and changed:
        title = f"{facts.get('changed_files') or len(changed)} files differ from the commit"
        found += [Text((title,)), Text([str(name) for name in changed[:MOST_ROWS]], is_list=True)]
    patch = captured.get("changes.patch.txt")
    if isinstance(patch, str) and patch.strip():
        found.append(_cut(patch, "Uncommitted changes", is_diff=True))
    listed = captured.get("code.files.txt")
    if isinstance(listed, str):
        rows = (line.split(None, 2) for line in listed.splitlines())
        names = [(row[2], row[1][:12]) for row in rows if len(row) == 3]
        found += cut_table(("file", "git blob"), names, "{n} files of the project")
    return found


def _cut(text: str, title: str, is_diff: bool = False) -> Code:
    if len(text) <= MOST_PATCH:
        return Code(text, folded=f"{title}, {len(text.splitlines())} lines", is_diff=is_diff)
    shown = text[: max(text.rfind("\n", 0, MOST_PATCH), MOST_PATCH // 2)]
    return Code(shown, "The rest is in capture/changes.patch.txt.", f"{title}, the beginning", is_diff)
