"""A copy of a script's folder, in which it may write what it wants."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...errors import ConfigError

MOST_BYTES = 4 << 30
"""Bytes that are copied at most; larger files beyond that are linked to, and cannot be written (see `guarding`)."""
LARGE = 64 << 20
"""Bytes from which on a file counts as data: the first to be linked to."""
MOST_FILES = 20_000

_PREFIX = "preflight-"
"""Of the folders of copies, ahead of the process that made them."""

_LEFT_OUT = frozenset(
    {
        "__pycache__", ".venv", "venv", "node_modules", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".tox", ".git",
        ".hg", ".svn", ".ipynb_checkpoints",
    }
)  # fmt: skip
"""Folders that no training reads: what can be made again, and the history of the code."""


@dataclass(frozen=True)
class Scratch:
    """The copy: where it is, and what it is a copy of."""

    folder: Path
    """Holds everything of this preflight; it is removed at the end."""
    root: Path
    """The copied folder."""
    original: Path
    linked: tuple[str, ...] = ()
    """Files that are linked to the original, as they are large."""

    def moved(self, path: Path) -> Path:
        """Where a path of the original is in the copy; the same path for any other."""
        try:
            return self.root / path.absolute().relative_to(self.original)
        except ValueError:
            return path


def root_of(script: Path, cwd: Path) -> Path:
    """The folder to be copied: the current one where the script is in it, else the script's own.

    A home folder, or the root of the file system, is only taken where the script itself lies there, and without its
    hidden folders. Raises `ConfigError` where it holds too much.
    """
    own = script.parent
    if cwd in (own, *own.parents) and not _is_top(cwd) and _count(cwd) <= MOST_FILES:
        return cwd
    if _is_top(own) and _count(own) > MOST_FILES:
        raise ConfigError(
            f"tracker preflight {script}: its folder holds over {MOST_FILES:,} files, which are not copied. Move the "
            "script into a folder of its own."
        )
    return own


def _is_top(folder: Path) -> bool:
    return folder in (Path.home(), Path(folder.anchor))


@contextmanager
def scratch_copy(script: Path, cwd: Path) -> Iterator[Scratch]:
    """A copy of the script's folder for the time of the block.

    Raises `OSError` where it cannot be made, `ConfigError` where it would be one of a whole home.
    """
    original = root_of(script, cwd)
    _remove_left_behind()
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    try:
        root = folder / (original.name or "work")
        linked = _copy(original, root)
        yield Scratch(folder, root, original, tuple(linked))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_left_behind() -> None:
    """Removes the copies of processes that were killed; those of others that live, or are not ours, stay."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        pid = path.name.removeprefix(_PREFIX).split("-")[0]
        with contextlib.suppress(OSError, ValueError):
            if path.stat().st_uid != os.getuid():
                continue
            try:
                os.kill(int(pid), 0)
            except ProcessLookupError:
                shutil.rmtree(path, ignore_errors=True)


def _walk(top: Path) -> Iterator[tuple[Path, list[str]]]:
    for at, folders, files in os.walk(top):
        left_out = {name for name in folders if name in _LEFT_OUT or _is_environment(Path(at, name))}
        if Path(at) == top and _is_top(top):
            left_out |= {name for name in folders if name.startswith(".")}
        folders[:] = [name for name in folders if name not in left_out]
        yield Path(at), files
        for name in [one for one in folders if Path(at, one).is_symlink()]:
            files.append(name)


def _is_environment(folder: Path) -> bool:
    return (folder / "pyvenv.cfg").exists() or (folder / "conda-meta").is_dir()


def _count(top: Path) -> int:
    count = 0
    for _, files in _walk(top):
        count += len(files)
        if count > MOST_FILES:
            break
    return count


def _copy(original: Path, root: Path) -> list[str]:
    """Copies a folder; returns the files that are only linked to, relative to it."""
    linked, left = [], MOST_BYTES
    for at, files in _walk(original):
        place = root / at.relative_to(original)
        place.mkdir(parents=True, exist_ok=True)
        for name in files:
            source, target = at / name, place / name
            if source.is_dir() or not (source.is_file() or source.is_symlink()):
                if source.is_symlink():
                    target.symlink_to(source.resolve())
                continue  # a socket, a pipe: nothing to be read
            size = source.stat().st_size if source.exists() else 0
            if size > left or (size > LARGE and left < MOST_BYTES // 2):
                target.symlink_to(source.resolve())
                linked.append(str(source.relative_to(original)))
                continue
            left -= size
            if source.exists():
                shutil.copy2(source, target)  # through a link: what it points at may be inside the original
    return linked
