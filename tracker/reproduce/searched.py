"""Looking for what a restored project needs: data files that were moved, and files of the project that name a path."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..capture.data import digest_again

_MOST_NAMES = 20_000
"""Names that a search for moved files looks at, in all."""
_MOST_DEPTH = 4
_MOST_DIGESTS = 20
_TEXT = (".py", ".yaml", ".yml", ".json", ".toml", ".ini", ".cfg", ".conf", ".txt", ".sh", ".gin", ".env")
_MOST_TEXTS = 2_000
_MOST_TEXT_BYTES = 1_000_000
_SKIPPED = ("__pycache__", "node_modules", "site-packages", "dist-packages", "mlruns", "mlartifacts")


class Search:
    """Looks for files of a known name, size and digest below folders; what was walked is walked once."""

    def __init__(self, folders: Iterable[Path], without: Path | None = None) -> None:
        """Search below `folders`, nearest first, but not in the folder `without`."""
        self._folders = list(dict.fromkeys(folder for folder in folders if folder.is_dir()))
        self._without = None if without is None else os.path.realpath(without)
        self._by_name: dict[tuple[str, int], list[Path]] | None = None
        self._digests = _MOST_DIGESTS

    def find(self, item: Mapping[str, Any]) -> Path | None:
        """Where the recorded file `item` (a row of data.json) lies now; None where it was not found cheaply."""
        path, size = Path(str(item.get("path"))), item.get("size")
        if not isinstance(size, int) or item.get("kind") not in ("full", "sampled"):
            return None
        parts = path.parts[1:]
        for length in range(len(parts), 0, -1):
            for folder in self._folders:
                if self._is_it(folder.joinpath(*parts[-length:]), item, size):
                    return folder.joinpath(*parts[-length:])
        if self._by_name is None:
            self._by_name = self._walk()
        return next(
            (place for place in self._by_name.get((path.name, size), ()) if self._is_it(place, item, size)), None
        )

    def _is_it(self, place: Path, item: Mapping[str, Any], size: int) -> bool:
        try:
            if not place.is_file() or place.stat().st_size != size or self._is_left_out(str(place)):
                return False
        except OSError:
            return False
        if self._digests < 1:
            return False
        self._digests -= 1
        return digest_again(place, item.get("kind")).get("sha256") == item.get("sha256")

    def _is_left_out(self, place: str) -> bool:
        real = os.path.realpath(place)
        return self._without is not None and (real == self._without or real.startswith(self._without + os.sep))

    def _walk(self) -> dict[tuple[str, int], list[Path]]:
        found: dict[tuple[str, int], list[Path]] = {}
        pending = [(folder, 0) for folder in self._folders]
        entered: set[str] = set()
        left = _MOST_NAMES
        while pending and left > 0:
            folder, depth = pending.pop(0)
            real = os.path.realpath(folder)
            if real in entered or self._is_left_out(real):
                continue
            entered.add(real)
            for entry in _entries(folder):
                left -= 1
                if left < 0:
                    break
                try:
                    if entry.is_dir(follow_symlinks=False):
                        if depth < _MOST_DEPTH and not entry.name.startswith(".") and entry.name not in _SKIPPED:
                            pending.append((Path(entry.path), depth + 1))
                    elif entry.is_file():
                        found.setdefault((entry.name, entry.stat().st_size), []).append(Path(entry.path))
                except OSError:
                    continue
        return found


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def texts_that_name(root: Path, paths: Sequence[str], most: int = 5) -> Iterator[tuple[str, str]]:
    """The first places (`config.yaml:3`) in the code and configurations below `root` that name one of `paths`.

    Pairs of path and place; links and hidden folders are not followed, no file above a megabyte is read.
    """
    seen, told = 0, 0
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _SKIPPED)
        for name in sorted(names):
            place = Path(folder, name)
            if not name.endswith(_TEXT) or place.is_symlink():
                continue
            seen += 1
            if seen > _MOST_TEXTS:
                return
            for path, line in _lines_that_name(place, paths):
                yield path, f"{place.relative_to(root).as_posix()}:{line}"
                told += 1
                if told >= most:
                    return


def _lines_that_name(place: Path, paths: Sequence[str]) -> Iterator[tuple[str, int]]:
    try:
        if not place.is_file() or place.stat().st_size > _MOST_TEXT_BYTES:
            return
        text = place.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for path in paths:
        at = text.find(path)
        while at >= 0:
            behind = text[at + len(path) : at + len(path) + 1]
            if not (behind.isalnum() or behind in ("_", "-")) or behind == "":
                yield path, text.count("\n", 0, at) + 1
                break
            at = text.find(path, at + 1)
