"""The identity of the data: a digest of every file the training read. Runs in the sidecar process."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .captured import Captured, Gap

if TYPE_CHECKING:
    from ..rules.engine.records import Json

PART = "data"
_CHUNK = 1 << 20


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
) -> Captured:
    """Digest every file, write `data.json` into `into`, and return the facts with one gap for each doubt.

    `sys_path` finds the distribution a file belongs to, `root` makes paths relative as well, `unseen_readers` are
    loaded libraries that may have read files unseen, `overflowed` counts openings that were not recorded. The fact
    `identity` is "complete", "partial" (sampled, missing or unrecorded files), "none" (no file was read) or "unknown"
    (no file was seen, but a library that reads unseen is loaded). Raises OSError when `into` cannot be written.
    """
    reader = _Reader(limits or DataLimits())
    owners = _Owners(sys_path)
    rows: list[dict[str, Json]] = [_row(Path(path), reader, owners, root) for path in dict.fromkeys(map(str, paths))]
    rows = [row for row in rows if row["kind"] != "directory"]
    missing = [row for row in rows if row["kind"] == "missing"]
    sampled = [row for row in rows if row["kind"] == "sampled"]
    gaps = list(_gaps(missing, sampled, unseen_readers, overflowed))
    identity = "complete"
    if not rows:
        identity = "unknown" if unseen_readers else "none"
    elif missing or sampled or overflowed or unseen_readers:
        identity = "partial"
    lines = sorted(f"{row.get('sha256') or row['kind']} {row.get('distribution') or ''}" for row in rows)
    facts: dict[str, Json] = {
        "identity": identity,
        "files": len(rows),
        "bytes": sum(int(str(row.get("size") or 0)) for row in rows),
        "digest": hashlib.sha256("\n".join(lines).encode()).hexdigest() if rows else None,
        "unseen_readers": list(unseen_readers),
    }
    into.mkdir(parents=True, exist_ok=True)
    file = into / "data.json"
    whole = {"schema": 1, **facts, "overflowed": overflowed, "items": rows}
    file.write_text(json.dumps(whole, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return Captured(facts=facts, gaps=gaps, files=[file])


def _gaps(
    missing: Sequence[dict[str, Json]], sampled: Sequence[dict[str, Json]], unseen: Sequence[str], overflowed: int
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
            blocking=True,
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
    """Paths (relative where known) whose digest in `current` is not the recorded one, missing ones included.

    Both are the `items` of a data.json. A sampled digest is compared with a sampled one only.
    """

    def key(row: dict[str, Json]) -> str:
        return str(row.get("relative") or row["path"])

    now = {key(row): row for row in current}
    changed = []
    for row in recorded:
        other = now.get(key(row), {})
        if (row.get("sha256"), row["kind"]) != (other.get("sha256"), other.get("kind")):
            changed.append(key(row))
    return changed


def _row(path: Path, reader: _Reader, owners: _Owners, root: Path | None) -> dict[str, Json]:
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
    owner = owners.owner(path)
    if owner is not None:
        name, version, recorded = owner
        row.update(distribution=f"{name}=={version}", as_installed=recorded == digest if whole and recorded else None)
    return row


@dataclass
class _Reader:
    """Digests within the limits; `spent` counts bytes, `started` the clock."""

    limits: DataLimits
    spent: int = 0
    started: float = field(default_factory=time.monotonic)

    def digest(self, path: Path, size: int) -> tuple[str, bool]:
        """The sha256 in hex and whether it covers the whole file. A sampled one covers size and blocks, not the time:
        a copy of the file must have the same."""
        whole = (
            size <= self.limits.full_mb * 1e6
            and self.spent + size <= self.limits.total_mb * 1e6
            and time.monotonic() - self.started <= self.limits.seconds
        )
        digest = hashlib.sha256()
        with path.open("rb", buffering=0) as file:
            if whole:
                while block := file.read(_CHUNK):
                    digest.update(block)
                    self.spent += len(block)
            else:
                digest.update(f"sampled {size}".encode())
                last = max(size - 65536, 0)
                for number in range(self.limits.blocks):
                    file.seek(last * number // max(self.limits.blocks - 1, 1))
                    block = file.read(65536)
                    digest.update(block)
                    self.spent += len(block)
        return digest.hexdigest(), whole


class _Owners:
    """Which installed distribution a file came with, by the RECORD of every distribution on the path, read once."""

    def __init__(self, sys_path: Sequence[str]) -> None:
        self._sys_path = [entry for entry in sys_path if "site-packages" in entry or "dist-packages" in entry]
        self._files: dict[str, tuple[str, str, str | None]] | None = None

    def owner(self, path: Path) -> tuple[str, str, str | None] | None:
        """Name, version and the recorded sha256 in hex, or None for a file that no distribution brought."""
        real = os.path.realpath(path)
        if not any(real.startswith(os.path.realpath(entry) + os.sep) for entry in self._sys_path):
            return None
        if self._files is None:
            self._files = self._read()
        return self._files.get(real)

    def _read(self) -> dict[str, tuple[str, str, str | None]]:
        from importlib import metadata

        files: dict[str, tuple[str, str, str | None]] = {}
        for distribution in metadata.distributions(path=self._sys_path):
            place = os.path.realpath(str(distribution.locate_file("")))
            fields = distribution.metadata  # parsed anew at every access
            if fields is None or not fields["Name"]:
                continue
            name_of, version = str(fields["Name"]), str(fields["Version"])
            for line in (distribution.read_text("RECORD") or "").splitlines():
                rest, _, _ = line.rpartition(",")
                name, _, recorded = rest.rpartition(",")
                if not name.endswith((".py", ".pyc", ".so", ".h")):
                    found = (name_of, version, _hex(recorded))
                    files.setdefault(os.path.normpath(os.path.join(place, name.strip('"'))), found)
        return files


def _hex(recorded: str) -> str | None:
    """The sha256 of a RECORD line (urlsafe base64 without padding) in hex."""
    kind, _, value = recorded.partition("=")
    if kind != "sha256":
        return None
    return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).hex()
