"""The code of a run without a usable git repository: source files, kept in an archive, identified as git would."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .born import made_since
from .captured import Captured, Gap
from .plainfiles import (
    LISTING,
    SYMLINK,
    bare_folders,
    blob_id,
    file_mode,
    read_content,
    source_files,
    tree_id,
    write_archive,
    write_listing,
)
from .withheld import new_secrets, write_twin

if TYPE_CHECKING:
    from ..rules.engine.records import Json
    from .code import CodeLimits, Place

_MEGABYTE = 1_000_000
_MOST_FILES = 2_000  # a script's folder with more source files than this is a home or a download folder


def capture_plain(place: Place, into: Path, limits: CodeLimits) -> Captured:
    """Store the source files below the folder the run was started from, and the files it imported, below `into`."""
    captured = Captured()
    root = place.start.resolve()
    files = dict.fromkeys(_candidates(place, root, captured))
    entries: dict[bytes, tuple[str, str]] = {}
    withheld: list[Json] = []
    skipped: list[Json] = []
    late: list[Json] = []
    left = limits.max_total_mb * _MEGABYTE
    for path in files:
        mode = file_mode(path)
        if mode is None:
            continue
        name = path.relative_to(root).as_posix()
        size = os.lstat(path).st_size
        if size > min(left, limits.max_file_mb * _MEGABYTE) or not name.isprintable():
            skipped.append({"path": name, "size": size})
            continue
        try:
            content = read_content(path, mode)
        except OSError:
            skipped.append({"path": name, "size": size})
            continue
        kinds = new_secrets(content) if mode != SYMLINK else ()
        if kinds:
            withheld.append({"path": name, "kinds": [*kinds], "redacted": write_twin(content, len(withheld), into)})
            captured.gaps.append(
                Gap(
                    "code",
                    f"secret in {name} ({', '.join(kinds)}): the file was not stored",
                    "Read the secret from an environment variable.",
                )
            )
            continue
        left -= size
        if place.began is not None and os.lstat(path).st_mtime > place.began:
            late.append(name)
        entries[os.fsencode(name)] = (mode, blob_id(content))
    if skipped:
        captured.gaps.append(
            Gap(
                "code",
                f"{len(skipped)} file(s) were not stored (too large, unreadable or oddly named), the first is"
                f" {skipped[0]['path'] if isinstance(skipped[0], dict) else ''}",
                "Raise capture.max_file_mb or capture.max_total_mb, or move the files out of the script's folder.",
            )
        )
    captured.facts = {
        "kind": "files" if entries else "none",
        "root": os.fspath(root),
        "commit": None,
        "branch": None,
        "remote": None,
        "base_on_remote": False,
        "dirty": None,
        "tree": tree_id(entries) if entries else None,
        "object_format": "sha1",
        "entry": place.relative(place.script, root),
        "cwd": place.relative(place.cwd, root),
        "skipped": skipped,
        "late": late,
        "withheld": withheld,
        **captured.facts,
    }
    if entries:
        target = into / "code.zip"
        write_archive(target, root, [(path, mode) for path, (mode, _) in entries.items()])
        write_listing(into / LISTING, entries)
        is_made = made_since(place.began)
        folders = bare_folders(root, entries, lambda path: place.skip(path) or is_made(path))
        captured.facts["folders"] = [*folders]
        captured.files += [
            target,
            into / LISTING,
            *(into / f"redacted/{number}.txt" for number in range(len(withheld))),
        ]
    else:
        captured.gaps.append(Gap("code", f"no source file was found below {root.name}", "Run a script from a folder."))
    return captured


def _candidates(place: Place, root: Path, captured: Captured) -> Iterator[Path]:
    outside: list[Json] = []
    for path in place.loaded:
        if path.is_relative_to(root):
            yield path
        else:
            outside.append(os.fspath(path))
    captured.facts["outside"] = outside
    if outside:
        captured.gaps.append(
            Gap(
                "code",
                f"{len(outside)} imported file(s) lie outside of {root.name}, the first is {outside[0]}",
                "Put the project under git ('git init' in its top folder), so that all of it is captured.",
            )
        )
    is_made = made_since(place.began)
    try:
        found = list(source_files(root, _MOST_FILES, lambda path: place.skip(path) or is_made(path)))
    except OverflowError as overflow:
        found = []
        reason = str(overflow)
    else:
        reason = f"{len(found)} source files below {root.name}" if len(found) > _MOST_FILES else ""
    if reason:
        captured.gaps.append(
            Gap(
                "code",
                f"only the script and what it imported were stored: {reason}",
                "Put the project under git ('git init' in its top folder), so that all of it is captured.",
            )
        )
        return
    yield from found
