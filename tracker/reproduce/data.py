"""The data of a recorded run: looked for on this machine, compared, and put where its re-run will look for it."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ..capture.data import LISTED, digest_again
from ..capture.declared import MAX_FILES, files_below
from ..capture.hub import how_to_get, places_here
from .moved import Moved
from .pointers import is_pointer
from .searched import Search, texts_that_name

COPIED_BYTES = 1 << 30
"""Data files of the project up to this size in all are copied, so that a re-run cannot write to the originals; larger
ones are linked."""

_MOST_SEARCHED = 20
_COMPARED = ("full", "sampled", LISTED)


class DataCheck:
    """The recorded data files, looked for on this machine; `moved` says which lie elsewhere now."""

    def __init__(
        self, data: Mapping[str, Any], moved: Moved | None = None, variables: Mapping[str, str] | None = None
    ) -> None:
        """`data` is the content of data.json, `variables` those of the re-run: they say where hubs keep their files."""
        self.items = [dict(item) for item in _rows(data, "items") if _is_named(item)]
        self.identity = str(data.get("identity", "unknown"))
        self.moved = Moved() if moved is None else moved
        self._declared = _rows(data, "declared")
        self._by_link: set[str | None] = set()
        self._variables = os.environ if variables is None else variables

    def place(self, item: Mapping[str, Any], root: Path | None) -> Path:
        """Where the re-run finds the file: where `--data` says, in the restored project when it was part of it, in a
        hub's cache of this machine, else where it was."""
        path = str(item["path"])
        old, now = self.moved.old(path), self.moved.place(path)
        relative = item.get("relative")
        if now is not None and self._is_chosen(item):
            return now
        if root is not None and relative and _is_there(root / str(relative), item):
            return root / str(relative)
        if now is not None and (relative or old in self.moved.named):
            return now
        if not relative and isinstance(item.get("hub"), dict):
            here = (place for place in places_here(item["hub"], self._variables) if place.is_file())
            return next(here, Path(path))
        return Path(path)

    def _is_chosen(self, item: Mapping[str, Any]) -> bool:
        """Whether `--data` names a file of the project, or a folder in it: that stands before a restored copy."""
        old = self.moved.old(str(item["path"])) if item.get("relative") else None
        return old is not None and not self.moved.is_outside(old)

    def relink(self, root: Path) -> list[str]:
        """Points links of the restored project that lead to moved data at where that is now; returns their names."""
        changed = []
        for link in _links_above(root, self.items):
            name = link.relative_to(root).as_posix()
            target = os.path.normpath(os.path.join(link.parent, os.readlink(link)))
            recorded = None if self.moved.project is None else os.path.join(self.moved.project, name)
            old = target if self.moved.old(target) is not None else recorded
            now = None if old is None else self.moved.place(old)
            if old is not None and now is not None and now.exists():
                self._by_link.add(self.moved.old(old))
                link.unlink()
                link.symlink_to(now)
                changed.append(name)
        return changed

    def outside_project(self, root: Path) -> list[dict[str, Any]]:
        """Files that lay in the project's folder and have to be put there: `source` says where they are now.

        They are not restored with the code and are still where they were, or `--data` maps them.
        """
        found = []
        for item in self.items:
            relative = item.get("relative")
            is_chosen = self._is_chosen(item)
            if not relative or (not is_chosen and (item.get("in_code") or _is_there(root / str(relative), item))):
                continue
            source = self.place(item, root)
            if source.is_file() and source != root / str(relative):
                found.append({**item, "source": str(source), "replaces": is_chosen})
        return found

    def out_of_reach(self, root: Path) -> list[str]:
        """Names of files that the project reaches by a relative path or link out of itself, to nothing from `root`."""
        found = []
        for item in self.items:
            if item.get("from_root"):
                is_told = self.moved.old(str(item["path"])) in self.moved.named
                if not is_told and not (root / str(item["from_root"])).exists():
                    found.append(str(item["from_root"]))
        for item in self.items:
            relative = PurePosixPath(str(item.get("relative") or ""))
            if item.get("relative") and not (root / relative).exists() and _leads_out(root, relative):
                found.append(str(relative))
        return found

    def hard_coded(self, root: Path) -> list[str]:
        """What `--data` cannot lead elsewhere: the originals whose name is in the code or nowhere that was recorded.

        One sentence with the next move for each, unless the recorded files are there all the same.
        """
        told = self.moved.named
        stuck: dict[str, str] = {}
        for item in self.items:
            old = self.moved.old(str(item["path"]))
            if old is not None and old not in told and not item.get("relative") and old not in stuck:
                now = digest_again(self.place(item, root), item.get("kind"))
                if now.get("sha256") != item.get("sha256"):
                    stuck[old] = str(self.moved.place(old))
        places: dict[str, list[str]] = {}
        for old, place in texts_that_name(root, list(stuck)) if stuck else ():
            places.setdefault(old, []).append(place)
        return [
            f"{_who(places.get(old, []))} {old} itself: make a link there (ln -s {new} {old}), "
            "or change the code to take the path from an argument"
            for old, new in stuck.items()
        ]

    def unknown(self) -> list[str]:
        """The originals of `--data` that no recorded file, argument or variable names: mistyped, most likely."""
        known = {self.moved.old(str(item["path"])) for item in self.items} | self.moved.named | self._by_link
        return [old for old, _ in self.moved.pairs if old not in known]

    def changed(self, root: Path | None = None, only: Sequence[Mapping[str, Any]] | None = None) -> list[str]:
        """Names of the files whose content is not the recorded one, missing ones included, with the next move."""
        found: list[str] = []
        missing: list[Mapping[str, Any]] = []
        for item in self.items if only is None else only:
            if not self._is_checked(item):
                continue
            name = _name(item)
            if item.get("rewritten"):  # its digest is that of what the run left there
                found.append(f"{name} (written over by the run)")
                continue
            state = self._state(item, root)
            if state == "missing":
                missing.append(item)
            elif state is not None:
                found.append(f"{name} ({state})")
        found += self._missing(missing, root)
        return found + (self._added(root) if only is None else [])

    def _is_checked(self, item: Mapping[str, Any]) -> bool:
        if self._is_chosen(item) and item.get("sha256"):
            return True
        # What came back with the code is what it was: the identity of its tree says so.
        return not item.get("in_code") and item.get("kind") in _COMPARED and not _is_as_installed(item)

    def _state(self, item: Mapping[str, Any], root: Path | None) -> str | None:
        """`missing`, `changed`, or None for the recorded content."""
        place = self.place(item, root)
        try:
            size = place.stat().st_size if place.is_file() else None
        except OSError:
            size = None
        if size is None:
            return "missing"
        if item.get("kind") == LISTED:
            return None  # the run saw its name alone
        if isinstance(item.get("size"), int) and size != item["size"]:
            return "changed"  # without reading it
        now = digest_again(place, item.get("kind"))
        if now["kind"] == "missing":
            return "missing"
        return None if now.get("sha256") == item.get("sha256") else "changed"

    def _missing(self, items: Sequence[Mapping[str, Any]], root: Path | None) -> list[str]:
        """The missing files with what brings them back."""
        search = Search(self._where_to_look(items, root), without=root) if items else None
        found = []
        for number, item in enumerate(items):
            name, hint = _name(item), ""
            place = search.find(item) if search is not None and number < _MOST_SEARCHED else None
            if place is not None:
                hint = f", moved to {place}: go on with --data {name}={place}"
            elif isinstance(item.get("hub"), dict):
                hint = f": {how_to_get(item['hub'])}"
            elif item.get("lfs"):
                hint = ": 'git lfs pull' brings it"
            found.append(f"{name} (missing{hint})")
        return found

    def _where_to_look(self, items: Sequence[Mapping[str, Any]], root: Path | None) -> Iterator[Path]:
        """Folders in which missing files may lie now, the likeliest first."""
        for _, new in self.moved.pairs:
            yield Path(new) if os.path.isdir(new) else Path(new).parent
        absent = {id(item) for item in items}
        others = [self.place(item, root) for item in self.items if id(item) not in absent and not item.get("in_code")]
        yield from dict.fromkeys(place.parent for place in others if place.is_file() and not _is_shared(place.parent))
        for item in items:
            above = [folder for folder in Path(str(item["path"])).parents if folder.is_dir()]
            # Where the file's own folder is left, what was in it may lie beside that.
            near = above[:2] if above[:1] == [Path(str(item["path"])).parent] else above[:1]
            yield from (folder for folder in near if not _is_shared(folder))
        if root is not None and not _is_shared(root.parent):
            yield root.parent

    def _added(self, root: Path | None) -> list[str]:
        """Files that have come up in a declared folder outside of the project: what lists it reads them, too."""
        known = {str(self.place(item, root)) for item in self.items}
        found = []
        for one in self._declared:
            given = one.get("given")
            if not isinstance(given, str) or one.get("capped") or not one.get("files"):
                continue
            if self.moved.project is not None and given.startswith(self.moved.project + os.sep):
                continue
            old = self.moved.old(given)
            place = self.moved.place(given) if old is not None and old in self.moved.named else Path(given)
            if place is None or not place.is_dir():
                continue
            for number, file in enumerate(files_below(str(place))):
                if number > MAX_FILES:
                    break
                if file not in known:
                    found.append(f"{file} (new in the declared data {str(one.get('name'))!r})")
        return found

    def weaker(self, root: Path | None = None) -> list[str]:
        """The files that are compared by size and samples only: what is known of them, for each."""
        found = []
        for item in self.items:
            if item.get("kind") != "sampled" or item.get("in_code") or self._state_of_date(item, root) is None:
                continue
            date = "the same date" if self._state_of_date(item, root) else "another date"
            found.append(f"{_name(item)} is compared by its size and samples of its content ({date})")
        return found

    def _state_of_date(self, item: Mapping[str, Any], root: Path | None) -> bool | None:
        try:
            return self.place(item, root).stat().st_mtime_ns == item.get("mtime_ns")
        except OSError:
            return None

    def addresses(self) -> list[str]:
        """The declared data that lies elsewhere, whose content is not compared."""
        return [f"{one.get('name')} at {one['uri']}" for one in self._declared if isinstance(one.get("uri"), str)]


