"""Files of the project that a run read, or imported late, and that its stored code does not hold: kept with the run.

A configuration that git ignores, a small data set below the project, a module imported in the middle of the training:
without them a restored project cannot run once the original has moved. Runs in the sidecar, when the run has ended.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .captured import Captured, Gap
from .plainfiles import LISTING, blob_id, file_mode, is_installed, read_listing, write_archive
from .withheld import new_secrets

ARCHIVE = "inputs.zip"
_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class InputLimits:
    """How much of what git ignores is stored: it was not meant to be published, and large data has a digest."""

    max_file_mb: float = 10.0
    """A file above this size is identified by its digest, and expected where it is."""
    max_total_mb: float = 25.0
    """Sum of all files."""


def keep_inputs(
    into: Path,
    root: Path | None,
    *,
    loaded_files: Iterable[Path] = (),
    rewritten: Collection[str] = (),
    climbing: Collection[str] = (),
    limits: InputLimits | None = None,
    skip: Callable[[Path], bool] = lambda path: False,
) -> Captured:
    """Store what the data of a run, below `root`, has beyond its code as `inputs.zip`, and say so in `data.json`.

    Reads `data.json` and the listing of the code in `into`. `loaded_files` are the imported modules as known at the
    end, `rewritten` the inputs that the run wrote over, `climbing` those that it named with `..`. Rows of `data.json`
    get `in_code` where the stored code has the file, `lfs` where it has but a pointer of git-lfs to it, `stored` where
    the archive has it, `from_root` where the project reaches out of itself by a relative path. Raises `OSError` where
    `into` cannot be written.
    """
    data = json.loads((into / "data.json").read_text(encoding="utf-8"))
    if root is None:
        return Captured()
    code = read_listing(into / LISTING)
    facts = _code_facts(into)
    known = {str(row["path"]) if isinstance(row, dict) else row for row in facts.get("outside") or ()}
    pointers = {row.get("path") for row in facts.get("lfs") or () if isinstance(row, dict)}
    late = {name for name in facts.get("late") or () if isinstance(name, str)}
    keeper = _Keeper(root, limits or InputLimits())
    for row in data["items"]:
        stored_as = keeper.real_name(row["path"])  # a folder of the project may be reached through a link in it
        if stored_as in pointers and row["path"] not in rewritten and row["kind"] != "missing":
            row["lfs"] = True
            row["stored"] = keeper.take(stored_as, keeper.kept_by_lfs)
        elif stored_as in late and row["path"] in rewritten:
            row["rewritten"] = True
            keeper.lost.append(stored_as)
        elif stored_as in code and stored_as not in pointers:
            row["in_code"] = True
            keeper.compare(stored_as, code[stored_as][1], row["path"] in rewritten)
        elif row["path"] in rewritten:
            row["rewritten"] = True
            keeper.lost.append(str(row.get("relative") or row["path"]))
        elif "relative" in row and "distribution" not in row and row["kind"] != "missing":
            row["stored"] = keeper.take(row["relative"])
        if "relative" not in row and row["path"] in climbing and "distribution" not in row:
            row["from_root"] = os.path.relpath(row["path"], root)
            keeper.climbing.append(row["from_root"])
    for file in loaded_files:
        if os.path.realpath(file) not in known:
            keeper.take_module(file, code, skip)
    if keeper.entries:
        write_archive(into / ARCHIVE, root, sorted(keeper.entries.items()))
    data["stored"] = sorted(path.decode("utf-8", "surrogateescape") for path in keeper.entries)
    (into / "data.json").write_text(json.dumps(data, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return Captured(gaps=keeper.gaps(), files=[into / ARCHIVE] if keeper.entries else [])


def _code_facts(into: Path) -> dict[str, Any]:
    try:
        facts = json.loads((into / "code.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


class _Keeper:
    def __init__(self, root: Path, limits: InputLimits) -> None:
        self.root = root
        self.limits = limits
        self.left = limits.max_total_mb * _MEGABYTE
        self.entries: dict[bytes, str] = {}
        self.lost: list[str] = []
        self.changed: list[str] = []
        self.secret: list[str] = []
        self.large: list[str] = []
        self.kept_by_lfs: list[str] = []
        self.modules: list[str] = []
        self.climbing: list[str] = []

    def real_name(self, path: str) -> str:
        """The name below the project of what `path` leads to; empty where that is elsewhere."""
        real, top = os.path.realpath(path), os.path.realpath(self.root)
        return os.path.relpath(real, top) if real.startswith(top + os.sep) else ""

    def compare(self, relative: str, oid: str, is_rewritten: bool) -> None:
        """Notice an input of the code that somebody else changed while the run went on."""
        path = self.root / relative
        if is_rewritten or not path.is_file():
            return
        algorithm = "sha256" if len(oid) == 64 else "sha1"
        if blob_id(path.read_bytes(), algorithm) != oid:
            self.changed.append(relative)

    def take(self, relative: str, too_large: list[str] | None = None) -> bool:
        """Store one file if it is small and shows no secret; say whether it is stored. Large ones are noted."""
        path = self.root / relative
        mode = file_mode(path)
        try:
            size = path.stat().st_size
            if not path.resolve().is_relative_to(self.root.resolve()) or not relative.isprintable():
                return False  # below a link that leads out of the project: data from elsewhere
            if mode is None or size > min(self.left, self.limits.max_file_mb * _MEGABYTE):
                (self.large if too_large is None else too_large).append(relative)
                return False
            if path.is_symlink():
                mode = "100644"  # its content is what was read; the link's target is stored, or not, by itself
            if new_secrets(path.read_bytes()):
                self.secret.append(relative)
                return False
        except OSError:
            return False
        self.left -= size
        self.entries[relative.encode("utf-8", "surrogateescape")] = mode
        return True

    def take_module(self, file: Path, code: Collection[str], skip: Callable[[Path], bool]) -> None:
        """Store a module of the project that came too late for the code, or name one that lies elsewhere."""
        real = file.resolve()
        if file.suffix == ".pyc" or not real.is_file() or is_installed(real) or skip(real):
            return
        if not real.is_relative_to(self.root.resolve()):
            self.modules.append(str(file))
            return
        relative = real.relative_to(self.root.resolve()).as_posix()
        if relative not in code and relative.encode("utf-8", "surrogateescape") not in self.entries:
            self.take(relative)

    def gaps(self) -> list[Gap]:
        """What stays in doubt."""
        found = []
        if self.lost:
            found.append(
                Gap(
                    "data",
                    f"{_some(self.lost)} was read and then written over by the run: what was read is not known",
                    "Write to another name than the one that is read, or keep the file out of .gitignore while small.",
                )
            )
        if self.changed:
            found.append(
                Gap(
                    "data",
                    f"{_some(self.changed)} changed while the run went on; a restore brings its state of the beginning",
                    "Leave the files of a run alone until it has ended.",
                    blocking=False,
                )
            )
        if self.secret:
            found.append(
                Gap(
                    "data",
                    f"secret in {_some(self.secret)}, which the run read: the file was not stored",
                    "Put the file into the restored project by hand; 'tracker reproduce' finds it where it was.",
                    blocking=False,
                )
            )
        if self.modules:
            found.append(
                Gap(
                    "code",
                    f"{len(self.modules)} imported file(s) lie outside of the project, the first is {self.modules[0]}",
                    "Move them into the project, or install them as a package.",
                )
            )
        if self.climbing:
            found.append(
                Gap(
                    "data",
                    f"{_some(self.climbing)} was read by a path that leads out of the project",
                    "Restore beside the original ('tracker reproduce --into'), or name the data by an absolute path.",
                    blocking=False,
                )
            )
        if self.large:
            found.append(
                Gap(
                    "data",
                    f"{_some(self.large)} is ignored by git and too large to store: its digest is known",
                    "Keep the file: a re-run takes it from where it was.",
                    blocking=False,
                )
            )
        if self.kept_by_lfs:
            found.append(
                Gap(
                    "data",
                    f"{_some(self.kept_by_lfs)} is kept by git-lfs and too large to store: its digest is known",
                    "Keep the file, or push it to the lfs store: a re-run takes it from where it was.",
                    blocking=False,
                )
            )
        return found


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
