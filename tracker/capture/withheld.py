"""Which uncommitted files must not be stored because they show a secret, and what is stored in their place."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .bundle import read_blobs
from .git import PrivateStore
from .secrets import find_secrets, redact
from .snapshot import Entries

SCANNED_COMMITTED_BYTES = 2_000_000
"""How much of the unchanged, committed text is looked at: enough for a project's own sources, 0.1 s of time."""

_LARGEST_COMMITTED_FILE = 200_000


@dataclass(frozen=True)
class Withheld:
    """A file that was left out, what it seemed to show, and where its redacted twin lies below the capture folder."""

    path: bytes
    kinds: tuple[str, ...]
    twin: str


def as_text(content: bytes) -> str | None:
    """Return `content` as text, or None where it is binary: a zero byte within its first 8000, as git judges it."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace")
    return None if b"\0" in content[:8000] else content.decode("utf-8", "replace")


def new_secrets(content: bytes, committed: bytes | None = None) -> tuple[str, ...]:
    """Return the kinds of secrets that `content` shows and its committed form, if there is one, does not."""
    text = as_text(content)
    if text is None:
        return ()
    found = find_secrets(text)
    if not found:
        return ()
    before = (as_text(committed) if committed is not None else None) or ""
    known = {before[secret.start : secret.end] for secret in find_secrets(before)}
    return tuple(sorted({secret.kind for secret in found if text[secret.start : secret.end] not in known}))


def write_twin(content: bytes, number: int, into: Path) -> str:
    """Write `content` without its secrets as text below `into` and return its name there."""
    name = f"redacted/{number}.txt"
    (into / "redacted").mkdir(exist_ok=True)
    (into / name).write_text(redact(as_text(content) or ""), encoding="utf-8")
    return name


def withhold(
    store: PrivateStore,
    entries: Entries,
    head: Entries,
    changed: Sequence[bytes],
    borrow: Sequence[Path],
    into: Path,
    first: int = 0,
) -> list[Withheld]:
    """Take every changed file that shows a new secret out of `entries`; what was committed of it stays.

    Redacted twins are written below `into`, numbered from `first`.
    """  # fmt: skip
    pairs = {path: (entries[path][1], head[path][1] if path in head else None) for path in changed if path in entries}
    wanted = {oid for pair in pairs.values() for oid in pair if oid}
    blobs = dict(read_blobs(store, sorted(wanted), borrow))
    found: list[Withheld] = []
    for path, (now, before) in sorted(pairs.items()):
        content = blobs.get(now)
        kinds = new_secrets(content, blobs.get(before or "")) if content is not None else ()
        if content is None or not kinds:
            continue
        found.append(Withheld(path, kinds, write_twin(content, first + len(found), into)))
        if path in head:
            entries[path] = head[path]
        else:
            del entries[path]
    return found


def count_committed(root: Path, paths: Sequence[bytes]) -> tuple[int, int]:
    """Return how many of the unchanged files at `paths` show a secret, and how many were looked at.

    They are the project's own published business: kept, but worth a word. Small text files only, up to a total.
    """
    secret, looked, left = 0, 0, SCANNED_COMMITTED_BYTES
    for path in paths:
        try:
            with (root / path.decode("utf-8", "surrogateescape")).open("rb") as file:
                content = file.read(_LARGEST_COMMITTED_FILE + 1)
        except OSError:
            continue
        if len(content) > min(left, _LARGEST_COMMITTED_FILE):
            continue
        left -= len(content)
        looked += 1
        secret += bool(new_secrets(content))
    return secret, looked
