"""Which files the training process opens, seen by an audit hook.

An audit hook cannot be removed, so this one is small, silent when inactive, never raises and never opens a file.
Readers and writers in C++ or Rust open files behind Python's back: `readers` wraps those.
"""

from __future__ import annotations

import functools
import os
import sys
import time

# Under `tracker run` this is loaded at the start of every Python process: what is slow to import waits.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from typing import Any

MAX_PATHS = 10_000
"""Unique paths kept; a data set of more files is recorded as incomplete."""

MAX_FOLDERS = 1_000
"""Folders kept whose names were listed."""
_TICK = 10_000_000
"""Nanoseconds by which the clock that dates files may be behind: what was written right after the start looks older."""

_IGNORED_ENDINGS = (".py", ".pyc", ".pyi", ".so", ".pth", ".egg-link", ".dll", ".dylib", "pyvenv.cfg", ".pyx", ".ipynb")
_IGNORED_STARTS = ("/proc/", "/sys/", "/dev/", "/etc/", "/usr/share/", "/usr/lib/", "/lib/")
_READ_WRITE = os.O_WRONLY | os.O_RDWR


class OpenedFiles:
    """The unique paths that this process opened to read, in the order of their first opening, outputs left out.

    `start` installs the hook once for the life of the process; `stop` makes it inert. Without locks, since a hook can
    run inside any other call, in signal handlers and between fork and exec: single dict operations are atomic.

    An input was there before the run. So the first opening of each path asks when the file was last written: one that
    is not there yet, or that came up since `start`, is made by the run, by whatever writer the hook does not see.
    """

    def __init__(self, limit: int = MAX_PATHS) -> None:
        """Collect at most `limit` paths."""
        self.limit = limit
        self.active = False
        self.overflowed = 0
        """How many openings of further paths were left out once `limit` was reached."""
        self._read: dict[str, int | None] = {}
        self._written: dict[str, int | None] = {}
        self._since = time.time_ns()
        self._climbing: dict[str, None] = {}
        self._absolute: dict[str, None] = {}
        self._listed: dict[str, None] = {}
        self._ignored: tuple[str, ...] = _IGNORED_STARTS
        self._installed = False
        self._folders: set[str] = set()
        stdlib = os.path.dirname(os.__file__)
        self._stdlib = (stdlib + os.sep, os.path.realpath(stdlib) + os.sep)

    def start(self, ignore: Iterable[str | Path] = ()) -> None:
        """Begin to collect; files below the directories in `ignore` (our own) are never listed."""
        self._ignored = (*self._ignored, *(os.path.join(os.path.abspath(path), "") for path in ignore))
        self._since = time.time_ns()
        if not self._installed:
            self._installed = True
            sys.addaudithook(self._make_hook())
        self.active = True

    def stop(self) -> None:
        """Collect no more; what was found stays."""
        self.active = False

    def paths(self) -> list[str]:
        """Absolute paths of the inputs: there before the run, read before it wrote them, neither code nor system files.

        Looking for a cache in vain is not taken for a lost file.
        """
        return [path for path, written in tuple(self._read.items()) if self._is_input(path, written)]

    def rewritten(self) -> list[str]:
        """Those of `paths` that were written after they had been read: what was read cannot be known any more."""
        return [path for path in self.paths() if _last_written(path) != self._read[path]]

    def outputs(self, most: int = 2_000) -> list[dict[str, object]]:
        """What this process wrote: rows of `path`, `absolute` (it was named so) and `climbing` (named with `..`)."""
        made = [path for path in tuple(self._written) if self._is_data(path)]
        return [
            {"path": path, "absolute": path in self._absolute, "climbing": path in self._climbing}
            for path in [*made, *self.rewritten()][:most]
        ]

    def listed(self) -> tuple[list[str], int]:
        """Folders whose names were listed, and the time since when the run goes on, in ns since 1970."""
        folders = dict.fromkeys(map(os.path.normpath, tuple(self._listed)))
        return [folder for folder in folders if self._is_data(os.path.join(folder, "x"))], self._since - _TICK

    def climbing(self) -> list[str]:
        """Those of `paths` that were named with `..` in them: they are found from elsewhere only by chance."""
        return [path for path in self.paths() if path in self._climbing]

    def _is_input(self, path: str, written: int | None) -> bool:
        if written is None or not self._is_data(path):
            return False
        return written < self._since or written > time.time_ns()  # a date in the future says nothing

    def written(self) -> list[str]:
        """Absolute paths that this process opened to write first: its outputs."""
        return list(self._written)

    def forget(self, paths: Iterable[str]) -> None:
        """Take paths out again that were opened for the tracker's own purposes."""
        for path in paths:
            self._read.pop(path, None)

    def note(self, path: object) -> None:
        """Add a path that a reader was given; anything that is not the path of a local file is passed over."""
        text = _local(path)
        if text is not None:
            self._add(os.path.abspath(text), self._read)

    def note_written(self, path: object) -> None:
        """Add a path that a writer was given, likewise."""
        text = _local(path)
        if text is None:
            return
        name = os.path.abspath(text)
        self._add(name, self._written)
        if name in self._written:
            if os.path.isabs(text):
                self._absolute[name] = None
            if ".." in text:
                self._climbing[name] = None

    def report_children(self, folder: str | Path) -> None:
        """Have every child that multiprocessing forks from now on write what it read into `folder` when it ends.

        Data-loader workers are such children: a data set is often read in them alone. `children_paths` reads it back.
        """
        util: Any = sys.modules.get("multiprocessing.util")
        place = os.path.abspath(folder)
        if util is not None and place not in self._folders:
            self._folders.add(place)
            self._ignored = (*self._ignored, os.path.join(place, ""))
            util.register_after_fork(self, functools.partial(_in_child, folder=place))

    def _add(self, path: str, kind: dict[str, int | None]) -> None:
        if path in self._read or path in self._written:
            return
        if len(kind) >= self.limit:
            self.overflowed += kind is self._read
            return
        kind[path] = _last_written(path)

    def _make_hook(self) -> Callable[[str, tuple[Any, ...]], None]:
        # Everything is bound here: at interpreter exit module globals may already be gone.
        join, getcwd, fsdecode, fspath = os.path.join, os.getcwd, os.fsdecode, os.fspath
        normal, read, written, add = os.path.normpath, self._read, self._written, self._add
        climbing, absolute, listed = self._climbing, self._absolute, self._listed
        endings, both, most, stdlib = _IGNORED_ENDINGS, _READ_WRITE, MAX_FOLDERS, self._stdlib

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            # Compared one by one: the name of an event is a new text each time, which a table would have to hash.
            lists = event == "os.scandir" or event == "os.listdir"
            if event != "open" and not lists and event != "sqlite3.connect":
                return
            if not self.active:
                return
            try:
                path = arguments[0]
                if isinstance(path, int):
                    return  # a descriptor: opened, and seen, under its name before
                if lists:
                    text = path if type(path) is str else "" if path is None else fsdecode(fspath(path))
                    # Importing lists the folders of packages, by the hundred.
                    if "-packages" not in text and not text.startswith(stdlib) and len(listed) < most:
                        listed[text if text[:1] == "/" else join(getcwd(), text)] = None
                    return
                text = path if type(path) is str else fsdecode(fspath(path))
                if text.endswith(endings) or text.startswith(self._ignored):
                    return
                if event == "open":
                    mode, flags = arguments[1], arguments[2]
                    # `r+` reads too; `w`, `a` and `x` do not. os.open gives no mode but flags.
                    writes = "r" not in mode if type(mode) is str else bool(flags & both)
                elif text == ":memory:" or not text or text.startswith("file:"):
                    return
                else:
                    writes = False
                is_relative = text[0] != "/"
                if is_relative:
                    text = join(getcwd(), text)
                path = normal(text)
                kind = written if writes else read
                add(path, kind)
                if ".." in text and path in kind:
                    climbing[path] = None
                if writes and not is_relative and path in written:
                    absolute[path] = None
            except Exception:
                return  # KeyboardInterrupt is the user's and passes

        return hook

    def _is_data(self, path: str) -> bool:
        if path.endswith(_IGNORED_ENDINGS) or path.startswith(self._ignored) or ".so." in os.path.basename(path):
            return False
        if ".dist-info" + os.sep in path or ".egg-info" + os.sep in path or os.sep + ".git" + os.sep in path:
            return False
        if os.path.basename(path).startswith("mlflow.db") or f"{os.sep}mlruns{os.sep}" in path:
            return False  # the default store of MLflow, which a script's own calls open
        inside_stdlib = path.startswith(self._stdlib)
        return not inside_stdlib or "site-packages" in path or "dist-packages" in path


