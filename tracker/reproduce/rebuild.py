"""The recorded Python environment, built again with uv: the interpreter, every distribution, nothing else.

::

    <home>/environments/<key>/
      venv/          the environment
      built.json     what is in it, and what of the recorded one it is not

The key is a digest over the requirements, the interpreter and the platform, so that an environment is built once. It
is built beside and renamed: one that was interrupted never counts. Distributions whose code was in a folder of the
project are not in it, see `local_projects`; neither is the tracker, which a re-run finds on its import path.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..capture.differences import Difference, environment_differences
from ..capture.packages import OWN, installed
from ..errors import ReproduceError
from ..rundir import bases, read_json, write_json
from .installer import run_uv, uv_program
from .installing import BUILD_SECONDS, check_ours, install
from .interpreters import Interpreter, nearest
from .local_projects import place_of, search_path
from .lockfiles import Locked, read_locks
from .pins import Pin, pins_of

KEEP_SECONDS = 60 * 86400.0
"""Age, since its last use, at which a built environment is removed."""
_SCHEMA = 1


@dataclass(frozen=True)
class Rebuilt:
    """An environment for a re-run."""

    python: Path
    """Its interpreter."""
    differences: tuple[Difference, ...]
    """What of it is not as recorded; those that can change bits first."""
    was_cached: bool
    """Whether it was there already."""
    search_path: tuple[str, ...] = ()
    """Folders below the restored project, and one of ours, that belong on the import path."""
    locks: tuple[str, ...] = ()
    """Lock files of the project whose hashes the distributions were checked against."""


def obstacles(environment: Mapping[str, Any], root: Path, project: Path | None = None) -> list[str]:
    """What cannot be rebuilt of a recorded environment, in words; empty when nothing stands in the way.

    Looks at this machine only: no index is asked, nothing is built, and `root`, where the project will be restored,
    need not exist. `project` is where the project was; without it the script's own folder is taken.
    """
    found: list[str] = []
    if uv_program() is None:
        found.append("uv is not installed; install it with: pip install uv")
    if not isinstance(environment.get("packages"), list):
        return [*found, "its packages are not on record"]
    wanted = _python(environment)
    if not wanted["version"]:
        found.append("its Python version is not on record")
    elif nearest(wanted["implementation"], wanted["version"], wanted["build"]) is None:
        found.append(f"no {wanted['implementation']} {_minor(wanted['version'])} is on this machine")
    project = project or _folder_of(environment)
    for pin in pins_of(environment):
        if not pin.is_needed:
            continue  # left out and named, should it not be had
        if pin.problem:
            found.append(pin.problem)
        elif pin.is_local and place_of(pin, project) is None:
            how = "an editable install" if pin.kind == "editable" else "installed from a folder"
            found.append(f"{pin.text} was {how} at {pin.source}, outside the captured project")
    return found


def origins(environment: Mapping[str, Any]) -> list[str]:
    """The distributions that are fetched from an address of their own, to be shown before that is done."""
    return [f"{pin.text} from {pin.source}" for pin in pins_of(environment) if pin.kind in ("url", "vcs")]


def rebuild(
    environment: Mapping[str, Any],
    capture: Path,
    root: Path,
    say: Callable[[str], None],
    refresh: bool = False,
) -> Rebuilt:
    """Builds the recorded environment for the project restored in `root`, or takes the one that was built before.

    `capture` holds what is known of the project, `say` is told what is done, `refresh` builds in any case. Raises
    `ReproduceError` with the reason when it cannot be built.
    """
    code = read_json(capture / "code.json")
    project = Path(str(code["root"])) if code.get("root") else None
    found = obstacles(environment, root, project)
    if found:
        raise ReproduceError(f"The environment cannot be rebuilt: {found[0]}. Go on with --use-current-env.")
    wanted = _python(environment)
    interpreter = nearest(wanted["implementation"], wanted["version"], wanted["build"])
    assert interpreter is not None  # an obstacle otherwise
    every = pins_of(environment)
    pins = [pin for pin in every if not pin.is_local and not pin.problem]
    locks = read_locks(root)
    key = _key(pins, interpreter, locks)
    folder, lock = _place(key)
    with open(lock, "ab") as file:
        if _is_taken(file):
            say("environment: another process is building it; waiting")
        fcntl.flock(file, fcntl.LOCK_EX)
        built = None if refresh else _built(folder)
        was_cached = built is not None
        if built is None:
            say(f"environment: building it, {len(pins)} packages for Python {interpreter.version}")
            started = time.monotonic()
            built = _build(folder, pins, interpreter, locks, say)
            checked = f", wheels checked against {', '.join(built['locks'])}" if built["locks"] else ""
            say(f"environment: built in {time.monotonic() - started:.0f} s{checked}")
        with contextlib.suppress(OSError):
            os.utime(folder)
    python = folder / "venv" / "bin" / "python"
    folders = search_path([pin for pin in every if pin.is_local], project, root, python, say)
    rows = [*(built.get("packages") or ()), *_rows(folders)]
    return Rebuilt(
        python=python,
        differences=tuple(_differences(environment, rows, interpreter)),
        was_cached=was_cached,
        search_path=tuple(folders),
        locks=tuple(str(name) for name in built.get("locks") or ()),
    )


def _python(environment: Mapping[str, Any]) -> dict[str, str]:
    process = environment.get("process")
    python = process.get("python") if isinstance(process, Mapping) else None
    python = python if isinstance(python, Mapping) else {}
    return {name: str(python.get(name) or "") for name in ("version", "implementation", "build")}


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _folder_of(environment: Mapping[str, Any]) -> Path | None:
    process = environment.get("process")
    entry = process.get("entry") if isinstance(process, Mapping) else None
    script = entry.get("script") if isinstance(entry, Mapping) else None
    return Path(str(script)).parent if script else None


def _key(pins: Sequence[Pin], interpreter: Interpreter, locks: Locked) -> str:
    lines = [f"{_SCHEMA} {interpreter.build} {platform.system()} {platform.machine()} {' '.join(platform.libc_ver())}"]
    lines.append(os.path.realpath(interpreter.path))
    lines += sorted(pin.requirement(locks.hashes.get((pin.name, pin.version), ())) for pin in pins)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def _place(key: str) -> tuple[Path, Path]:
    """The folder of an environment, and the file that is locked while it is built."""
    problem: OSError | None = None
    for base in bases():
        place = base / "environments"
        try:
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            _remove_old(place)
            return place / key, place / f"{key}.lock"
        except OSError as error:
            problem = error
    raise ReproduceError(f"There is no place for the environment: {problem}. Free some space, or set TRACKER_HOME.")


def _remove_old(place: Path) -> None:
    """Removes environments that nobody has used for long, and what interrupted builds have left."""
    for folder in [*place.glob("*/built.json"), *place.glob(".new-*/venv")]:
        with contextlib.suppress(OSError):
            if time.time() - folder.parent.stat().st_mtime > KEEP_SECONDS:
                shutil.rmtree(folder.parent, ignore_errors=True)


def _is_taken(file: Any) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def _built(folder: Path) -> dict[str, Any] | None:
    """What was built before; None when it is not there, has been changed since, or its interpreter does not start."""
    content = read_json(folder / "built.json")
    if content.get("schema") != _SCHEMA:
        return None
    python = folder / "venv" / "bin" / "python"
    try:
        done = subprocess.run([str(python), "-I", "-c", ""], capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    is_whole = done.returncode == 0 and _rows(_sites(folder / "venv")) == content.get("packages")
    return content if is_whole else None


def _build(
    folder: Path, pins: Sequence[Pin], interpreter: Interpreter, locks: Locked, say: Callable[[str], None]
) -> dict[str, Any]:
    """Builds into a folder beside and renames it; returns what `built.json` holds."""
    for left in folder.parent.glob(f".new-{folder.name}-*"):  # by a build that was killed: the lock is ours
        shutil.rmtree(left, ignore_errors=True)
    new = Path(tempfile.mkdtemp(prefix=f".new-{folder.name}-", dir=folder.parent))
    try:
        venv = new / "venv"
        # Relocatable: the scripts in it would otherwise name the folder it was built in.
        made = run_uv(["venv", "--relocatable", "--python", interpreter.path, str(venv)], new, BUILD_SECONDS)
        if not made.is_fine:
            raise ReproduceError(f"The environment cannot be made: {made.telling}.")
        used = install(new, venv, pins, locks, say)
        check_ours(venv)
        content = {"schema": _SCHEMA, "locks": list(used.files), "packages": _rows(_sites(venv))}
        write_json(new / "built.json", content)
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
        return content
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _sites(venv: Path) -> list[str]:
    return [str(path) for path in venv.glob("lib/python*/site-packages")]


def _rows(places: Sequence[str]) -> list[dict[str, Any]]:
    """What is installed, in the form of `environment.json`, read as it is at the capture."""
    return [
        {"name": one.name, "version": one.version, "origin": one.origin, "record": one.record, "tag": one.tag}
        for one in installed(places)
    ]


def _differences(
    environment: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], interpreter: Interpreter
) -> Iterator[Difference]:
    """What of `rows` and of the interpreter is not as recorded."""
    wanted = _python(environment)
    then = [row for row in environment["packages"] if isinstance(row, Mapping) and row.get("name") != OWN]
    imported = {row.get("name"): row.get("imported") for row in then}
    now = [{**row, "imported": imported.get(row["name"])} for row in rows if row["name"] != OWN]
    found = environment_differences({"packages": [dict(row) for row in then]}, {"packages": [*now]})
    if interpreter.version != wanted["version"]:
        found.insert(0, Difference("python version", wanted["version"], interpreter.version, True))
    elif wanted["build"] and interpreter.build != wanted["build"]:
        found.append(Difference("python build", wanted["build"], interpreter.build, False))
    yield from sorted(found, key=lambda one: (not one.can_change_bits, one.what))
