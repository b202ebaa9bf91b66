"""When a file came into being: what a run made itself is no part of the state that it started from.

The code of a run is captured beside it, a moment after it began. A script that makes its output folder and writes a
first checkpoint within that moment would find both in a restored project, and fail, or resume.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

_AT_FDCWD, _NOT_THROUGH_LINKS = -100, 0x100
_BIRTH_TIME = 0x800
"""`STATX_BTIME`: asked for, and set in the answer where the file system knows it."""
_BUFFER, _SECONDS_AT, _NANOSECONDS_AT = 256, 80, 88
"""Size of `struct statx`, and where in it `stx_btime` stands; the kernel never moves a field."""


@cache
def _statx() -> Callable[..., int] | None:
    try:
        return ctypes.CDLL(None).statx
    except (OSError, AttributeError):  # another system, or a C library older than 2018
        return None


def born(path: Path) -> float | None:
    """Return when the file, folder or link at `path` was made, in seconds since 1970; None where nobody knows."""
    if sys.platform != "linux":
        try:
            return float(getattr(os.lstat(path), "st_birthtime", 0.0)) or None
        except OSError:
            return None
    statx = _statx()
    if statx is None:
        return None
    answer = ctypes.create_string_buffer(_BUFFER)
    if statx(_AT_FDCWD, os.fsencode(path), _NOT_THROUGH_LINKS, _BIRTH_TIME, answer) != 0:
        return None
    if not int.from_bytes(answer.raw[:4], sys.byteorder) & _BIRTH_TIME:
        return None
    seconds = int.from_bytes(answer.raw[_SECONDS_AT : _SECONDS_AT + 8], sys.byteorder, signed=True)
    nanoseconds = int.from_bytes(answer.raw[_NANOSECONDS_AT : _NANOSECONDS_AT + 4], sys.byteorder)
    return seconds + nanoseconds / 1e9


def made_since(moment: float | None) -> Callable[[Path], bool]:
    """Return what tells whether a path was made after `moment`; without one, or a time of birth, it was not."""

    def is_made(path: Path) -> bool:
        if moment is None:
            return False
        at = born(path)
        return at is not None and at > moment

    return is_made


def process_began(pid: int, launched: Path | None = None, run_began: float | None = None) -> float | None:
    """Return when the process `pid` began, in seconds since 1970; None where that is not known.

    `launched` is the file that `tracker run` wrote just before it started the process, where it did so itself. A
    process that began after `run_began`, the time its run says, is another one with the same number.
    """
    try:
        known = launched is not None and launched.is_file()
        began = launched.stat().st_mtime if launched is not None and known else _by_proc(pid)
    except (OSError, ValueError, IndexError, AttributeError):  # no such process, or no such clock on this system
        return None
    return None if run_began is not None and began > run_began else began


def _by_proc(pid: int) -> float:
    """Field 22 of `/proc/PID/stat` is the time of its start in clock ticks after the machine's, see proc(5).

    A little too late rather than too early: what lay there before the process is never to be taken for its own.
    """
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    machine = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return machine + (int(fields[19]) + 2) / os.sysconf("SC_CLK_TCK")
