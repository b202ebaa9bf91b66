"""The last row of the terminal, kept for us while a training runs.

The terminal is told to scroll all rows but the last (DECSTBM): what the script and its progress bars write lives in the
region above as on a screen that is one row lower, and our row is drawn between a save and a restore of the cursor. No
thread and no signal handler takes part: size and foreground are asked for at each drawing.

The row is given back when the run ends, at exit, and when a signal that we note ends the process. A process that is
killed otherwise (kill -9, `os._exit`) cannot: under `tracker run` its parent does it, told by a file in the folder of
the launch. Without a parent nobody can, and the region stays until something resets the terminal (`reset`, or a change
of its size); the terminal goes on to work, one row lower. After Ctrl-Z the row stays kept, too.

Between a change of the size and the next drawing, the old row may be written over by the script.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

from .screen import DOWN, PLAIN, RESTORE, SAVE, UP_ONE, Size, is_foreground, may_own_rows, room_below, size_of, write

SMALLEST = Size(6, 40)
"""A smaller screen is left to the script."""
MARKER = "row"
"""File in the folder of a launch while a process of it keeps a row: process id, rows and columns."""


class Row:
    """One kept row; a process has one at most, and a terminal too."""

    def __init__(self, launch: str | None = None) -> None:
        """`launch` is the folder of the launch, where `tracker run` has started us."""
        self.is_kept = False
        self._launch = launch
        self._fd = -1
        self._size = Size(0, 0)
        self._pid = 0
        self._lock_fd = -1
        self._drawing = threading.Lock()
        self._watches_exit = False

    def draw(self, fd: int, text: Callable[[int], str]) -> bool:
        """Draws `text(columns)`, which must be narrower than that, into the row; False where it is not ours to draw.

        Takes the row first if need be, again where the size has changed.
        """
        if not self._drawing.acquire(blocking=False):
            return True  # another run of this process is at it
        try:
            if self._pid not in (0, os.getpid()) or not is_foreground(fd):
                return False
            size = size_of(fd)
            if size.rows < SMALLEST.rows or size.columns < SMALLEST.columns or may_own_rows():
                self.release()
                return False
            lead, content = "", text(size.columns)
            if not self.is_kept:
                if not self._lock(fd):
                    return False
                lead = _take(size)
            elif size != self._size:
                lead = _take(size, wipe=True)
            line = f"{lead}{SAVE}\033[{size.rows};1H{PLAIN}{content}{PLAIN}\033[K{RESTORE}"
            before = self._fd, self._size, self.is_kept
            if lead:
                # Before it is so: whoever interrupts or kills us in between, it is given back.
                self._fd, self._size, self._pid, self.is_kept = fd, size, os.getpid(), True
                self._mark()
            if not write(fd, line, wait=False) and lead:
                self._fd, self._size, self.is_kept = before
                if not self.is_kept:
                    self._unmark()
            return self.is_kept
        finally:
            self._drawing.release()

    def release(self) -> None:
        """Clears the row and lets the whole screen scroll again. Safe in a signal handler; never raises."""
        if not self.is_kept or self._pid != os.getpid():
            return
        self.is_kept = False
        with contextlib.suppress(Exception):
            give_back(self._fd, self._size)
        self._unmark()

    def _lock(self, fd: int) -> bool:
        """Keeps other processes of ours from the same row; the kernel lets go when we end."""
        try:
            self._lock_fd = os.open(os.ttyname(fd), os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._unlock()
            return False
        return True

    def _unlock(self) -> None:
        held, self._lock_fd = self._lock_fd, -1
        if held >= 0:
            with contextlib.suppress(OSError):
                fcntl.flock(held, fcntl.LOCK_UN)  # forked children hold it, too
            with contextlib.suppress(OSError):
                os.close(held)

    def _unmark(self) -> None:
        self._unlock()
        if self._launch is not None:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self._launch, MARKER))

    def _mark(self) -> None:
        if not self._watches_exit:
            self._watches_exit = True
            atexit.register(self.release)
        if self._launch is not None:
            with contextlib.suppress(OSError):
                text = f"{self._pid} {self._size.rows} {self._size.columns}"
                Path(self._launch, MARKER).write_text(text, encoding="ascii")


def _take(size: Size, wipe: bool = False) -> str:
    """Keeps the last row of a screen of `size`: the line of the cursor stays where it is, or moves up out of the row.

    With `wipe`, what stands below it is cleared: the row as it was before the size changed.
    """
    cleared = f"{DOWN}{SAVE}{PLAIN}\r\033[J{RESTORE}{UP_ONE}" if wipe else ""
    return f"{cleared}{room_below(size.rows)}{SAVE}\033[1;{size.rows - 1}r{RESTORE}"


def give_back(fd: int, kept: Size) -> None:
    """Clears the row that was kept on a screen of size `kept`, and lets all rows scroll again."""
    rows = size_of(fd).rows
    if rows == kept.rows:
        write(fd, f"{SAVE}{PLAIN}\033[r\033[{rows};1H\033[2K{RESTORE}")
    else:  # it stands somewhere below the cursor
        write(fd, f"{SAVE}\033[r{RESTORE}{DOWN}{SAVE}{PLAIN}\r\033[J{RESTORE}{UP_ONE}")


def give_back_of_dead(launch: Path, fd: int) -> None:
    """Gives back the row that a process of a launch has kept and could not give back itself; never raises."""
    marker = launch / MARKER
    with contextlib.suppress(OSError, ValueError):
        pid, rows, columns = map(int, marker.read_text(encoding="ascii").split())
        if _lives(pid):
            return
        if os.isatty(fd):
            give_back(fd, Size(rows, columns))
        marker.unlink()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
