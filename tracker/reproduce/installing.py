"""The distributions of a recorded environment, installed by uv as exactly as the configured indexes allow."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import ReproduceError
from .installer import Answer, run_uv
from .lockfiles import Locked
from .pins import Pin
from .resolve import resolve

BUILD_SECONDS = 3600.0
"""Time for one call of uv that fetches or builds."""
_RESOLVE_SECONDS = 120.0
_NEEDED = ("git", "mlflow", "pyarrow", "pydantic", "rich")
"""What the tracker itself imports in a run and in its sidecar."""


def install(new: Path, venv: Path, pins: Sequence[Pin], locks: Locked, say: Callable[[str], None]) -> Locked:
    """Installs `pins` into `venv`, with `new` for what uv has to read; returns the locks that were followed.

    A distribution that cannot be had is left out where the run had not imported it. Raises `ReproduceError` for any
    other, and for what uv cannot install.
    """
    answer = _try_install(new, venv, pins, locks)
    if not answer.is_fine and locks.hashes and "hash" in answer.text.lower():
        say(f"environment: {', '.join(locks.files)} allows none of the wheels that can be had; going on without")
        locks = Locked((), {})
        answer = _try_install(new, venv, pins, locks)
    if answer.is_fine:
        return locks
    found = resolve(pins, str(venv / "bin" / "python"), _RESOLVE_SECONDS, quick=False)
    needed = [pin for pin in found.missing if pin.is_needed]
    if needed:
        more = f" and {len(needed) - 5} more" if len(needed) > 5 else ""
        raise ReproduceError(
            f"The environment cannot be rebuilt: no configured index or link folder has "
            f"{', '.join(pin.text for pin in needed[:5])}{more}. Add the one they came from to pip's configuration "
            "(extra-index-url, find-links), or go on with --use-current-env."
        )
    if not found.missing:
        raise ReproduceError(f"The environment cannot be rebuilt: {found.why or answer.telling}. See pip's settings.")
    for pin in found.missing:
        say(f"environment: {pin.text} cannot be had and is left out: the run had not imported it")
    answer = _try_install(new, venv, [pin for pin in pins if pin not in found.missing], locks)
    if not answer.is_fine:
        raise ReproduceError(f"The environment cannot be rebuilt: {answer.telling}.")
    return locks


def _try_install(new: Path, venv: Path, pins: Sequence[Pin], locks: Locked) -> Answer:
    wanted = new / "requirements.txt"
    lines = [pin.requirement(locks.hashes.get((pin.name, pin.version), ())) for pin in pins]
    wanted.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    python = str(venv / "bin" / "python")
    return run_uv(["pip", "install", "--no-deps", "--python", python, "-r", str(wanted)], new, BUILD_SECONDS)


def check_ours(venv: Path) -> None:
    """Raises `ReproduceError` where the tracker, which observes the re-run, could not be imported."""
    names = ", ".join(map(repr, _NEEDED))
    code = f"import importlib.util as u; print(*[n for n in ({names}) if u.find_spec(n) is None])"
    done = subprocess.run(
        [str(venv / "bin" / "python"), "-I", "-c", code], capture_output=True, stdin=subprocess.DEVNULL, timeout=60
    )
    lacking = done.stdout.decode("utf-8", "replace").split()
    if done.returncode != 0 or lacking:
        seen = ", ".join(lacking) or done.stderr.decode("utf-8", "replace").strip()[-300:]
        raise ReproduceError(
            f"The rebuilt environment cannot run the tracker: it has no {seen}, as the recorded one had none in its "
            "own packages. Go on with --use-current-env."
        )
