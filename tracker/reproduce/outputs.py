"""What of the original a re-run would write to again: files outside of its project, and names that lead back to it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .searched import texts_that_name

_MOST = 200


def absolute_outputs(data: Mapping[str, Any], root: Path, project: Path | None = None) -> list[str]:
    """Paths outside of `root` that the re-run will write to again, as far as the original's outputs tell.

    `data` is the content of data.json, `root` where the project is restored, `project` where it was. A file that the
    original wrote inside of its project by an absolute name counts where the restored code or configuration has the
    name of the original project in it: without that, the name was made from the folder of the project.
    """
    rows = data.get("outputs")
    found: dict[str, None] = {}
    inside: list[str] = []
    for row in rows[:_MOST] if isinstance(rows, list) else ():
        path = row.get("path") if isinstance(row, dict) else None
        if not isinstance(path, str) or not os.path.isabs(path):
            continue
        if isinstance(row.get("relative"), str):
            inside.append(path)
        elif isinstance(row.get("from_root"), str):
            found[os.path.normpath(os.path.join(root, row["from_root"]))] = None
        else:
            found[path] = None
    if inside and project is not None and any(texts_that_name(root, [str(project)], most=1)):
        found.update(dict.fromkeys(inside))
    return [path for path in found if not Path(path).is_relative_to(root)]


def names_original(words: Sequence[str], project: Path | None) -> list[str]:
    """Those of the `words` of a command line that name something in the folder of the original `project`.

    The re-run would read or write there, and not where the project was restored.
    """
    if project is None or len(project.parts) < 2:
        return []
    named = re.compile(rf"(?<![\w.~-]){re.escape(os.path.normpath(project))}(?=\Z|[/,:;\"'\])}}\s])")
    return [word for word in words if named.search(word)]


def files_naming_original(root: Path, project: Path | None) -> list[str]:
    """Places (`config.yaml:3`) in the restored code and configuration that name the folder of the original project."""
    if project is None or len(project.parts) < 2:
        return []
    return list(dict.fromkeys(place for _, place in texts_that_name(root, [os.path.normpath(project)])))