def _local(path: object) -> str | None:
    """The path of a local file as text; None for an open file, a buffer or an address."""
    try:
        text = os.fsdecode(os.fspath(path))  # type: ignore[call-overload]
    except TypeError:
        return None
    return None if "://" in text else text


def _last_written(path: str, stat: Callable[[str], os.stat_result] = os.stat) -> int | None:
    try:
        return stat(path).st_mtime_ns
    except OSError:
        return None


def _in_child(collector: OpenedFiles, folder: str) -> None:
    util: Any = sys.modules["multiprocessing.util"]
    collector._read.clear()  # the parent reports its own
    # A Finalize of the child runs when its work is done; atexit functions do not run in a forked child.
    util.Finalize(None, _report, args=(collector, folder), exitpriority=0)


def _report(collector: OpenedFiles, folder: str) -> None:
    try:
        paths = collector.paths()
        if paths:
            name = os.path.join(folder, f"opened-{os.getpid()}.txt")
            with open(name, "a", encoding="utf-8", errors="surrogateescape") as file:
                file.write("".join(f"{path}\0" for path in paths))
    except Exception:
        return  # a full disk must not change how the user's worker ends


def report_this_child(folder: str | Path) -> None:
    """Have this process, which multiprocessing has started afresh, write what it read into `folder` when it ends."""
    util: Any = sys.modules["multiprocessing.util"]
    os.makedirs(folder, exist_ok=True)
    # What is registered is kept: unlike a forked process, one that starts afresh does not clear it first.
    util.Finalize(None, _report, args=(opened, os.path.abspath(folder)), exitpriority=0)


def children_paths(folder: str | Path) -> list[str]:
    """The unique paths that the children reported into `folder`, sorted."""
    from pathlib import Path

    found: set[str] = set()
    for file in Path(folder).glob("opened-*.txt"):
        found.update(file.read_text(encoding="utf-8", errors="surrogateescape").split("\0"))
    return sorted(found - {""})


opened = OpenedFiles()
"""The one collector of this process."""
