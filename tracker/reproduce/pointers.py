"""Files that git-lfs keeps: the code holds a pointer, the run read the content, and both are put where they belong."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..capture.snapshot import LFS_POINTER

_MOST_BYTES = 1024
"""A pointer has three short lines."""


def pointers_of(facts: Mapping[str, Any]) -> set[str]:
    """The paths, relative to the project, whose content git-lfs kept beside the code that `facts` of code.json tell."""
    rows = facts.get("lfs")
    found = (row.get("path") for row in rows if isinstance(row, dict)) if isinstance(rows, list) else ()
    return {path for path in found if isinstance(path, str)}


def is_pointer(path: Path) -> bool:
    """True for a regular file that holds a pointer of git-lfs in place of its content."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _MOST_BYTES:
            return False
        with path.open("rb") as file:
            return file.read(len(LFS_POINTER)) == LFS_POINTER
    except OSError:
        return False


def keep_pointers(root: Path, names: Iterable[str]) -> None:
    """Have git take the files `names` below `root` for what git-lfs keeps, as it did in the original.

    Their content on disk is then no change of the code: a capture of the re-run has the same identity.
    """
    lines = [_attribute_line(os.fsencode(name)) for name in sorted(names) if "\n" not in name]
    attributes = root / ".git" / "info" / "attributes"
    if lines and attributes.is_file() and not attributes.is_symlink():
        with attributes.open("ab") as file:
            file.write(b"".join(lines))


def _attribute_line(path: bytes) -> bytes:
    """A line of a git attributes file for one path: the pattern's signs are escaped, and then quoted as in C."""
    pattern = re.sub(rb"([\\*?\[\] !#])", rb"\\\1", path)
    quoted = pattern.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return b'"/' + quoted + b'" filter=lfs\n'