def place_data(root: Path, items: Sequence[Mapping[str, Any]]) -> list[str]:
    """Puts data files that lay in the project's folder, but not in its code, where the re-run will look for them.

    Returns the names of those that were linked because they are too large to copy: the re-run can write to them.
    """
    linked: list[str] = []
    copied = 0
    for item in sorted(items, key=_size):
        source = Path(str(item.get("source") or item["path"]))
        relative = PurePosixPath(str(item["relative"]))
        target = root / relative
        if not _is_inside(root, relative):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(target):
            if target.is_dir() or not (item.get("replaces") or is_pointer(target)):
                continue
            target.unlink()
        size = _size(item)
        if copied + size <= COPIED_BYTES:
            shutil.copy2(source, target)
            copied += size
        else:
            target.symlink_to(source)
            linked.append(str(relative))
    return linked


def _is_inside(root: Path, relative: PurePosixPath) -> bool:
    """Whether a file of this name lies below `root`, through links as well, and in no `.git`."""
    if relative.is_absolute() or not relative.parts or ".." in relative.parts:
        return False
    if ".git" in (part.lower() for part in relative.parts):
        return False
    try:
        return (root / relative).parent.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # links in a circle
        return False


def _leads_out(root: Path, relative: PurePosixPath) -> bool:
    try:
        return not (root / relative).resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):
        return False


