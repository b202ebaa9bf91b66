"""The Python interpreters of this machine, and the one that is nearest to a recorded one."""

from __future__ import annotations

import functools
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ReproduceError
from .installer import run_uv

_SECONDS = 30.0
_ASK = "import platform, sys; print(platform.python_implementation(), platform.python_version()); print(sys.version)"


@dataclass(frozen=True)
class Interpreter:
    """A Python that environments can be made of."""

    path: str
    implementation: str
    version: str
    build: str
    """`sys.version`: with compiler and date, which tell two builds of one version apart."""


def nearest(implementation: str, version: str, build: str = "") -> Interpreter | None:
    """The interpreter of this machine that is most like the recorded one; None without one of its minor version.

    The same patch level comes first, and among those the same build; else the nearest patch level.
    """
    wanted = _numbers(version)
    if wanted is None:
        return None
    found: dict[str, Interpreter] = {}
    for path in _places(wanted[:2]):
        one = _ask(path)
        if one is None or one.implementation != implementation or (_numbers(one.version) or ())[:2] != wanted[:2]:
            continue
        if (one.version, one.build) == (version, build):
            return one  # the very one: the others need not be looked for, which takes seconds
        found.setdefault(os.path.realpath(one.path), one)

    def distance(one: Interpreter) -> tuple[bool, int, bool]:
        patch = (_numbers(one.version) or (0, 0, 0))[2]
        return one.version != version, abs(patch - wanted[2]), one.build != build

    return min(found.values(), key=distance, default=None)


def _numbers(version: str) -> tuple[int, int, int] | None:
    parts = version.split(".")
    digits = ["".join(char for char in part if char.isdigit()) for part in parts[:3]]
    if len(parts) < 2 or not all(digits):
        return None
    numbers = [int(part) for part in digits] + [0]
    return numbers[0], numbers[1], numbers[2]


def _places(minor: tuple[int, int]) -> Iterator[str]:
    """Paths of interpreters that may be of the minor version: our own, pyenv's, and those that uv finds."""
    name = f"{minor[0]}.{minor[1]}"
    if platform.python_version().startswith(f"{name}."):
        yield str(getattr(sys, "_base_executable", None) or sys.executable)
    root = Path(os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"))
    yield from sorted(str(path) for path in root.glob(f"versions/{name}.*/bin/python3"))
    yield from (path for version, path in _known_to_uv() if version.startswith(f"{name}."))


@functools.cache
def _known_to_uv() -> tuple[tuple[str, str], ...]:
    """Version and path of the interpreters that uv finds on this machine; it looks for seconds."""
    command = ["python", "list", "--only-installed", "--output-format", "json", "--offline"]
    try:
        with tempfile.TemporaryDirectory(prefix="soundrun-uv-") as folder:
            answer = run_uv(command, Path(folder), _SECONDS)
        # uv warns of what it cannot start: only the line with the list counts.
        rows: list[Any] = next((json.loads(line) for line in answer.text.splitlines() if line.startswith("[{")), [])
    except (ReproduceError, OSError, ValueError):
        return ()
    return tuple((str(row.get("version", "")), str(row.get("path"))) for row in rows if isinstance(row, dict))


@functools.cache
def _ask(path: str) -> Interpreter | None:
    try:
        done = subprocess.run([path, "-I", "-c", _ASK], capture_output=True, timeout=_SECONDS, stdin=subprocess.DEVNULL)
        first, _, build = done.stdout.decode("utf-8", "replace").strip().partition("\n")
        implementation, _, version = first.partition(" ")
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Interpreter(path, implementation, version, build) if done.returncode == 0 and version else None
