"""Puts the code of a run into an empty folder, from what was stored with the run alone, and proves that it is the same.

Nothing that was stored is executed here: no hook, no filter, no submodule command. Names that would reach out of the
folder are refused before anything is written.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..capture.bundle import EXTRA_REF, SNAPSHOT_REF
from ..capture.git import RAW_ATTRIBUTES, GitMissing, GitTrouble, run_git
from ..capture.inputs import ARCHIVE
from ..capture.plainfiles import EXECUTABLE, GITLINK, SYMLINK, entries_of, tree_id
from ..errors import ReproduceError
from .admitting import Room, check_tree, read_admitted
from .pointers import is_pointer, keep_pointers, pointers_of

_FORMATS = ("sha1", "sha256")
_OBJECT_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
# `ext::` and the like would run a program that the stored address names.
_TRANSPORTS = "https:http:ssh:git:file"
_MOST_LISTED = 10_000


@dataclass(frozen=True)
class RestoredCode:
    """Where the code of a run lies now, and whether it is what was captured."""

    root: Path
    entry: Path | None
    """The script, None where the run had none inside of its project."""
    cwd: Path
    """The folder the run was started in; the root if that was outside of the project."""
    tree: str | None
    """The identity of what lies there now, computed anew from the files."""
    matches: bool
    """Whether `tree` is the one that was recorded."""
    problems: list[str] = field(default_factory=list)
    """What differs from the original all the same: files that were never stored, a submodule without content."""


def restore_code(capture_dir: Path, into: Path, *, base: str | Path | None = None) -> RestoredCode:
    """Restore the code captured in `capture_dir` into `into`, which must be new or empty.

    `base` is a repository to fetch from where the bundle holds only what a published commit lacks; by default the
    recorded remote. Raises `ReproduceError` where nothing was captured, `into` is in use, or what was stored is
    damaged or would write outside of `into`.
    """
    facts = _read_facts(capture_dir)
    into = Path(os.path.abspath(into))
    _require_empty(into)
    algorithm = str(facts.get("object_format", "sha1"))
    if algorithm not in _FORMATS:
        raise ReproduceError(f"code.json names the object format {algorithm!r}; expected one of {', '.join(_FORMATS)}.")
    try:
        into.mkdir(parents=True, exist_ok=True)
        return _restore(capture_dir, into.resolve(), facts, algorithm, base)
    except OSError as error:
        raise ReproduceError(f"The code cannot be restored into {into}: {error}.") from error


def _restore(
    capture_dir: Path, into: Path, facts: Mapping[str, Any], algorithm: str, base: str | Path | None
) -> RestoredCode:
    room = Room.below(into)
    if facts["kind"] == "git":
        extra = _restore_bundle(capture_dir / "code.bundle", facts, algorithm, base, room)
    else:
        extra = []
        _restore_archive(capture_dir / "code.zip", room)
    found = entries_of(into, algorithm, leave_out=set(extra))
    links = _links(facts)
    tree = tree_id({**found, **{os.fsencode(path): (GITLINK, oid) for path, oid in links.items()}}, algorithm)
    if facts["kind"] == "files":
        _make_repository(into)
    problems = _problems(facts)
    matches = tree == facts["tree"]
    if not matches:
        problems.insert(0, f"the restored files have the identity {tree}, the recorded one is {facts['tree']}")
    entry, cwd = _inside(into, facts.get("entry")), _inside(into, facts.get("cwd")) or into
    if facts.get("entry") and (entry is None or not entry.is_file()):
        problems.append(f"the script {facts['entry']} is not among the restored files")
        entry = None
    _make_folders(into, [*_listed(facts, "folders"), str(facts.get("cwd") or ".")])  # git keeps no empty folder
    pointers = pointers_of(facts)
    problems += _restore_inputs(capture_dir / ARCHIVE, into, room, pointers)
    left = [path for path in sorted(pointers) if (place := _inside(into, path)) is not None and is_pointer(place)]
    problems += [f"{path} is a git-lfs pointer; 'git lfs pull' brings its content" for path in left[:_MOST_LISTED]]
    return RestoredCode(into, entry, cwd, tree, matches, problems)


def _read_facts(capture_dir: Path) -> dict[str, Any]:
    path = capture_dir / "code.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ReproduceError(f"No code was captured: {capture_dir.name} has no code.json.") from error
    except ValueError as error:
        raise ReproduceError(
            f"code.json cannot be read ({error}); it was damaged, or another tool wrote it."
        ) from error
    if not isinstance(facts, dict) or facts.get("kind") not in ("git", "files") or not facts.get("tree"):
        kind = facts.get("kind") if isinstance(facts, dict) else None
        raise ReproduceError(
            f"No code was captured with this run: code.json says kind {kind!r}, expected git or files."
        )
    return facts


def _require_empty(into: Path) -> None:
    if os.path.lexists(into) and (into.is_symlink() or not into.is_dir() or any(into.iterdir())):
        raise ReproduceError(f"{into} is not an empty folder. Name a new one: nothing is ever overwritten.")


def _restore_bundle(
    bundle: Path, facts: Mapping[str, Any], algorithm: str, base: str | Path | None, room: Room
) -> list[bytes]:
    """Check out the bundle below the folder of `room`; return the paths that git ignored in the original."""
    into = room.folder
    if not bundle.is_file():
        raise ReproduceError(f"{bundle.name} is missing from the captured files: the code cannot be restored.")
    bundle = bundle.resolve()

    def git(*arguments: str | os.PathLike[str], env: Mapping[str, str] | None = None) -> bytes:
        return run_git(*arguments, where=into, env=env, private=True)

    try:
        _init(into, algorithm)
        if facts.get("needs"):
            _fetch_base(into, str(facts["needs"]), base or facts.get("remote"))
        snapshot, extra = (ref.replace("heads", "restored") for ref in (SNAPSHOT_REF, EXTRA_REF))
        trees = {SNAPSHOT_REF: facts["tree"]} | ({EXTRA_REF: facts["ignored_tree"]} if _has_extra(facts) else {})
        refs = [f"+{ref}:{ref.replace('heads', 'restored')}" for ref in trees]
        git("fetch", "-q", "--no-tags", "--no-write-fetch-head", bundle, *refs)
        check_tree(into, snapshot, room)
        for ref, tree in trees.items():
            if git("rev-parse", f"{ref.replace('heads', 'restored')}^{{tree}}").decode().strip() != tree:
                raise ReproduceError(
                    "code.bundle holds another tree than code.json records: one of them was exchanged."
                )
        git("update-ref", SNAPSHOT_REF, snapshot)
        git("symbolic-ref", "HEAD", SNAPSHOT_REF)
        git("reset", "-q", "--hard", "HEAD")
        return _restore_extra(into, extra, room) if _has_extra(facts) else []
    except GitMissing as error:
        raise ReproduceError(f"A restore needs git: {error}. Install git and try again.") from error
    except GitTrouble as error:
        raise ReproduceError(f"code.bundle cannot be restored; git says: {error}") from error


def _init(into: Path, algorithm: str) -> None:
    """Make a repository that takes files as they are: no conversion of line ends, no filter, no hook, no template."""
    run_git("init", "-q", "--template=", f"--object-format={algorithm}", "-b", "snapshot", into, private=True)
    for name, value in (
        ("core.autocrlf", "false"),
        ("core.hooksPath", os.devnull),
        ("core.symlinks", "true"),
        ("core.fileMode", "true"),
        ("core.protectNTFS", "true"),
        ("core.protectHFS", "true"),
        ("gc.auto", "0"),
    ):
        run_git("config", name, value, where=into, private=True)
    (into / ".git" / "info").mkdir(exist_ok=True)
    (into / ".git" / "info" / "attributes").write_text(RAW_ATTRIBUTES)


def _fetch_base(into: Path, commit: str, source: str | Path | None) -> None:
    if not _OBJECT_ID.match(commit):
        raise ReproduceError(f"code.json names the commit {commit!r}, which is no commit id.")
    if not source:
        raise ReproduceError(
            f"The bundle builds on commit {commit[:12]}, which was on no remote.\n"
            "Name a repository that has it with --base."
        )
    try:
        run_git(
            "fetch", "-q", "--no-tags", "--no-write-fetch-head", "--depth=1", "--", os.fspath(source), commit,
            where=into, env={"GIT_ALLOW_PROTOCOL": _TRANSPORTS}, timeout=600.0,
        )  # fmt: skip
    except GitTrouble as trouble:
        raise ReproduceError(
            f"The bundle builds on commit {commit[:12]}, and {source} does not give it: {trouble}\n"
            "Name a repository that has it with --base."
        ) from trouble


def _has_extra(facts: Mapping[str, Any]) -> bool:
    return bool(facts.get("ignored_tree"))


def _restore_extra(into: Path, ref: str, room: Room) -> list[bytes]:
    """Put back what git ignored and the run imported, and keep it ignored here whatever ignored it there."""
    rows = check_tree(into, ref, room)
    index = {"GIT_INDEX_FILE": os.fspath(into / ".git" / "extra-index")}
    run_git("read-tree", ref, where=into, env=index, private=True)
    run_git("checkout-index", "-q", "-a", where=into, env=index, private=True)
    paths = [path for mode, path in rows if mode != "040000"]
    _ignore(into, paths)
    return paths


def _ignore(into: Path, paths: Iterable[bytes]) -> None:
    patterns = b"".join(b"/" + re.sub(rb"([\\*?\[ !#])", rb"\\\1", path) + b"\n" for path in paths if b"\n" not in path)
    info = into / ".git" / "info"
    if info.is_dir():
        with (info / "exclude").open("ab") as file:
            file.write(patterns)


def _restore_archive(archive: Path, room: Room) -> None:
    for name, mode, content in read_admitted(archive, room):
        target = room.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if mode == SYMLINK:
            os.symlink(os.fsdecode(content), target)
            continue
        target.write_bytes(content)
        target.chmod(0o755 if mode == EXECUTABLE else 0o644)


def _make_folders(into: Path, folders: Iterable[object]) -> None:
    """Make the folders that held nothing of what was stored, where a script may expect to write."""
    for folder in folders:
        if (place := _inside(into, folder)) is not None:
            with contextlib.suppress(OSError):
                place.mkdir(parents=True, exist_ok=True)


def _restore_inputs(archive: Path, into: Path, room: Room, pointers: set[str]) -> list[str]:
    """Put back what the run read beside its code, out of git's sight; name what cannot be.

    Of the files in `pointers` the code has git-lfs' pointer alone: the content takes its place.
    """
    keep_pointers(into, pointers)
    problems, ignored = [], []
    for name, mode, content in read_admitted(archive, room) if archive.is_file() else ():
        target = _inside(into, name)
        if target is not None and name in pointers and is_pointer(target):
            target.write_bytes(content)
            continue
        if target is None or os.path.lexists(target):
            problems.append(f"{name} was not put back: its place is taken")
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(0o755 if mode == EXECUTABLE else 0o644)
        ignored.append(os.fsencode(name))
    _ignore(into, ignored)
    return problems


def _make_repository(into: Path) -> None:
    """Put the restored files under git, so that a capture of a re-run finds this folder and none above it.

    Without git they simply stay as they are.
    """
    identity = {f"GIT_{role}_{what}": "soundrun" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    try:
        _init(into, "sha1")
        run_git("add", "-A", "-f", where=into, private=True)
        run_git("commit", "-q", "--no-verify", "-m", "Restored code of a run", where=into, env=identity, private=True)
    except (GitMissing, GitTrouble):
        return


def _links(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the submodules that had no content: path -> commit. Git leaves an empty folder for them."""
    links = facts.get("links")
    if not isinstance(links, dict):
        return {}
    return {str(path): str(oid) for path, oid in links.items() if _OBJECT_ID.match(str(oid))}


