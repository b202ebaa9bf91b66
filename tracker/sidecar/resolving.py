"""Whether the run's packages could be had again: asked of the configured indexes, in a process of its own.

It is begun with the run and looked at when that has ended, so that nobody waits for an index. What was learnt is kept
below `<home>/resolved`, for every run of the same packages and the same settings of pip: the next one asks nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..launcher import sidecar_command, sidecar_environment, start_apart
from ..rundir import bases, read_json, write_json

if TYPE_CHECKING:
    from ..reproduce.pins import Pin

SECONDS = 20.0
"""Time the indexes have, from the moment they are asked."""
OFF = "TRACKER_NO_RESOLVE"
"""Environment variable that, set to anything, keeps the indexes from being asked."""

_DAY = 86400.0
_KEPT = {True: 30 * _DAY, False: 3600.0, None: 300.0}
"""How long an answer holds, in seconds: what is there stays, what lacks may be mended, who is silent may return."""


def begin(capture: Path, settings: Mapping[str, Any]) -> None:
    """Asks for the packages of `environment.json` in `capture`, behind our back, unless the answer is known already.

    `settings` is the table `[tool.tracker.capture]`. Nothing is raised: at the end it is tried again.
    """
    with contextlib.suppress(Exception):
        if is_off(settings) or _known(_answer_file(capture)) is not None:
            return
        start_apart(sidecar_command("--resolve", str(capture)), subprocess.DEVNULL)


def is_off(settings: Mapping[str, Any]) -> bool:
    """Whether the user wants no index to be asked."""
    return settings.get("resolve") is False or bool(os.environ.get(OFF))


def resolved(capture: Path, settings: Mapping[str, Any], seconds: float = SECONDS) -> dict[str, Any]:
    """`{"resolves": true, false or null, "missing": [...], "why": ...}` for the packages of the run.

    Waits for the answer, if it is still to come, at most until `seconds` after it was asked for. Raises nothing.
    """
    if is_off(settings):
        return _unknown("switched off")
    try:
        place = _answer_file(capture)
        known = _known(place)
        if known is None:
            # One that was begun long ago has failed or is not there: then its time is over, and another is begun.
            known = _wait(capture, place, seconds)
        return _of_this_run(known, capture)
    except Exception as error:  # whatever was stored: the run is closed all the same
        return _unknown(f"the packages cannot be read: {error}")


def _of_this_run(known: Mapping[str, Any], capture: Path) -> dict[str, Any]:
    """An answer for all packages, told for those that this run needs: what it had not imported is left out elsewhere.

    With the end of the run more is known of that than when the question was asked.
    """
    needed = {pin.text for pin in pins_to_have(_environment(capture)) if pin.is_needed}
    missing = [str(name) for name in known.get("missing") or () if name in needed]
    if missing or known.get("resolves") is not False:
        return {
            "resolves": False if missing else known.get("resolves"),
            "missing": missing,
            "why": known.get("why") or "",
        }
    if known.get("is_all"):
        return {"resolves": True, "missing": [], "why": ""}
    return _unknown("too many packages that the run had not imported are missing")


def _unknown(why: str) -> dict[str, Any]:
    return {"resolves": None, "missing": [], "why": f"not tried: {why}"}


def _wait(capture: Path, place: Path, seconds: float) -> dict[str, Any]:
    """The answer, once the process that was begun before has it, or one that is begun now."""
    asked = place.with_suffix(".lock")
    if not _is_held(asked):
        return _ask_now(capture, place, seconds)
    left = seconds - max(0.0, time.time() - asked.stat().st_mtime)
    deadline = time.monotonic() + left
    while _is_held(asked):
        if time.monotonic() >= deadline:
            return _unknown(f"the indexes took more than {seconds:g} s")
        time.sleep(0.05)
    return _known(place) or _unknown("the indexes could not be asked")


def _ask_now(capture: Path, place: Path, seconds: float) -> dict[str, Any]:
    child = subprocess.Popen(
        sidecar_command("--resolve", str(capture), str(seconds)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=sidecar_environment(),
    )
    try:
        said = child.communicate(timeout=seconds)[1].decode("utf-8", "replace").strip()
    except subprocess.TimeoutExpired:
        with contextlib.suppress(OSError):
            os.killpg(child.pid, signal.SIGKILL)  # with the uv that it waits for
        child.communicate()
        return _unknown(f"the indexes took more than {seconds:g} s")
    if _known(place) is None and _is_held(place.with_suffix(".lock")):
        return _wait(capture, place, seconds)  # the one begun before was just about to start
    return _known(place) or _unknown(said.splitlines()[-1][:300] if said else "the indexes could not be asked")


def _is_held(lock: Path) -> bool:
    """Whether a process is asking just now."""
    try:
        with open(lock, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return False
    except OSError:
        return True


def ask_and_keep(capture: Path, seconds: float = SECONDS) -> None:
    """Asks and keeps the answer; the process of its own that `begin` and `resolved` start. Only one asks at a time."""
    from ..reproduce.resolve import resolve

    place = _answer_file(capture)
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(place.with_suffix(".lock"), "wb") as lock:
        if not _hold(lock):
            return
        os.utime(lock.fileno())
        if _known(place) is not None:  # by one that was quicker
            return
        _remove_old(place.parent)
        found = resolve(pins_to_have(_environment(capture)), sys.executable, seconds)
        answer = {
            "resolves": found.resolves,
            "missing": [pin.text for pin in found.missing],
            "is_all": found.is_all,
            "why": f"not tried: {found.why}" if found.why else "",
            "asked": time.time(),
        }
        write_json(place, answer)


def _hold(lock: IO[bytes]) -> bool:
    """Takes the lock of the one process that asks; False when another has it for longer than a look at it takes."""
    for _ in range(5):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            time.sleep(0.1)
    return False


def _remove_old(folder: Path) -> None:
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > 2 * _KEPT[True]:
                path.unlink()


def _environment(capture: Path) -> dict[str, Any]:
    content = json.loads((capture / "environment.json").read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError("environment.json holds no object")
    return content


def pins_to_have(environment: Mapping[str, Any]) -> Sequence[Pin]:
    """What the indexes must have: everything but what comes back with the project."""
    from ..reproduce.pins import pins_of

    return [pin for pin in pins_of(environment) if not pin.is_local]


def _answer_file(capture: Path) -> Path:
    """Where the answer for these packages is kept, under these settings; raises OSError or ValueError."""
    from ..reproduce.pip_settings import pip_settings, settings_digest

    environment = _environment(capture)
    python = (environment.get("process") or {}).get("python") or {}
    lines = [f"{pin.text} {pin.kind} {pin.source}" for pin in pins_to_have(environment)]
    lines += [str(python.get("version")), settings_digest(pip_settings())]
    name = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]
    for base in bases():
        folder = base / "resolved"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            return folder / f"{name}.json"
        except OSError as error:
            problem = error
    raise problem


def _known(place: Path) -> dict[str, Any] | None:
    """The answer that was kept; None when there is none that still holds."""
    found = read_json(place)
    if found.get("resolves", 0) not in (True, False, None) or "asked" not in found:
        return None
    age = time.time() - float(found["asked"])
    return found if 0 <= age < _KEPT[found["resolves"]] else None
