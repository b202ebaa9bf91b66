"""The files a run wrote outside of its project: a re-run that names them again writes over them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..rules.engine.records import Json

MOST = 200
"""Outputs that are listed."""


def output_rows(
    written: Iterable[Mapping[str, object]],
    root: Path | None,
    cwd: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> list[dict[str, Json]]:
    """The outputs worth a warning, at most 200: each `path`, `relative` below the project, and how it was named.

    `written` has rows of `path`, `absolute` (the name given was absolute) and `climbing` (it had `..` in it). Inside
    of the project and of the folder the run was started in, only what was named absolutely counts: the rest follows
    them. Files below the folder for temporary files, in caches and in hidden folders of the home are left out.
    """
    found: list[dict[str, Json]] = []
    passing = _passing_folders(root, os.environ if variables is None else variables)
    for one in written:
        path = one.get("path")
        if not isinstance(path, str) or any(path.startswith(folder) for folder in passing):
            continue
        row: dict[str, Json] = {"path": path, **{name: True for name in ("absolute", "climbing") if one.get(name)}}
        if root is not None and Path(path).is_relative_to(root):
            if not one.get("absolute"):
                continue
            row["relative"] = Path(path).relative_to(root).as_posix()
        elif root is not None and one.get("climbing") and not one.get("absolute"):
            row["from_root"] = os.path.relpath(path, root)
        elif cwd is not None and not one.get("absolute") and Path(path).is_relative_to(cwd):
            continue
        found.append(row)
        if len(found) == MOST:
            break
    return found


def _passing_folders(root: Path | None, variables: Mapping[str, str]) -> list[str]:
    home = variables.get("HOME") or os.path.expanduser("~")
    folders = [variables.get("XDG_CACHE_HOME") or os.path.join(home, ".cache"), os.path.join(home, ".")]
    places = {tempfile.gettempdir(), os.path.realpath(tempfile.gettempdir())}
    # A project below the folder for temporary files is tried out there, with all that it writes.
    if root is None or not any(root.is_relative_to(place) for place in places):
        folders += places
    return [folder if folder.endswith(".") else os.path.join(folder, "") for folder in folders]
