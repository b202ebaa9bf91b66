"""What a restore lets in: names that stay in the folder, and no more content than there is room for.

Whoever can write to a store can put an archive there that leads out of its folder, or one of a megabyte that fills the
disk. All that an archive or a tree says of itself is judged before the first byte of it is written.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..capture.git import read_git
from ..capture.plainfiles import EXECUTABLE, GITLINK, REGULAR, SYMLINK
from ..errors import ReproduceError

VARIABLE = "TRACKER_RESTORE_MB"
"""Names how many megabytes a restore may write, where that shall be more than `MOST_MB`."""
MOST_MB = 10_000
MOST_FILES = 500_000

_LISTING_BYTES = 200_000_000
"""What git may print to list a tree: one that is listed in more has more names than any project."""
_MEGABYTE = 1_000_000
_TREE = "040000"
# What zipfile raises for an archive that is damaged, encrypted, or of a kind it does not know.
_UNREADABLE = (OSError, zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError, ValueError)
_INVISIBLE = re.compile(r"[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff. ]+\Z")


@dataclass
class Room:
    """How much may still be written below a folder; one for all that is restored into it."""

    folder: Path
    size: int
    files: int = MOST_FILES

    @classmethod
    def below(cls, folder: Path) -> Room:
        """The room for one restore; raises `ReproduceError` where `TRACKER_RESTORE_MB` is no number of megabytes."""
        given = os.environ.get(VARIABLE, "").strip()
        if given and not given.isdigit():
            raise ReproduceError(f"{VARIABLE} is {given!r}; expected a whole number of megabytes, such as {MOST_MB}.")
        return cls(folder, int(given or MOST_MB) * _MEGABYTE)

    def admit(self, what: str, sizes: Iterable[int]) -> None:
        """Count files of these `sizes`, in bytes; raises `ReproduceError` where they are too many or too large."""
        files, total = 0, 0
        for size in sizes:
            files += 1
            total += size
        if files > self.files:
            raise ReproduceError(f"{what} holds {files:,} files, expected no more than {self.files:,}: {_NOTHING}")
        if total > self.size:
            raise ReproduceError(
                f"{what} unpacks to {total / _MEGABYTE:,.0f} MB, expected no more than {self.size / _MEGABYTE:,.0f} MB:"
                f" {_NOTHING} If you trust it, allow more with {VARIABLE}={total // _MEGABYTE + 1}."
            )
        free = shutil.disk_usage(self.folder).free
        if total > free:
            raise ReproduceError(
                f"{what} unpacks to {total / _MEGABYTE:,.0f} MB, and the disk of {self.folder} has "
                f"{free / _MEGABYTE:,.0f} MB left. {_NOTHING} Name a folder on another disk with --into."
            )
        self.files -= files
        self.size -= total


_NOTHING = "nothing of it was written."


def check_tree(where: Path, ref: str, room: Room) -> list[tuple[str, bytes]]:
    """Return (mode, path) of all that the tree of `ref` in the repository `where` names, folders included.

    Raises `ReproduceError` where a name could lead out of the folder or into its `.git` (git refuses most of them as
    well), or where it does not fit into `room`.
    """
    listing = read_git("ls-tree", "-r", "-l", "-z", "-t", "--full-tree", ref, where=where, most=_LISTING_BYTES)
    if listing is None:
        raise ReproduceError(
            f"The stored tree is listed in more than {_LISTING_BYTES // _MEGABYTE} MB, expected the files of a project:"
            f" {_NOTHING}"
        )
    rows, sizes = [], []
    for row in filter(None, listing.split(b"\0")):
        about, path = row.split(b"\t", 1)
        mode, _, _, size = about.decode().split()
        if mode not in (_TREE, REGULAR, "100664", EXECUTABLE, SYMLINK, GITLINK):
            raise ReproduceError(f"The stored tree has an entry of mode {mode}, which is no file: {path!r}.")
        check_name(os.fsdecode(path))
        rows.append((mode, path))
        if mode != _TREE:
            sizes.append(int(size) if size.isdigit() else 0)
    _check_places(((os.fsdecode(path), mode) for mode, path in rows), "The stored tree", folds_case(where))
    room.admit("The stored code", sizes)
    return rows


def check_name(path: str) -> None:
    """Raise `ReproduceError` where `path` is no name below a folder, or one within its `.git`."""
    parts = path.split("/")
    # `git~1` and a name with ignorable characters are `.git` to some file systems.
    plain = [_INVISIBLE.sub("", part).lower() for part in parts]
    if path.startswith("/") or any(part in ("", ".", "..") for part in parts) or "\0" in path:
        raise ReproduceError(f"The stored code names a path outside of its folder: {path!r}. Nothing was written.")
    if any(part in (".git", "git~1") for part in plain):
        raise ReproduceError(f"The stored code wants to write into a .git folder: {path!r}. Nothing was written.")


def _check_places(entries: Iterable[tuple[str, str]], what: str, folds: bool) -> None:
    """Refuse two entries (path, mode) for one place, and an entry below another that is no folder.

    `folds` says that the file system takes names for equal that differ in case alone.
    """
    seen: dict[str, str] = {}
    others: set[str] = set()
    for path, mode in entries:
        key = _folded(path) if folds else path
        if key in seen and seen[key] == path:
            raise ReproduceError(f"{what} names {path!r} twice: it was not written by this tool.")
        if key in seen:
            raise ReproduceError(
                f"{what} has {seen[key]!r} and {path!r}, which are one name to the file system here. "
                "Name a folder with --into on one that tells upper from lower case."
            )
        seen[key] = path
        if mode != _TREE:
            others.add(key)
    for key, path in seen.items():
        if any(key[:cut] in others for cut in range(len(key)) if key[cut] == "/"):
            raise ReproduceError(f"{what} has {path!r} below another file: it was not written by this tool.")


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())


def folds_case(folder: Path) -> bool:
    """Return whether the file system of `folder` takes names for equal that differ in case alone."""
    with tempfile.NamedTemporaryFile(prefix=".Case-", dir=folder) as probe:
        name = os.path.basename(probe.name)
        return os.path.lexists(folder / name.swapcase())


def read_admitted(archive: Path, room: Room) -> Iterator[tuple[str, str, bytes]]:
    """Yield (path, mode, content) of every file of a zip archive, once all of them are known to be in order.

    Raises `ReproduceError` before the first where a name leads out of the folder or into a `.git`, where two are for
    one place, or where the content does not fit into `room`; and wherever the archive cannot be read.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            infos = opened.infolist()
            modes = {info: f"{info.external_attr >> 16:o}" for info in infos}
            for info, mode in modes.items():
                check_name(info.filename)
                if mode not in (REGULAR, EXECUTABLE, SYMLINK):
                    name = info.filename
                    raise ReproduceError(f"{archive.name} has an entry of mode {mode}, which is no file: {name!r}.")
            places = ((info.filename, mode) for info, mode in modes.items())
            _check_places(places, archive.name, folds_case(room.folder))
            room.admit(archive.name, (info.file_size for info in infos))
            for info, mode in modes.items():
                # No more than the size it has told is ever read of an entry.
                yield info.filename, mode, opened.read(info)
    except _UNREADABLE as error:
        raise ReproduceError(f"{archive.name} cannot be read: {error}. The code cannot be restored.") from error
