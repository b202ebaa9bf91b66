"""Data that the user names, for what no hook sees: files, folders, globs, and addresses of data that lies elsewhere."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .captured import Gap

if TYPE_CHECKING:
    from ..rules.engine.records import Json

MAX_FILES = 10_000
"""Files of one declared folder or pattern that get a digest; of a larger one the first by name."""
_MAGIC = "*?["


def as_declared(given: Any) -> dict[str, tuple[str, ...]]:
    """What a user gave as `data`, as name -> paths; raises `ValueError` where it names no data.

    One path, several, or a mapping from a name to either; without a name, a path is its own.
    """
    if given is None:
        return {}
    if isinstance(given, Mapping):
        named = {str(name): _paths(value) for name, value in given.items()}
    else:
        named = {path: (path,) for path in _paths(given)}
    if empty := [name for name, paths in named.items() if not paths]:
        raise ValueError(f"{empty[0]!r} names no file; expected a path, a pattern, an address, or several of them")
    return named


def _paths(given: Any) -> tuple[str, ...]:
    if isinstance(given, (str, os.PathLike)):
        path = os.fspath(given)
        if not isinstance(path, str) or not path.strip() or "\0" in path:
            raise ValueError(f"{path!r} is no path; expected a file, a folder, a pattern or an address")
        return (path,)
    if isinstance(given, (list, tuple, set, frozenset)):
        found = [path for one in given for path in _paths(one)]
        return tuple(sorted(found) if isinstance(given, (set, frozenset)) else found)
    raise ValueError(f"{given!r:.80} is no path; expected a file, a folder, a pattern, an address, or several of them")


def absolute(declared: Mapping[str, Iterable[str]], cwd: str) -> dict[str, list[str]]:
    """The same with paths made absolute as seen from `cwd`; an address loses user, password and tokens."""
    from .secrets import redact_url  # its patterns take 14 ms to compile

    def one(path: str) -> str:
        if path.startswith("file://"):
            path = path.removeprefix("file://")
        if "://" in path:
            return redact_url(path)
        return os.path.normpath(os.path.join(cwd, os.path.expanduser(path)))

    return {name: [one(path) for path in paths] for name, paths in declared.items()}


@dataclass
class Declared:
    """One path, pattern or address that was declared, and the files it stands for."""

    name: str
    given: str
    base: str = ""
    """The folder that the names of the files are relative to."""
    files: list[str] = field(default_factory=list)
    is_capped: bool = False
    """There are more files than `files`."""

    @property
    def is_address(self) -> bool:
        """Whether it lies elsewhere, where it cannot be looked at."""
        return "://" in self.given

    def as_json(self, rows: Mapping[str, Mapping[str, Json]]) -> dict[str, Json]:
        """What is stored of it: the digest is that of the sorted listing of names, sizes and contents of its files."""
        if self.is_address:
            return {"name": self.name, "uri": self.given}
        found = [rows[path] for path in self.files if path in rows]
        lines = sorted(
            f"{os.path.relpath(str(row['path']), self.base)}\0{row.get('size')}\0{row.get('sha256') or row['kind']}"
            for row in found
        )
        listing = "\n".join(lines).encode("utf-8", "surrogateescape")
        return {
            "name": self.name,
            "given": self.given,
            "files": len(found),
            "bytes": sum(int(str(row.get("size") or 0)) for row in found),
            "digest": hashlib.sha256(listing).hexdigest() if found else None,
            "capped": self.is_capped,
        }


def expand(declared: object, most: int = MAX_FILES) -> list[Declared]:
    """The files behind what was declared, name -> absolute paths; anything else is passed over."""
    found = []
    for name, paths in declared.items() if isinstance(declared, Mapping) else ():
        for path in paths if isinstance(paths, (list, tuple)) else ():
            if isinstance(path, str) and path:
                found.append(_expand_one(str(name), path, most))
    return found


def _expand_one(name: str, path: str, most: int) -> Declared:
    one = Declared(name, path)
    if one.is_address:
        return one
    if os.path.isdir(path):
        one.base = path
        names: Iterator[str] = files_below(path)
    elif os.path.lexists(path) or not any(sign in path for sign in _MAGIC):
        one.base = os.path.dirname(path)
        names = iter([path] if os.path.lexists(path) else [])
    else:
        one.base = _fixed_part(path)
        matches = sorted(glob.glob(path, recursive=True))
        names = (file for match in matches for file in (files_below(match) if os.path.isdir(match) else [match]))
    for file in names:
        if len(one.files) >= most:
            one.is_capped = True
            break
        one.files.append(file)
    one.files = list(dict.fromkeys(one.files))
    return one


def _fixed_part(pattern: str) -> str:
    """The folders of a pattern before its first sign."""
    parts = Path(pattern).parts
    first = next(number for number, part in enumerate(parts) if any(sign in part for sign in _MAGIC))
    return str(Path(*parts[:first]))


def files_below(folder: str) -> Iterator[str]:
    """The files below a folder in the order of their names; links to folders are followed, but never in a circle."""
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if name not in (".git", "__pycache__"))
        yield from (os.path.join(place, name) for name in sorted(names))


def declared_gaps(declared: Iterable[Declared]) -> Iterator[Gap]:
    """What stays in doubt of what was declared."""
    for one in declared:
        if one.is_address:
            yield Gap(
                "data",
                f"the declared data {one.name!r} lies at {one.given}, where its content is not compared",
                "Name a revision in the address, or declare a local copy.",
                blocking=False,
            )
        elif not one.files:
            yield Gap(
                "data",
                f"the declared data {one.name!r} is not there: {one.given}",
                "Declare a path, folder or pattern that exists when the run ends.",
            )
        elif one.is_capped:
            yield Gap(
                "data",
                f"the declared data {one.name!r} has more than {len(one.files)} files: the first by name stand for all",
                "Pack it into fewer files, or declare the part that is read.",
                blocking=False,
            )
