"""Files without git: which ones are code, what tree id git would give them, and an archive that keeps them."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

REGULAR, EXECUTABLE, SYMLINK, GITLINK = "100644", "100755", "120000", "160000"

_SUFFIXES = (
    ".py .pyi .pyx .pxd .ipynb .c .cc .cpp .cu .cuh .h .hpp .rs .sh .bash .slurm .sbatch .toml .yaml .yml .json .cfg"
    " .ini .txt .md .rst .proto .jinja .j2 .gin .jsonnet .lock"
)
SOURCE_SUFFIXES = frozenset(_SUFFIXES.split())
SOURCE_NAMES = frozenset(["Makefile", "Dockerfile", "Snakefile", ".python-version"])
SKIPPED_FOLDERS = frozenset(["__pycache__", "node_modules", "site-packages", "dist-packages", "mlruns", "mlartifacts"])

LISTING = "code.files.txt"
"""Beside the stored code: one line `mode id path` for each file in it."""

_MOST_FOLDERS, _MOST_NAMES = 1_000, 20_000


def is_installed(path: Path) -> bool:
    """Return whether `path` belongs to the interpreter or to an installed package, not to the project."""
    if {"site-packages", "dist-packages"} & set(path.parts):
        return True
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix}
    return any(path.is_relative_to(Path(prefix) / "lib") for prefix in prefixes)


def source_files(root: Path, most: int, skip: Callable[[Path], bool]) -> Iterator[Path]:
    """Yield source-like files below `root`, nearest first; raises `OverflowError` after looking at 20 x `most` names.

    Hidden folders, virtual environments and links to folders are not entered.
    """
    seen = 0
    pending = [root]
    while pending:
        folder = pending.pop(0)
        try:
            found = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            continue
        names = {entry.name for entry in found}
        if folder != root and "pyvenv.cfg" in names:
            continue
        for entry in found:
            seen += 1
            if seen > 20 * most:
                raise OverflowError(f"more than {20 * most} names below {root.name}")
            path = Path(entry.path)
            if skip(path):
                continue
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith(".") and entry.name not in SKIPPED_FOLDERS:
                    pending.append(path)
            elif Path(entry.name).suffix.lower() in SOURCE_SUFFIXES or entry.name in SOURCE_NAMES:
                yield path


def file_mode(path: Path) -> str | None:
    """Return git's mode of the file or symbolic link at `path`; None where there is nothing that git could keep."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return None
    if stat.S_ISLNK(mode):
        return SYMLINK
    if not stat.S_ISREG(mode):
        return None
    return EXECUTABLE if mode & stat.S_IXUSR else REGULAR


def read_content(path: Path, mode: str) -> bytes:
    """Return the bytes git would keep: those of the file, or the target of the link."""
    return os.fsencode(os.readlink(path)) if mode == SYMLINK else path.read_bytes()


def blob_id(content: bytes, algorithm: str = "sha1") -> str:
    """Return git's object id of `content`."""
    return hashlib.new(algorithm, b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def tree_id(entries: Mapping[bytes, tuple[str, str]], algorithm: str = "sha1") -> str:
    """Return the id of the git tree that holds `entries`: path -> (mode, object id), paths as bytes with slashes.

    The format is git's: for each name its mode, name and raw id; folders sort as if their name ended in a slash.
    """
    files: list[tuple[bytes, str, str]] = []
    folders: dict[bytes, dict[bytes, tuple[str, str]]] = {}
    for path, (mode, oid) in entries.items():
        head, slash, rest = path.partition(b"/")
        if slash:
            folders.setdefault(head, {})[rest] = (mode, oid)
        else:
            files.append((head, mode, oid))
    rows = [(name, name, mode, oid) for name, mode, oid in files]
    rows += [(name + b"/", name, "40000", tree_id(inner, algorithm)) for name, inner in folders.items()]
    body = b"".join(mode.encode() + b" " + name + b"\0" + bytes.fromhex(oid) for _, name, mode, oid in sorted(rows))
    return hashlib.new(algorithm, b"tree %d\0" % len(body) + body, usedforsecurity=False).hexdigest()


def entries_of(root: Path, algorithm: str = "sha1", leave_out: Collection[bytes] = ()) -> dict[bytes, tuple[str, str]]:
    """Return path -> (mode, object id) of every file below `root`, but those in `leave_out` and the top `.git`."""
    entries: dict[bytes, tuple[str, str]] = {}
    top = os.fsencode(root)
    for folder, folders, names in os.walk(top):
        if folder == top and b".git" in folders:
            folders.remove(b".git")
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in (*names, *links):
            full = os.path.join(folder, name)
            relative = os.path.relpath(full, top)
            path = Path(os.fsdecode(full))
            mode = file_mode(path)
            if mode and relative not in leave_out:
                entries[relative] = (mode, blob_id(read_content(path, mode), algorithm))
    return entries


def write_listing(target: Path, entries: Mapping[bytes, tuple[str, str]]) -> None:
    """Write the paths, modes and ids of `entries` to `target`; a name with a line break in it is left out."""
    rows = [
        f"{mode} {oid} ".encode() + path + b"\n" for path, (mode, oid) in sorted(entries.items()) if b"\n" not in path
    ]
    target.write_bytes(b"".join(rows))


def read_listing(source: Path) -> dict[str, tuple[str, str]]:
    """Return path -> (mode, object id) as `write_listing` wrote it; empty where there is no listing."""
    try:
        rows = os.fsdecode(source.read_bytes()).split("\n")
    except OSError:
        return {}
    return {path: (mode, oid) for mode, oid, path in (row.split(" ", 2) for row in rows if row)}


def bare_folders(root: Path, entries: Collection[bytes], skip: Callable[[Path], bool]) -> list[str]:
    """Return the folders below `root` that hold none of `entries`: a script may write its results there.

    No more than 1,000, nearest first; hidden ones, environments and what `skip` names are not entered.
    """
    kept = {path[:cut] for path in entries for cut in range(len(path)) if path[cut : cut + 1] == b"/"}
    found: dict[str, None] = {}
    pending, seen = [root], 0
    while pending and seen < _MOST_NAMES:
        folder = pending.pop(0)
        try:
            inside = [entry for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
        except OSError:
            continue
        for entry in sorted(inside, key=lambda entry: entry.name):
            seen += 1
            path = Path(entry.path)
            hidden = entry.name.startswith(".") or entry.name in SKIPPED_FOLDERS or not entry.name.isprintable()
            if hidden or skip(path) or (path / "pyvenv.cfg").exists():
                continue
            pending.append(path)
            relative = path.relative_to(root).as_posix()
            if os.fsencode(relative) not in kept and len(found) < _MOST_FOLDERS:
                found[relative] = None
    return list(found)


def write_archive(target: Path, root: Path, entries: Iterable[tuple[bytes, str]]) -> None:
    """Write the files `entries` (path below `root`, mode) to the zip archive `target`, links as links."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for path, mode in sorted(entries):
            name = os.fsdecode(path)
            # A fixed date: the archive of equal files has equal bytes.
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = int(mode, 8) << 16
            archive.writestr(info, read_content(root / name, mode))


def read_archive(source: Path) -> Iterator[tuple[str, str, bytes]]:
    """Yield (path, mode, content) of every file in an archive that `write_archive` made."""
    with zipfile.ZipFile(source) as archive:
        for info in archive.infolist():
            yield info.filename, f"{info.external_attr >> 16:o}", archive.read(info)