def _inside(root: Path, relative: object) -> Path | None:
    """Return the place of `relative` below `root`; None where links or dots lead elsewhere, or into a `.git`."""
    if not isinstance(relative, str) or "\0" in relative:
        return None
    path = root / relative
    try:
        real = path.resolve()
    except (OSError, RuntimeError):  # a name too long, links in a circle
        return None
    if not real.is_relative_to(root) or ".git" in (part.lower() for part in real.relative_to(root).parts):
        return None
    return path


def _listed(facts: Mapping[str, Any], key: str) -> list[Any]:
    """Return the list that is recorded under `key`, no longer than one we write ourselves."""
    found = facts.get(key)
    return found[:_MOST_LISTED] if isinstance(found, list) else []


def _problems(facts: Mapping[str, Any]) -> list[str]:
    """Name what the original had and the stored code has not."""
    problems = []
    for key, reason in (("skipped", "too large to store"), ("withheld", "it shows a secret")):
        rows = [row for row in _listed(facts, key) if isinstance(row, dict)]
        problems += [f"{row.get('path')} was left out: {reason}" for row in rows]
    problems += [f"{path} was left out: it could not be read" for path in _listed(facts, "unreadable")]
    problems += [f"{path} is in the encrypted form it has in git" for path in _listed(facts, "sealed")]
    return problems