def _rows(data: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    rows = data.get(key)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _is_named(item: Mapping[str, Any]) -> bool:
    path, relative = item.get("path"), item.get("relative")
    is_path = isinstance(path, str) and os.path.isabs(path) and "\0" not in path
    return is_path and (relative is None or (isinstance(relative, str) and "\0" not in relative))


def _name(item: Mapping[str, Any]) -> str:
    return str(item.get("relative") or item["path"])


def _size(item: Mapping[str, Any]) -> int:
    size = item.get("size")
    return size if isinstance(size, int) else 0


def _is_there(place: Path, item: Mapping[str, Any]) -> bool:
    """Whether a file is in place; a pointer of git-lfs is not its content."""
    return place.exists() and not (item.get("lfs") and is_pointer(place))


def _is_shared(folder: Path) -> bool:
    """True for folders that hold everybody's files (`/`, `/home`, `/data`): looking through them is not cheap."""
    return len(folder.parts) < 3 or folder == Path.home()


def _who(places: Sequence[str]) -> str:
    if not places:
        return "no argument and no file of the project names it, so the code makes the path"
    shown = ", ".join(places[:3])
    return f"the code ({shown}) names"


def _links_above(root: Path, items: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Links of the restored project on the way to its data files, outermost first."""
    found: dict[Path, None] = {}
    for item in items:
        place = root
        relative = PurePosixPath(str(item.get("relative") or ""))
        if ".." in relative.parts or relative.is_absolute():
            continue
        for part in relative.parts:
            place = place / part
            if place.is_symlink():
                found[place] = None
                break
    return list(found)


def _is_as_installed(item: Mapping[str, Any]) -> bool:
    """True for a file of a distribution that is installed here in the same version."""
    name, sign, version = str(item.get("distribution") or "").partition("==")
    if not sign or item.get("as_installed") is not True:
        return False
    try:
        return importlib.metadata.version(name) == version
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return False
