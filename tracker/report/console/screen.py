"""The terminal behind a stream: what may be drawn there, and how a line gets onto it without touching what is there.

A script owns its screen. The cursor may stand behind an unfinished print, or within a progress bar that will be drawn
again from the beginning of its row; nobody but the terminal knows. So a line of ours is inserted above the row of the
cursor: whatever stands in that row moves down with the cursor, and what the script writes next lands where it would
have. Scrolling by a row first makes room for it (`ESC D` moves down and scrolls only at the bottom), so that nothing is
pushed off the lower end.

Known limits: an unfinished line that fills its row to the last column loses the terminal's promise to wrap, and its
next character replaces the last one; a line of ours lands between two rows of an unfinished line that has wrapped.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
import threading
from collections.abc import Sequence
from typing import NamedTuple

SAVE, RESTORE = "\0337", "\0338"
"""Cursor, colours and the promise to wrap are kept by the terminal, and put back."""
DOWN = "\033D"
"""One row down in the same column; at the bottom the screen scrolls instead."""
PLAIN = "\033[0m"
UP_ONE = "\033[A"

_TOO_SIMPLE = frozenset({"", "dumb", "unknown", "emacs", "vt52"})
_FULL_SCREEN = ("textual", "urwid", "asciimatics")
"""Modules of programs that own the whole screen."""
_OWN_ROWS = (*_FULL_SCREEN, "_curses", "prompt_toolkit", "blessed", "enlighten")
"""Modules of programs that may own its last row."""
_IN_PAGES = ("JPY_PARENT_PID", "COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE", "DATABRICKS_RUNTIME_VERSION")
"""Set where a notebook shows the output of commands: it passes for a terminal, and is none."""
_MOST_BYTES = 2048
"""Bytes that a terminal takes in one piece: no other process writes in between."""
_MOST_BARS = 8
_WRITE_SECONDS = 1.0
"""How long a terminal that takes nothing (Ctrl-S) is waited for, before a line of ours is dropped."""


class Size(NamedTuple):
    """Of a terminal, in characters."""

    rows: int
    columns: int


def terminal_of(stream: object) -> int | None:
    """The descriptor of a terminal that understands what we write; None where lines can only be appended.

    A stream that somebody put in the place of Python's own (a tee, a redirection into a widget) is never passed by.
    """
    try:
        if type(stream) is not io.TextIOWrapper or not stream.isatty():
            return None
        if os.environ.get("TERM", "") in _TOO_SIMPLE or any(name in os.environ for name in _IN_PAGES):
            return None
        return stream.fileno()
    except (OSError, ValueError):
        return None


def size_of(fd: int) -> Size:
    """The size of a terminal; of one that does not know it, 0 by 0."""
    try:
        columns, rows = os.get_terminal_size(fd)
    except OSError:
        return Size(0, 0)
    return Size(rows, columns)


def is_foreground(fd: int) -> bool:
    """Whether we are what the terminal is occupied with: one in the background may be stopped for writing."""
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False


def may_own_rows() -> bool:
    """Whether a library is loaded that may draw the last row itself."""
    return any(name in sys.modules for name in _OWN_ROWS)


def has_full_screen() -> bool:
    """Whether the whole screen is drawn by the program."""
    curses = sys.modules.get("_curses")
    if curses is not None and hasattr(curses, "LINES"):  # set by `initscr`
        return not curses.isendwin()
    return any(name in sys.modules for name in _FULL_SCREEN)


def has_live_display() -> bool:
    """Whether the program has a display of rich's under way, which knows by itself where the cursor is."""
    if "rich.live" not in sys.modules:
        return False
    if any(type(thread).__module__ == "rich.live" for thread in threading.enumerate()):
        return True
    console = getattr(sys.modules.get("rich"), "_console", None)  # the one it makes when none is given
    return bool(getattr(console, "_live_stack", None) or getattr(console, "_live", None))


def write(fd: int, text: str, encoding: str = "utf-8", wait: bool = True) -> bool:
    """Writes to the terminal at once; False where it took nothing.

    Without `wait`, nothing is written to a terminal that is stopped or busy.
    """
    data = text.encode(encoding, "backslashreplace")
    try:
        if not select.select([], [fd], [], _WRITE_SECONDS if wait else 0)[1]:
            return False
        while data:
            data = data[os.write(fd, data) :]
    except (OSError, ValueError):
        return False
    return True


def insert_above(fd: int, lines: Sequence[str], encoding: str = "utf-8") -> bool:
    """Puts lines above the row of the cursor; each must be narrower than the screen."""
    room = room_below(size_of(fd).rows)
    pieces = [f"{room}{SAVE}{PLAIN}\r\033[L{line}{PLAIN}{RESTORE}\033[B" for line in lines]
    done = True
    while pieces and done:
        piece = pieces.pop(0)
        while pieces and len(piece) + len(pieces[0]) < _MOST_BYTES // 4:  # a character has up to four bytes
            piece += pieces.pop(0)
        done = write(fd, piece, encoding)
    return done


def room_below(rows: int) -> str:
    """Text that scrolls a screen of `rows` until a row is free below all that stands there; the cursor stays.

    Below the cursor stand nested bars of tqdm, if anything.
    """
    needed = 1 + max(0, min(_bars_below(), rows - 4))
    return DOWN * needed + f"\033[{needed}A"


def begin_line(columns: int) -> str:
    """Text that brings the cursor to the beginning of an empty line, wherever it stands.

    As many blanks as the screen has columns: from the first column they fill the row, and `\\r` stays in it; from any
    other they wrap, and `\\r` is in the next one. The trick is zsh's, ahead of its prompt.
    """
    return f"{PLAIN}{' ' * columns}\r\033[K"


def _bars_below() -> int:
    """Rows below that of the cursor that nested bars of tqdm stand in."""
    tqdm = getattr(sys.modules.get("tqdm.std"), "tqdm", None)
    places = [0]
    with contextlib.suppress(Exception):  # a set that another thread may change meanwhile
        places += [abs(int(bar.pos)) for bar in list(tqdm._instances)] if tqdm is not None else []
    return min(max(places), _MOST_BARS)
