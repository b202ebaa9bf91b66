"""Code that came from no file: the cells of a notebook, `python -c`, a script on standard input.

Read inside the training process, at little cost and without touching anything: what is made of it is the business of
`cellscript`, elsewhere.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..rules.engine.records import Json

NOTEBOOK, COMMAND, STDIN = "notebook", "command", "stdin"

MOST_CHARACTERS = 2_000_000
"""Longer code is not kept: it holds data, such as an image in a string."""

ENTRY, ORIGIN = "entry", "entry_from"
"""In the account of a run (`run.json`): path of the script made of what was typed, and where that came from."""

_SCRIPT = re.compile(r"(?:notebook|command|stdin)_[0-9a-f]{8}\.py\Z")
_WITH_VALUE = "WX"
"""Letters of the interpreter's options that take a value."""


def shell() -> Any:
    """The IPython that executes cells in this process, that of a kernel or of a terminal; None where there is none."""
    module: Any = sys.modules.get("IPython.core.interactiveshell")
    kind = getattr(module, "InteractiveShell", None)
    try:
        return kind.instance() if kind is not None and kind.initialized() else None
    except Exception:
        return None


def typed(form: object) -> dict[str, Json] | None:
    """The code of this process by its `form` (see `environment`), as far as it goes by now; None where it is not known.

    `{"from", "folder", "cells": [{"number", "source", "error"}]}`: the folder is where the first cell began, None where
    that is not known. `error` names the exception that ended a cell, is empty for one that went well, and None where
    this version of IPython does not tell.
    """
    try:
        if form == NOTEBOOK:
            return _notebook()
        source = _command(sys.orig_argv) if form == COMMAND else _standard_input() if form == STDIN else None
    except Exception:
        return None
    if source is None or len(source) > MOST_CHARACTERS:
        return None
    return {"from": str(form), "folder": None, "cells": [{"number": 1, "source": source, "error": ""}]}


def unnamed() -> str:
    """What a run is called whose code came from no file."""
    return NOTEBOOK if shell() is not None else "python"


def script_of(account: Mapping[str, Any]) -> str | None:
    """The script of a run whose code came from no file, relative to its project; None where none was stored.

    `account` may be a stranger's: a path that is not one of ours is None as well.
    """
    path = account.get(ENTRY)
    if not isinstance(path, str):
        return None
    *folders, name = path.split("/")
    is_inside = all(folder not in ("", ".", "..") and folder.isprintable() for folder in folders)
    return path if is_inside and _SCRIPT.match(name) else None


def _notebook() -> dict[str, Json] | None:
    running = shell()
    if running is None:
        return None
    history = running.history_manager
    errors = getattr(history, "exceptions", None)  # since IPython 9
    cells: list[Json] = []
    # As IPython's own transformer left them: magics are calls. The cell that is being executed is the last one.
    for number, source in enumerate(history.input_hist_parsed):
        if number and source.strip():
            error = None if errors is None else str((errors.get(number) or {}).get("ename") or "")
            cells.append({"number": number, "source": str(source), "error": error})
    if not cells or sum(map(len, history.input_hist_parsed)) > MOST_CHARACTERS:
        return None
    return {"from": NOTEBOOK, "folder": getattr(running, "starting_dir", None), "cells": cells}


def _command(argv: Sequence[str]) -> str | None:
    """What follows `-c` in the interpreter's own words; None where there is none, and in a child of multiprocessing."""
    words = list(argv[1:])
    if "--multiprocessing-fork" in words:
        return None
    while words and words[0].startswith("-") and words[0] not in ("-", "--"):
        word = words.pop(0)
        if word == "--check-hash-based-pycs":
            words = words[1:]
            continue
        for place, letter in enumerate(word[1:] if not word.startswith("--") else "", 2):
            if letter == "c":
                return word[place:] or (words[0] if words else None)
            if letter == "m":
                return None
            if letter in _WITH_VALUE:
                words = words if word[place:] else words[1:]
                break
    return None


def _standard_input() -> str | None:
    """The script on standard input where that is a file, not a pipe: read beside its position, which stays."""
    found = os.fstat(0)
    if not stat.S_ISREG(found.st_mode) or not 0 < found.st_size <= MOST_CHARACTERS:
        return None
    return os.pread(0, found.st_size, 0).decode("utf-8")
