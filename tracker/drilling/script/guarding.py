"""Refuses what a script in a copy tries to write to the original: by a path written out in it, say.

An audit hook hears of each file that Python opens, makes, renames or removes. What a library writes in C++ is not heard
of, but for `torch.save`, which is told.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGING = {
    "os.remove": 1, "os.rmdir": 1, "os.mkdir": 1, "os.rename": 2, "os.link": 2, "os.symlink": 2, "os.truncate": 1,
    "os.chmod": 1, "os.chown": 1, "os.utime": 1, "shutil.rmtree": 1, "shutil.move": 2, "sqlite3.connect": 1,
}  # fmt: skip
"""Events, and how many of their first arguments are paths that are changed."""


def refuse_writes(below: str) -> None:
    """From here on this process cannot change anything below a folder: `PermissionError` says so."""
    top = os.path.realpath(below)

    def check(path: Any, folder: Any = None) -> None:
        if isinstance(path, (bytes, str, os.PathLike)):
            name = os.fsdecode(path)
            if isinstance(folder, int) and folder >= 0 and not os.path.isabs(name):
                name = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), name)  # as `shutil.rmtree` goes
            whole = os.path.realpath(name)
            if whole == top or whole.startswith(top + os.sep):
                raise PermissionError(
                    f"tracker preflight: the script would write to {whole}, outside of its copy. Give it a path "
                    "relative to itself or to the current folder."
                )

    def hear(event: str, arguments: Sequence[Any]) -> None:
        if event == "open":
            path, mode, flags = (*arguments, None, None, None)[:3]
            is_writing = isinstance(flags, int) and flags & _WRITING
            if is_writing or (isinstance(mode, str) and set(mode) & set("wax+")):
                check(path)
        elif event in _CHANGING:
            for path in arguments[: _CHANGING[event]]:
                check(path, arguments[-1])

    sys.addaudithook(hear)


def guard_torch_save(torch: Any, below: str) -> None:
    """Has `torch.save` refuse paths below a folder as well: it writes in C++."""
    top = os.path.join(os.path.realpath(below), "")
    original = torch.save

    def save(obj: Any, f: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(f, (str, os.PathLike)) and os.path.realpath(os.fspath(f)).startswith(top):
            raise PermissionError(
                f"tracker preflight: the script would save to {f}, outside of its copy. Give it a relative path."
            )
        return original(obj, f, *args, **kwargs)

    torch.save = save
