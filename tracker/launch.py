"""`tracker run`, seen from its own process: starts a command with the bootstrap on its import path, and sums up.

::

    <home>/launches/<id>/
      plan.json      what was asked for; every Python process of the command finds it by TRACKER_LAUNCH
      runs/<id>      a run has begun in one of them
      exit.json      the exit code of the command, once it has ended

Two variables of the command are not as without us: PYTHONPATH begins with our folder, and PYTHONHASHSEED, where it was
unset, is a number picked at random, which makes the order of sets of strings repeatable.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import forwarding
from .launched import PLAN, RUNS, VARIABLE
from .launcher import start_sidecar
from .report.console.row import give_back_of_dead
from .rundir import RunDir, bases, new_id, write_json

if TYPE_CHECKING:
    from .rules.engine.records import Json

BOOTSTRAP = Path(__file__).absolute().with_name("bootstrap")
EXIT = "exit.json"
KEEP_SECONDS = 30 * 86400.0
"""Age at which what is left of old launches is removed."""
_HASH_SEEDS = 1 << 32
_SIDECAR_START = 10.0
"""Seconds after which a run that nobody uploads is taken to have no sidecar."""


@dataclass
class Launch:
    """One `tracker run`."""

    folder: Path
    environment: dict[str, str]
    """Of the command."""
    plan: dict[str, Any]
    pid: int | None = None
    """Of the command, once it runs."""

    def run(self, command: Sequence[str]) -> int:
        """Runs the command in our place (see `forwarding`); returns its exit code, or minus a signal's number."""

        def started(pid: int) -> None:
            self.pid = pid

        code = forwarding.run_in_our_place(command, self.environment, started)
        give_back_of_dead(self.folder, 2)
        self.note_end(self.pid, code)
        return code

    def note_end(self, pid: int | None, code: int) -> None:
        """Tells the runs of the launch how the command has ended."""
        with contextlib.suppress(OSError):
            write_json(self.folder / EXIT, {"pid": pid, "code": code})

    def runs(self) -> list[RunDir]:
        """The runs that began in processes of the command, oldest first; rank 0 stands for its ranks."""
        with contextlib.suppress(OSError):
            begun = {path.name for path in (self.folder / RUNS).iterdir()}
            return [rundir for rundir in RunDir.all() if rundir.path.name in begun]
        return []

    def close(self) -> None:
        """Removes the folder of the launch: nobody needs it once its runs are whole."""
        shutil.rmtree(self.folder, ignore_errors=True)


def prepare(options: Mapping[str, Any], command: Sequence[str], environment: Mapping[str, str] | None = None) -> Launch:
    """Makes the folder of a launch and the environment of its command; raises `OSError` where nothing can be written.

    `options` are those of `Run`, besides `observe`; `environment` is this process's own, unless given.
    """
    base = dict(os.environ if environment is None else environment)
    hash_seed = None
    if not base.get("PYTHONHASHSEED"):
        # From the system: no generator of anybody's is drawn. 0 would switch the randomness off.
        hash_seed = base["PYTHONHASHSEED"] = str(1 + int.from_bytes(os.urandom(8), "big") % (_HASH_SEEDS - 1))
    plan = {
        "schema": 1,
        "pid": os.getpid(),
        "started": time.time(),
        "cwd": os.getcwd(),
        "command": list(command),
        "hash_seed": hash_seed,
        "options": dict(options),
    }
    folder = _new_folder(plan)
    ours = str(BOOTSTRAP)
    before = base.get("PYTHONPATH")
    others = [entry for entry in before.split(os.pathsep) if entry != ours] if before else []
    base |= {"PYTHONPATH": os.pathsep.join([ours, *others]), VARIABLE: str(folder)}
    base.pop("TRACKER_SIDECAR", None)
    if options.get("quiet"):
        base["TRACKER_QUIET"] = "1"  # for what is said before the plan is read
    return Launch(folder, base, plan)


def without_bootstrap(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment as it would be outside of `tracker run`."""
    kept = {name: value for name, value in environment.items() if name != VARIABLE}
    entries = [entry for entry in kept.get("PYTHONPATH", "").split(os.pathsep) if entry != str(BOOTSTRAP)]
    if "PYTHONPATH" in kept:
        kept["PYTHONPATH"] = os.pathsep.join(entries)
        if not kept["PYTHONPATH"]:
            del kept["PYTHONPATH"]
    return kept


def _new_folder(plan: Mapping[str, Any]) -> Path:
    problem: OSError | None = None
    for base in bases():
        place = base / "launches"
        try:
            _remove_old(place)
            folder = place / new_id()
            folder.mkdir(parents=True, mode=0o700)
            write_json(folder / PLAN, plan)
            return folder
        except OSError as error:
            problem = error
    raise problem or OSError("no place for the launch")


def _remove_old(place: Path) -> None:
    if place.is_dir():
        for folder in place.iterdir():
            with contextlib.suppress(OSError):
                if time.time() - folder.stat().st_mtime > KEEP_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)


def wait_for(rundir: RunDir, seconds: float) -> dict[str, Any]:
    """Waits until a run is whole in its store, within bounds; returns the state of the upload.

    A run whose process lives on, behind the command's back, is not waited for.
    """
    deadline = time.monotonic() + seconds
    idle_since: float | None = None
    while True:
        state = rundir.state
        is_down = str(state.get("store", "")).startswith(("unreachable", "refused"))
        if state.get("finished") or is_down or time.monotonic() >= deadline or rundir.is_alive():
            return state
        with rundir.uploading() as nobody_does:
            idle = nobody_does
        idle_since = (idle_since or time.monotonic()) if idle else None
        if idle_since is not None and time.monotonic() - idle_since > _SIDECAR_START:
            with contextlib.suppress(OSError):
                start_sidecar(rundir)  # it was killed, or could not start: nothing would come, however long we wait
            idle_since = None
        time.sleep(0.05)


def attempt(
    launch: Launch, script: Path | None, arguments: Sequence[str], code: int, spec: Mapping[str, Any]
) -> RunDir:
    """Makes a run for a command in which no training was seen, so that the list of runs shows it.

    `spec` has what the options say. Raises `OSError` where it cannot be written.
    """
    from .journal import Journal
    from .rules.engine.records import END, VERDICT

    if code == 0:
        status, reason = "FINISHED", "no training was seen: no optimizer, no data loader, no backward pass"
    else:
        how = f"exit code {code}" if code > 0 else f"signal {-code}"
        status, reason = ("FAILED" if code > 0 else "KILLED"), f"{how}, before any training was seen"
    command = launch.plan["command"]
    rundir = RunDir.create(
        {
            "schema": 1,
            "id": new_id(),
            "cwd": launch.plan["cwd"],
            "script": None if script is None else str(script),
            "argv": ["" if script is None else str(script), *arguments],
            "orig_argv": list(command),
            "sys_path": list(sys.path),
            "executable": sys.executable,
            "pid": os.getpid(),
            "started": launch.plan["started"],
            "class_weights": None,
            "parent": None,
            "adopt": None,
            "reproduce_of": None,
            "index": 0,
            **spec,
        }
    )
    with rundir.hold_alive():
        journal = Journal(rundir.journal)
        nothing: dict[str, Json] = {"findings": [], "skipped": [], "crashed": []}
        journal.event(VERDICT, 0, {"schema": 1, "suspicious": "unknown", **nothing, "why": reason})
        journal.event(END, 0, {"status": status, "reason": reason})
        journal.close()
    start_sidecar(rundir)
    return rundir
