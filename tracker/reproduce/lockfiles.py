"""Hashes out of the lock files of a restored project: of several wheels of one version, those the project allows."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..capture.packages import canonical

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib

LARGEST = 20_000_000
"""Bytes of a lock file beyond which it is not read."""

_SHA256 = re.compile(r"sha256[:=]([0-9a-f]{64})")
_PINNED = re.compile(r"^\s*([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*==\s*([^\s;\\]+)")


@dataclass(frozen=True)
class Locked:
    """What the lock files of a project say."""

    files: tuple[str, ...]
    """Names of those that were read."""
    hashes: Mapping[tuple[str, str], tuple[str, ...]]
    """sha256 digests by distribution and version."""


def read_locks(root: Path) -> Locked:
    """Reads `uv.lock`, `pylock*.toml` and requirements files with hashes at the top of a project.

    A file that cannot be read is passed over: what is installed is verified afterwards all the same.
    """
    files: list[str] = []
    hashes: dict[tuple[str, str], tuple[str, ...]] = {}
    for path in [*sorted(root.glob("pylock*.toml")), root / "uv.lock", *sorted(root.glob("requirements*.txt"))]:
        try:
            if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST:
                continue
            text = path.read_text(encoding="utf-8")
            found = list(_of_requirements(text) if path.suffix == ".txt" else _of_toml(tomllib.loads(text)))
        except (OSError, ValueError):
            continue
        if found:
            files.append(path.name)
        for name, version, digests in found:
            hashes.setdefault((canonical(name), version), tuple(dict.fromkeys(digests)))
    return Locked(tuple(files), hashes)


def _of_requirements(text: str) -> Iterator[tuple[str, str, list[str]]]:
    for line in text.replace("\\\n", " ").splitlines():
        pinned, digests = _PINNED.match(line), _SHA256.findall(line)
        if pinned and digests:
            yield pinned[1], pinned[2], digests


def _of_toml(content: Mapping[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    """Both kinds have a table per distribution, with its wheels and its source distribution in tables below."""
    for table in [*_tables(content.get("package")), *_tables(content.get("packages"))]:
        sources = [*_tables(table.get("wheels")), *_tables([table.get("sdist")]), *_tables([table.get("archive")])]
        digests: list[str] = []
        for source in sources:
            digests += _SHA256.findall(str(source.get("hash") or ""))
            hashes = source.get("hashes")
            if isinstance(hashes, Mapping):
                digests += _SHA256.findall(f"sha256:{hashes.get('sha256')}")
        if digests and table.get("name") and table.get("version"):
            yield str(table["name"]), str(table["version"]), digests


def _tables(content: Any) -> list[Mapping[str, Any]]:
    return [item for item in content if isinstance(item, Mapping)] if isinstance(content, list) else []
