"""The recorded distributions as requirements that uv can install, each exactly as it was.

What was stored may be damaged or hostile: a name, a version or an address goes into a requirements file only if it is
nothing but that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..capture.differences import is_native
from ..capture.packages import OWN

LOCAL = ("editable", "directory")
"""Origins whose code was in a folder of the machine and comes back, if at all, with the captured project."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,200}[a-z0-9])?\Z", re.IGNORECASE)
_VERSION = re.compile(
    r"(?:\d+!)?\d+(?:\.\d+)*"
    r"(?:[._-]?(?:a|b|c|rc|alpha|beta|pre|preview)[._-]?\d*)?"
    r"(?:[._-]?(?:post|rev|r)[._-]?\d*|-\d+)?"
    r"(?:[._-]?dev[._-]?\d*)?"
    r"(?:\+[a-z0-9]+(?:[._-][a-z0-9]+)*)?\Z",
    re.IGNORECASE,
)
"""Versions as PEP 440 writes them; those of Linux distributions (`1.1build1`) no index has."""
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_SPACE = re.compile(r"\s")
_COMMIT = re.compile(r"[0-9a-f]{7,64}\Z")
_ADDRESS = re.compile(r"https?://[^\s\"'\\]+\Z")
_REPOSITORY = re.compile(r"git\+(?:https?|ssh|git|file)://[^\s\"'\\]+\Z")


@dataclass(frozen=True)
class Pin:
    """One distribution of the recorded environment."""

    name: str
    version: str
    kind: str
    """`index`, `file`, `url`, `vcs`, `editable` or `directory`: where it had been installed from."""
    source: str
    """What follows the kind in the recorded origin: an address, a path, a file's name with its sha256."""
    is_needed: bool
    """Whether the run had imported it, or loads it without an import; True where that is not known."""
    problem: str = ""
    """Why it cannot be installed; empty if it can."""

    @property
    def text(self) -> str:
        """`name==version`, as people read it."""
        return f"{self.name}=={self.version}"

    @property
    def is_local(self) -> bool:
        """Whether its code was in a folder instead of a distribution file."""
        return self.kind in LOCAL

    def requirement(self, hashes: Sequence[str] = ()) -> str:
        """The line of a requirements file; `hashes` are sha256 digests of which the wheel must have one.

        Raises ValueError for a pin with a problem, and for one whose code was in a folder.
        """
        if self.problem or self.is_local:
            raise ValueError(f"{self.text} is nothing to install: {self.problem or self.kind}.")
        if self.kind == "vcs":
            return f"{self.name} @ {self.source}"
        if self.kind == "url":
            address, _, digest = self.source.partition(" ")
            joined = "&" if "#" in address else "#"
            return f"{self.name} @ {address}" + (f"{joined}sha256={digest}" if digest else "")
        if self.kind == "file":
            digest = self.source.rpartition(" ")[2]
            hashes = [digest] if _SHA256.match(digest) else hashes
        kept = [digest for digest in hashes if _SHA256.match(digest)]
        return " ".join([self.text, *(f"--hash=sha256:{digest}" for digest in kept)])


def is_version(text: str) -> bool:
    """Whether `text` is a version that an index can have."""
    return _VERSION.match(text) is not None


def pins_of(environment: Mapping[str, Any]) -> list[Pin]:
    """The distributions on record, but for our own: an observed training has the same bits as an unobserved one."""
    rows = environment.get("packages")
    found = [_pin(row) for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
    return [pin for pin in found if pin.name != OWN]


def _pin(row: Mapping[str, Any]) -> Pin:
    name, version = str(row.get("name") or ""), str(row.get("version") or "")
    kind, _, source = str(row.get("origin") or "index").partition(" ")
    is_needed = row.get("imported") is not False or is_native(name)
    return Pin(name, version, kind, source, is_needed, _problem(name, version, kind, source))


def _problem(name: str, version: str, kind: str, source: str) -> str:
    if not _NAME.match(name):
        return f"{name[:60]!r} is no name of a distribution"
    if kind in LOCAL:
        return "" if Path(source).is_absolute() and "\0" not in source else f"{name}: its folder is not on record"
    if kind in ("index", "file"):
        return "" if is_version(version) else f"{name}: no index knows a version {version[:60]!r}"
    address, _, digest = source.partition(" ")
    if "[redacted" in address:
        return f"{name}: the address it was installed from held a secret and was not stored"
    if kind == "url":
        is_address = _ADDRESS.match(address) and (not digest or _SHA256.match(digest))
        return "" if is_address else f"{name}: {source[:100]!r} is no web address with a sha256"
    if kind == "vcs":
        repository, _, commit = source.partition("#")[0].rpartition("@")
        is_commit = _REPOSITORY.match(repository) and _COMMIT.match(commit) and not _SPACE.search(source)
        return "" if is_commit else f"{name}: {source[:100]!r} is no git repository with a commit"
    return f"{name}: it was installed from {kind[:40]!r}, which is not known here"
