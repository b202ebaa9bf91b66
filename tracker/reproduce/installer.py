"""uv, run as a child process: where it is, what it may read, and what of its words may be repeated."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ReproduceError
from .pip_settings import pip_settings, uses_no_index, uv_variables, without_passwords

_NOT_PASSED_ON = ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME", "UV_PYTHON", "UV_PROJECT_ENVIRONMENT")
"""They would make uv take another Python than the one it is told."""
_LIMITS = re.compile(r"Failed to fetch|Could not connect|error sending request|dns error|timed out|Network", re.I)
_TOLD = re.compile(r"^\s*(error|cause|×|╰─▶|├─▶)[:\s]*", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """What uv said; `timed_out` when it was ended before it had."""

    returncode: int
    text: str
    timed_out: bool = False

    @property
    def is_fine(self) -> bool:
        """Whether it did what it was asked."""
        return self.returncode == 0 and not self.timed_out

    @property
    def is_unreachable(self) -> bool:
        """Whether an index did not answer, so that nothing is known of what it has."""
        return self.timed_out or _LIMITS.search(self.text) is not None

    @property
    def telling(self) -> str:
        """The line that says why it failed, without passwords: the innermost cause that uv names."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        causes = [_TOLD.sub("", line) for line in lines if _TOLD.match(line)]
        if self.timed_out:
            return "it took too long"
        last = [line for line in lines if not line.startswith(("hint", "help"))][-1:]
        return without_passwords((causes or last or [f"exit code {self.returncode}"])[-1])[:400]


def uv_program() -> str | None:
    """The path of uv: the one installed with the tracker, else the one on PATH; None without either."""
    try:
        from uv import find_uv_bin

        return os.fspath(find_uv_bin())
    except (ImportError, OSError):
        return shutil.which("uv")


def run_uv(
    arguments: Sequence[str],
    cwd: Path,
    timeout: float,
    settings: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
) -> Answer:
    """Runs uv in `cwd` for at most `timeout` seconds, with the indexes that pip is configured to use.

    `cwd` should be a folder of our own: uv reads settings of the project it is started in, and a restored project's are
    not for this. `variables` are set besides. Raises `ReproduceError` when there is no uv.
    """
    program = uv_program()
    if program is None:
        raise ReproduceError("uv, which builds environments, is not installed. Install it with: pip install uv")
    if settings is None:
        settings = pip_settings()
    environment = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON}
    environment |= uv_variables(settings)
    environment |= {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "NO_COLOR": "1", **(variables or {})}
    command = [program, *arguments]
    if uses_no_index(settings) and arguments[0] == "pip":
        command.append("--no-index")
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return Answer(-1, (error.stdout or b"").decode("utf-8", "replace"), timed_out=True)
    except OSError as error:
        raise ReproduceError(f"uv cannot be started: {error}. Install it with: pip install --upgrade uv") from error
    return Answer(done.returncode, done.stdout.decode("utf-8", "replace"))
