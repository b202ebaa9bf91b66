"""What is to be drilled: a script, or a module as `python -m` finds it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import ConfigError
from .scratch import Scratch


@dataclass(frozen=True)
class Target:
    """A file of Python, and how it is started."""

    file: Path
    module: str = ""
    """Its name, where it is started as a module."""

    @property
    def name(self) -> str:
        """Short, for a run."""
        return self.module or self.file.stem

    def command(self, scratch: Scratch, arguments: Sequence[str]) -> list[str]:
        """Starts it in a copy of its folder."""
        words = ("-m", self.module) if self.module else (str(scratch.moved(self.file)),)
        return [sys.executable, *words, *arguments]


def script_target(script: Path) -> Target:
    """A script; raises `ConfigError` where there is none."""
    if not script.is_file():
        raise ConfigError(f"tracker preflight {script}: there is no such file. Expected a Python script.")
    return Target(script.absolute())


def module_target(name: str, cwd: Path) -> Target:
    """A module in the current folder, or in one of `PYTHONPATH` below it; raises `ConfigError` where there is none.

    It is looked for without importing the packages it is in: they run code of the user's, which is for the copy.
    """
    given = (Path(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry)
    below = [entry for entry in given if cwd in entry.absolute().parents]
    for base in (cwd, *below):
        place = base.absolute().joinpath(*name.split("."))
        for file in (place / "__main__.py", place.with_name(f"{place.name}.py")):
            if file.is_file():
                return Target(file, name)
    raise ConfigError(
        f"tracker preflight -m {name}: there is no such module in {cwd}. Expected one below the current folder, "
        "which is copied for the drills: start from the project's own."
    )
