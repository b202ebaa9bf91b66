"""Files that a run saw the names of and did not read: a folder that is listed again must list the same.

A script that takes every third file of a folder, or counts them, depends on all of their names.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

MOST = 2_000
"""Files that are taken in this way."""


def listed_files(folders: object, read: Iterable[Path], root: Path | None, sys_path: Sequence[str] = ()) -> list[Path]:
    """The files beside those that were `read` in the listed folders below the project `root`, at most 2,000.

    `folders` is what `OpenedFiles.listed` told: a list, and the time since when what was written is the run's own. A
    folder on `sys_path` is listed by Python itself at every import, and does not count.
    """
    if root is None or not isinstance(folders, (list, tuple)) or len(folders) != 2 or not isinstance(folders[1], int):
        return []
    names, since = folders
    known = {os.path.normpath(path) for path in read}
    of_data = {os.path.dirname(path) for path in known}
    of_code = {os.path.realpath(entry) for entry in (str(root), *filter(None, sys_path))}
    found: list[Path] = []
    for folder in names if isinstance(names, (list, tuple)) else ():
        if not isinstance(folder, str) or folder not in of_data or not Path(folder).is_relative_to(root):
            continue
        if os.path.realpath(folder) in of_code:
            continue
        for path in _inputs_in(folder, since):
            if len(found) >= MOST:
                return found
            if path not in known:
                found.append(Path(path))
    return found


def _inputs_in(folder: str, since: int) -> list[str]:
    """The files of a folder that were there before the run, by name."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.path for entry in entries if entry.is_file() and entry.stat().st_mtime_ns < since)
    except OSError:
        return []
