"""The code of a run: everything needed to put the same files in an empty folder again.

Runs beside the training, in a process of its own. With a repository, its whole state is taken, committed or not;
without one, the source files below the script's folder and whatever the run imported. The user's files are only read.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .captured import Captured, Gap, describe
from .git import GitMissing, GitTrouble, Repository, read_repository
from .plainfiles import is_installed

if TYPE_CHECKING:
    from ..rules.engine.records import Json

_SIDE_FILES = ("-journal", "-wal", "-shm")  # what SQLite lays beside a database
_OWN_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class CodeLimits:
    """How much code is stored with a run at most, and how long git may take."""

    max_file_mb: float = 10.0
    """An uncommitted file above this size is named, not stored."""
    max_total_mb: float = 100.0
    """Uncommitted content above this total is named, not stored; a larger tree is stored as what its remote lacks."""
    max_files: int = 20_000
    """Uncommitted files beyond this number are named, not stored."""
    timeout_s: float = 60.0
    """Seconds for each git command."""


@dataclass(frozen=True)
class Place:
    """Where the run stands: what the caller of `capture_code` knows."""

    start: Path
    cwd: Path
    script: Path | None
    loaded: tuple[Path, ...]
    """Files of imported modules, without those of installed packages and our own."""
    skip: Callable[[Path], bool]
    """Whether a path is no code of the user's: a store, the folder of a run."""
    began: float | None = None
    """When the process of the run began, in seconds since 1970: what was made since is its own."""

    def relative(self, path: Path | None, root: Path) -> str | None:
        """Return `path` as it reads from `root`, None where it is not below it."""
        if path is None:
            return None
        for form in (path, path.resolve()):
            if form.is_relative_to(root):
                return form.relative_to(root).as_posix()
        return None


def capture_code(
    start: Path,
    into: Path,
    limits: CodeLimits | None = None,
    *,
    script: Path | None = None,
    loaded_files: Sequence[Path] = (),
    exclude: Sequence[Path] = (),
    cwd: Path | None = None,
    began: float | None = None,
) -> Captured:
    """Store the code that `start` belongs to below `into`; return facts, gaps and the files written.

    `start` is the folder of the script or the working directory. `loaded_files` are the files of imported modules:
    those that git ignores are stored too. `exclude` names what is not code: stores, folders of runs. `cwd` is where the
    run was started, `start` if not given. `began` is when its process began, in seconds since 1970: new files and
    folders that were made since, and that it did not import, are its results and no code. The last file written is
    `code.json`, the facts. Raises `OSError` if `into` cannot be written; whatever cannot be captured is a gap.
    """
    since = time.perf_counter()
    limits = limits or CodeLimits()
    into.mkdir(parents=True, exist_ok=True)
    cwd = Path(os.path.abspath(cwd or start))
    start = Path(os.path.abspath(start))
    if is_installed(start) and not is_installed(cwd):
        start = cwd  # a console script of an installed package: the project is where it was started
    script = Path(os.path.abspath(cwd / script)) if script is not None else None
    place = Place(start, cwd, script, _project_files(script, loaded_files), _skipper([*exclude, into]), began)
    captured = _capture(place, into, limits)
    captured.facts["seconds"] = round(time.perf_counter() - since, 4)
    _write_facts(into / "code.json", captured)
    return captured


def _capture(place: Place, into: Path, limits: CodeLimits) -> Captured:
    from .gitcode import capture_repository
    from .plaincode import capture_plain

    gap: Gap | None = None
    try:
        repo: Repository | None = read_repository(place.start, limits.timeout_s)
        if repo is not None:
            return capture_repository(repo, place, into, limits)
    except GitMissing as missing:
        gap = Gap(
            "code",
            f"git is not installed ({missing}): commit and ignore rules are unknown",
            "Install git; the source files themselves were stored.",
            blocking=_has_repository(place.start),
        )
    except (GitTrouble, OSError, ValueError) as trouble:
        gap = Gap("code", f"the git repository could not be read: {describe(trouble)}", _advice(str(trouble)))
    captured = capture_plain(place, into, limits)
    if gap is not None:
        captured.gaps.append(gap)
    return captured


def _advice(trouble: str) -> str:
    if "dubious ownership" in trouble:
        return "The folder belongs to another user. If you trust it: git config --global --add safe.directory FOLDER"
    if "did not complete in" in trouble:
        return "Ignore large folders (.gitignore), so that git is done within its time limit."
    return "Repair the repository ('git fsck' names the damage); the source files themselves were stored."


def _has_repository(start: Path) -> bool:
    return any(os.path.lexists(folder / ".git") for folder in (start, *start.parents))


def _project_files(script: Path | None, loaded: Sequence[Path]) -> tuple[Path, ...]:
    """Return the script and the imported files that belong to no installed package and not to the tracker."""
    files: dict[Path, None] = {}
    for path in (*([script] if script else []), *loaded):
        real = Path(os.path.realpath(path))
        if path.suffix == ".pyc" or is_installed(real) or not real.is_file():
            continue
        if real.is_relative_to(_OWN_PACKAGE) and path != script:
            continue
        files[real] = None
    return tuple(files)


def _skipper(excluded: Sequence[Path]) -> Callable[[Path], bool]:
    exact: set[str] = set()
    for path in excluded:
        absolute = os.path.abspath(path)
        for form in {absolute, os.path.join(os.path.realpath(os.path.dirname(absolute)), os.path.basename(absolute))}:
            exact |= {form, *(form + ending for ending in _SIDE_FILES)}
    below = tuple(form + os.sep for form in exact)

    def skip(path: Path) -> bool:
        name = os.fspath(path)
        return name in exact or name.startswith(below)

    return skip


def _write_facts(target: Path, captured: Captured) -> None:
    content: dict[str, Json] = {**captured.facts, "gaps": [gap.as_json() for gap in captured.gaps]}
    unfinished = target.with_suffix(".json.part")
    unfinished.write_text(json.dumps(content, indent=1), encoding="ascii")
    os.replace(unfinished, target)  # whoever waits for this file finds it whole
    captured.files.append(target)
