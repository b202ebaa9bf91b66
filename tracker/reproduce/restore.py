"""Puts the code of a run into an empty folder, from what was stored with the run alone, and proves that it is the same.

Nothing that was stored is executed here: no hook, no filter, no submodule command. Names that would reach out of the
folder are refused before anything is written.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ..capture.bundle import EXTRA_REF, SNAPSHOT_REF
from ..capture.git import RAW_ATTRIBUTES, GitMissing, GitTrouble, run_git
from ..capture.inputs import ARCHIVE
from ..capture.plainfiles import EXECUTABLE, GITLINK, REGULAR, SYMLINK, entries_of, read_archive, tree_id
from ..errors import ReproduceError

_FORMATS = ("sha1", "sha256")
_OBJECT_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
# `ext::` and the like would run a program that the stored address names.
_TRANSPORTS = "https:http:ssh:git:file"


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
    into.mkdir(parents=True, exist_ok=True)
    into = into.resolve()
    if facts["kind"] == "git":
        extra = _restore_bundle(capture_dir / "code.bundle", into, facts, algorithm, base)
    else:
        extra = []
        _restore_archive(capture_dir / "code.zip", into)
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
    _make_folders(into, [*(facts.get("folders") or []), str(facts.get("cwd") or ".")])  # git keeps no empty folder
    problems += _restore_inputs(capture_dir / ARCHIVE, into)
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
    bundle: Path, into: Path, facts: Mapping[str, Any], algorithm: str, base: str | Path | None
) -> list[bytes]:
    """Check out the bundle below `into`; return the paths that git ignored in the original."""
    if not bundle.is_file():
        raise ReproduceError(f"{bundle.name} is missing from the captured files: the code cannot be restored.")
    bundle = bundle.resolve()

    def git(*arguments: str | os.PathLike[str], env: Mapping[str, str] | None = None) -> bytes:
        return run_git(*arguments, where=into, env=env, private=True)

    try:
        _init(into, algorithm)
        if facts.get("needs"):
            _fetch_base(into, str(facts["needs"]), base or facts.get("remote"))
        git("fetch", "-q", "--no-tags", "--no-write-fetch-head", bundle, "+refs/heads/*:refs/restored/*")
        snapshot = SNAPSHOT_REF.replace("heads", "restored")
        _check_names(git("ls-tree", "-r", "-z", "-t", "--full-tree", snapshot))
        if git("rev-parse", f"{snapshot}^{{tree}}").decode().strip() != facts["tree"]:
            raise ReproduceError("code.bundle holds another tree than code.json records: one of them was exchanged.")
        git("update-ref", SNAPSHOT_REF, snapshot)
        git("symbolic-ref", "HEAD", SNAPSHOT_REF)
        git("reset", "-q", "--hard", "HEAD")
        return _restore_extra(into) if facts.get("ignored_tree") else []
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
            "Give a repository that has it: restore_code(..., base=PATH)."
        )
    try:
        run_git(
            "fetch", "-q", "--no-tags", "--no-write-fetch-head", "--depth=1", "--", os.fspath(source), commit,
            where=into, env={"GIT_ALLOW_PROTOCOL": _TRANSPORTS}, timeout=600.0,
        )  # fmt: skip
    except GitTrouble as trouble:
        raise ReproduceError(
            f"The bundle builds on commit {commit[:12]}, and {source} does not give it: {trouble}\n"
            "Give a repository that has it: restore_code(..., base=PATH)."
        ) from trouble


def _restore_extra(into: Path) -> list[bytes]:
    """Put back what git ignored and the run imported, and keep it ignored here whatever ignored it there."""
    ref = EXTRA_REF.replace("heads", "restored")
    rows = run_git("ls-tree", "-r", "-z", "-t", "--full-tree", ref, where=into, private=True)
    _check_names(rows)
    index = {"GIT_INDEX_FILE": os.fspath(into / ".git" / "extra-index")}
    run_git("read-tree", ref, where=into, env=index, private=True)
    run_git("checkout-index", "-q", "-a", where=into, env=index, private=True)
    paths = [path for mode, path in _rows(rows) if mode != "040000"]
    _ignore(into, paths)
    return paths


def _ignore(into: Path, paths: Iterable[bytes]) -> None:
    patterns = b"".join(b"/" + re.sub(rb"([\\*?\[ !#])", rb"\\\1", path) + b"\n" for path in paths if b"\n" not in path)
    info = into / ".git" / "info"
    if info.is_dir():
        with (info / "exclude").open("ab") as file:
            file.write(patterns)


def _rows(rows: bytes) -> Iterable[tuple[str, bytes]]:
    for row in filter(None, rows.split(b"\0")):
        about, path = row.split(b"\t", 1)
        yield about.split()[0].decode(), path


def _check_names(rows: bytes) -> None:
    """Refuse a tree whose names could lead out of the folder or into its `.git`; git refuses most of them as well."""
    seen: set[bytes] = set()
    links: set[bytes] = set()
    for mode, path in _rows(rows):
        if mode not in ("040000", REGULAR, "100664", EXECUTABLE, SYMLINK, GITLINK):
            raise ReproduceError(f"The stored tree has an entry of mode {mode}, which is no file: {path!r}.")
        _check_name(os.fsdecode(path))
        if path in seen:
            raise ReproduceError(f"The stored tree names {path!r} twice: it was not made by git.")
        seen.add(path)
        if mode == SYMLINK:
            links.add(path)
    for path in seen:
        if any(path[:cut] in links for cut in range(len(path)) if path[cut : cut + 1] == b"/"):
            raise ReproduceError(f"The stored tree has {path!r} below a symbolic link: it was not made by git.")


def _check_name(path: str) -> None:
    parts = path.split("/")
    # `git~1` and a name with ignorable characters are `.git` to some file systems.
    plain = [re.sub(r"[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff. ]+\Z", "", part).lower() for part in parts]
    if path.startswith("/") or any(part in ("", ".", "..") for part in parts) or "\0" in path:
        raise ReproduceError(f"The stored code names a path outside of its folder: {path!r}. Nothing was written.")
    if any(part in (".git", "git~1") for part in plain):
        raise ReproduceError(f"The stored code wants to write into a .git folder: {path!r}. Nothing was written.")


def _restore_archive(archive: Path, into: Path) -> None:
    for name, mode, content in _read_archive(archive):
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if mode == SYMLINK:
            os.symlink(os.fsdecode(content), target)
            continue
        target.write_bytes(content)
        target.chmod(0o755 if mode == EXECUTABLE else 0o644)


def _read_archive(archive: Path) -> list[tuple[str, str, bytes]]:
    """Read an archive and refuse one that would write outside of its folder."""
    try:
        files = list(read_archive(archive))
    except (OSError, zipfile.BadZipFile, EOFError) as error:
        raise ReproduceError(f"{archive.name} cannot be read: {error}. The code cannot be restored.") from error
    names = {name for name, _, _ in files}
    links = {name for name, mode, _ in files if mode == SYMLINK}
    if len(names) != len(files):
        raise ReproduceError(f"{archive.name} names a file twice: it was not written by this tool.")
    for name, mode, _ in files:
        _check_name(name)
        if mode not in (REGULAR, EXECUTABLE, SYMLINK):
            raise ReproduceError(f"{archive.name} has an entry of mode {mode}, which is no file: {name!r}.")
        if any(str(parent) in links or str(parent) in names for parent in PurePosixPath(name).parents):
            raise ReproduceError(f"{archive.name} has {name!r} below another file: it was not written by this tool.")
    return files


def _make_folders(into: Path, folders: Iterable[object]) -> None:
    """Make the folders that held nothing of what was stored, where a script may expect to write."""
    for folder in folders:
        if isinstance(folder, str) and (place := _inside(into, folder)) is not None and ".git" not in place.parts:
            with contextlib.suppress(OSError):
                place.mkdir(parents=True, exist_ok=True)


def _restore_inputs(archive: Path, into: Path) -> list[str]:
    """Put back what the run read beside its code, out of git's sight; name what cannot be."""
    if not archive.is_file():
        return []
    problems, ignored = [], []
    for name, mode, content in _read_archive(archive):
        target = _inside(into, name)
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
    links = facts.get("links") or {}
    return {str(path): str(oid) for path, oid in links.items() if _OBJECT_ID.match(str(oid))}


def _inside(root: Path, relative: object) -> Path | None:
    if not isinstance(relative, str):
        return None
    path = root / relative
    return path if path.resolve().is_relative_to(root) else None


def _problems(facts: Mapping[str, Any]) -> list[str]:
    """Name what the original had and the stored code has not."""
    problems = []
    for key, reason in (("skipped", "too large to store"), ("withheld", "it shows a secret")):
        problems += [f"{row['path']} was left out: {reason}" for row in facts.get(key) or [] if isinstance(row, dict)]
    problems += [f"{path} was left out: it could not be read" for path in facts.get("unreadable") or []]
    problems += [
        f"{row['path']} is a git-lfs pointer; 'git lfs pull' brings its content"
        for row in facts.get("lfs") or []
        if isinstance(row, dict)
    ]
    problems += [f"{path} is in the encrypted form it has in git" for path in facts.get("sealed") or []]
    return problems
