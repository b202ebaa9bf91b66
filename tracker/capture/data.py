"""The identity of the data: a digest of every file the training read. Runs in the sidecar process."""

from __future__ import annotations

import contextlib
import hashlib
import json
import stat
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .captured import Captured, Gap
from .declared import declared_gaps, expand
from .hub import hub_name, hub_of
from .outputs import output_rows
from .owners import Owners

if TYPE_CHECKING:
    from ..rules.engine.records import Json

PART = "data"
_CHUNK = 1 << 20
_SAMPLE = 65536
LISTED = "listed"
"""The kind of a file whose name the run saw in its folder, and whose content it did not read."""


@dataclass(frozen=True)
class DataLimits:
    """How much is read for the digests; what lies beyond is sampled, and labelled so."""

    full_mb: float = 64.0
    """Files up to this size are read whole."""

    total_mb: float = 4096.0
    """Sum of all reading."""

    seconds: float = 60.0
    """Time after which further files are sampled."""

    blocks: int = 16
    """Blocks of 64 KiB that are read of a sampled file, spread evenly, first and last included."""


def digest_files(
    paths: Iterable[str | Path],
    into: Path,
    limits: DataLimits | None = None,
    *,
    sys_path: Sequence[str] = (),
    root: Path | None = None,
    unseen_readers: Sequence[str] = (),
    overflowed: int = 0,
    declared: object = None,
    outputs: Iterable[Mapping[str, object]] = (),
    cwd: Path | None = None,
    listed: Iterable[Path] = (),
) -> Captured:
    """Digest every file, write `data.json` into `into`, and return the facts with one gap for each doubt.

    `sys_path` finds the distribution a file belongs to, `root` makes paths relative as well, `unseen_readers` are
    loaded libraries that may have read files unseen, `overflowed` counts openings that were not recorded. `declared`
    is what the user named (name -> absolute paths): files of it stand for all that was read unseen. `outputs` are the
    files that were written (see `output_rows`), `cwd` where the run was started, `listed` files of which it saw the
    name alone: they are entered without a digest. The fact `identity` is "complete",
    "partial" (sampled, missing or unrecorded files), "none" (no file was read) or "unknown" (no file was seen, but a
    library that reads unseen is loaded). Raises OSError when `into` cannot be written.
    """
    reader = _Reader(limits or DataLimits())
    owners = Owners(sys_path)
    named = expand(declared)
    names = {path: one.name for one in named for path in one.files}
    every = dict.fromkeys([*map(str, paths), *names])
    rows: list[dict[str, Json]] = [_row(Path(path), reader, owners, root) for path in every]
    rows = [row for row in rows if row["kind"] != "directory"]
    for row in rows:
        if str(row["path"]) in names:
            row["declared"] = names[str(row["path"])]
    rows += [_listed_row(path, root) for path in listed if str(path) not in every]
    missing = [row for row in rows if row["kind"] == "missing"]
    sampled = [row for row in rows if row["kind"] == "sampled"]
    unseen = () if names else unseen_readers
    unclear = [one for one in named if one.is_address or one.is_capped or not one.files]
    gaps = [*_gaps(missing, sampled, unseen, overflowed, bool(names)), *declared_gaps(named)]
    identity = "complete"
    if not rows:
        identity = "unknown" if unseen or unclear else "none"
    elif missing or sampled or overflowed or unseen or unclear:
        identity = "partial"
    lines = sorted(f"{row.get('sha256') or row['kind']} {row.get('distribution') or ''}" for row in rows)
    facts: dict[str, Json] = {
        "identity": identity,
        "files": sum(row["kind"] != LISTED for row in rows),
        "bytes": sum(int(str(row.get("size") or 0)) for row in rows if row["kind"] != LISTED),
        "digest": hashlib.sha256("\n".join(lines).encode()).hexdigest() if rows else None,
        "unseen_readers": list(unseen_readers),
    }
    into.mkdir(parents=True, exist_ok=True)
    file = into / "data.json"
    whole = {
        "schema": 1,
        **facts,
        "overflowed": overflowed,
        "declared": [one.as_json({str(row["path"]): row for row in rows}) for one in named],
        "outputs": output_rows(outputs, root, cwd),
        "items": rows,
    }
    file.write_text(json.dumps(whole, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return Captured(facts=facts, gaps=gaps, files=[file])


def _gaps(
    missing: Sequence[dict[str, Json]],
    sampled: Sequence[dict[str, Json]],
    unseen: Sequence[str],
    overflowed: int,
    is_declared: bool,
) -> Iterable[Gap]:
    if missing:
        yield Gap(
            PART,
            f"{len(missing)} data file(s) were read and are gone or unreadable now: {_some(missing)}",
            "keep the files until the run has ended",
            blocking=True,
        )
    if sampled:
        yield Gap(
            PART,
            f"{len(sampled)} large data file(s) have a sampled digest only: {_some(sampled)}",
            "raise the size limit of the data capture for a full digest",
            blocking=False,
        )
    if overflowed:
        yield Gap(
            PART,
            f"{overflowed} opening(s) of further data files were not recorded",
            "declare the data set, or pack it into fewer files",
            blocking=not is_declared,
        )
    if unseen:
        yield Gap(
            PART,
            f"files read by {', '.join(unseen)} cannot be seen, so the list of data files may be incomplete",
            "declare the data files of the run",
            blocking=False,
        )


def _some(rows: Sequence[dict[str, Json]], shown: int = 3) -> str:
    names = [str(row["path"]) for row in rows[:shown]]
    return ", ".join(names) + (f" and {len(rows) - shown} more" if len(rows) > shown else "")


def changed_files(recorded: Iterable[dict[str, Json]], current: Iterable[dict[str, Json]]) -> list[str]:
    """Names of the files whose digest in `current` is not the recorded one, missing ones included.

    Both are the `items` of a data.json. A file is found again by its relative path, that of a hub's cache by its
    repository, any other by where it is. Where only one side was sampled, or read, and the sizes are equal, nothing is
    known.
    """
    now = {name_of(row): row for row in current}
    changed = []
    for row in recorded:
        name = name_of(row)
        other = now.get(name, {})
        kinds = {row.get("kind"), other.get("kind")}
        if len(kinds) == 2 and kinds <= {"full", "sampled", LISTED}:
            is_other = row.get("size") != other.get("size")
        else:
            is_other = (row.get("sha256"), row.get("kind")) != (other.get("sha256"), other.get("kind"))
        if is_other:
            then, here = _revision(row), _revision(other)
            changed.append(name if then == here or None in (then, here) else f"{name} ({then} then, {here} now)")
    return changed


def name_of(row: Mapping[str, Json]) -> str:
    """By what a file is found again in another run: relative path, hub repository, or path."""
    return str(row.get("relative") or hub_name(row.get("hub")) or row.get("path"))


def weaker_files(*recorded: Iterable[Mapping[str, Json]]) -> list[str]:
    """Names of the files in the `items` of data.json files whose digest covers samples of their content only."""
    found = (name_of(row) for rows in recorded for row in rows if row.get("kind") == "sampled")
    return list(dict.fromkeys(found))


def _revision(row: Mapping[str, Json]) -> str | None:
    hub = row.get("hub")
    return str(hub.get("revision"))[:12] if isinstance(hub, dict) else None


def _row(path: Path, reader: _Reader, owners: Owners, root: Path | None) -> dict[str, Json]:
    row: dict[str, Json] = {"path": str(path)}
    if root is not None and path.is_relative_to(root):
        row["relative"] = path.relative_to(root).as_posix()
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return {**row, "kind": "directory"}
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for its writer
            return {**row, "kind": "missing", "reason": "not a regular file"}
        row.update(size=status.st_size, mtime_ns=status.st_mtime_ns)
        digest, whole = reader.digest(path, status.st_size)
    except OSError as error:
        return {**row, "kind": "missing", "reason": type(error).__name__}
    row.update(kind="full" if whole else "sampled", sha256=digest)
    hub = hub_of(path, digest if whole else None)
    if hub is not None:
        row["hub"] = hub
    owner = owners.owner(path)
    if owner is not None:
        name, version, recorded = owner
        row.update(distribution=f"{name}=={version}", as_installed=recorded == digest if whole and recorded else None)
    return row


def _listed_row(path: Path, root: Path | None) -> dict[str, Json]:
    row: dict[str, Json] = {"path": str(path), "kind": LISTED}
    if root is not None and path.is_relative_to(root):
        row["relative"] = path.relative_to(root).as_posix()
    with contextlib.suppress(OSError):
        row["size"] = path.stat().st_size
    return row


@dataclass
class _Reader:
    """Digests within the limits; `spent` counts bytes, `started` the clock."""

    limits: DataLimits
    spent: int = 0
    started: float = field(default_factory=time.monotonic)

    def digest(self, path: Path, size: int) -> tuple[str, bool]:
        """The sha256 in hex and whether it covers the whole file."""
        whole = (
            size <= self.limits.full_mb * 1e6
            and self.spent + size <= self.limits.total_mb * 1e6
            and time.monotonic() - self.started <= self.limits.seconds
        )
        if whole:
            self.spent += size
            return digest_whole(path), True
        self.spent += self.limits.blocks * _SAMPLE
        return digest_sampled(path, size, self.limits.blocks), False


def digest_whole(path: Path) -> str:
    """The sha256 of a file in hex. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()


def digest_sampled(path: Path, size: int, blocks: int = DataLimits.blocks) -> str:
    """The sha256 in hex of the size in bytes and of `blocks` blocks of 64 KiB, spread evenly. Raises OSError.

    It does not cover the time: a copy of the file must have the same.
    """
    digest = hashlib.sha256(f"sampled {size}".encode())
    last = max(size - _SAMPLE, 0)
    with path.open("rb", buffering=0) as file:
        for number in range(blocks):
            file.seek(last * number // max(blocks - 1, 1))
            digest.update(file.read(_SAMPLE))
    return digest.hexdigest()


def digest_again(path: Path, kind: object) -> dict[str, Json]:
    """The row of a file with the kind of digest it was recorded with; `kind` "missing" where it cannot be read."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for its writer
            return {"path": str(path), "kind": "missing"}
        row: dict[str, Json] = {"path": str(path), "size": status.st_size, "mtime_ns": status.st_mtime_ns}
        if kind == "sampled":
            return {**row, "kind": "sampled", "sha256": digest_sampled(path, status.st_size)}
        return {**row, "kind": "full", "sha256": digest_whole(path)}
    except OSError:
        return {"path": str(path), "kind": "missing"}
