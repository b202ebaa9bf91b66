"""Which installed distribution a data file came with, and whether it is still as it was installed."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path


class Owners:
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
