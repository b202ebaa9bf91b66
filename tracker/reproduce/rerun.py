"""Running a restored run again: in its new folder, with the recorded command, variables and randomness."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..capture.environment import ALLOWED_NAMES, ALLOWED_PREFIXES
from ..errors import ReproduceError
from ..launch import Launch, prepare, without_bootstrap
from ..report.console.row import give_back_of_dead
from ..reproducing import VARIABLE
from ..rundir import RunDir, home
from .plan import Plan

PLAN_FILE = ".soundrun-reproduce.json"

_GRACE_SECONDS = 10.0
"""Time between asking a process to end and killing it."""

_NOT_PASSED_ON = (
    "MLFLOW_RUN_ID",
    "RANK",
    "LOCAL_RANK",
    "GROUP_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "TRACKER_SIDECAR",
)


_CACHES = frozenset(
    {"TORCH_HOME", "TORCHINDUCTOR_CACHE_DIR", "TORCH_EXTENSIONS_DIR", "TRITON_CACHE_DIR", "CUDA_CACHE_PATH"}
)


@dataclass(frozen=True)
class Rerun:
    """How a re-run went: its exit code (negative: the signal), the run it made, and what ended it from outside."""

    returncode: int
    rundir: RunDir | None
    timed_out: bool = False
    was_interrupted: bool = False
    """Whether Ctrl-C came while it ran."""


def new_folder(into: Path | None, own_id: str) -> Path:
    """The folder to restore into; raises `ReproduceError` when it is in use."""
    folder = (into if into is not None else Path(f"reproduced-{own_id[:8]}")).absolute()
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise ReproduceError(f"{folder} is not empty. Expected a new or an empty folder; choose one with --into DIR.")
    return folder


def child_environment(plan: Plan, root: Path, current: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables of the re-run: today's, with all that can change numbers as it was recorded."""
    today = without_bootstrap(os.environ if current is None else current)
    kept = {name: value for name, value in today.items() if name not in _NOT_PASSED_ON and not _is_recorded_kind(name)}
    kept.update({name: value for name, value in plan.variables.items() if name not in _CACHES})
    if plan.tracking_uri and "MLFLOW_TRACKING_URI" not in kept:
        kept["MLFLOW_TRACKING_URI"] = plan.tracking_uri
    folders = [str(root / folder) for folder in plan.search_path]
    before = [entry for entry in kept.get("PYTHONPATH", "").split(os.pathsep) if entry]
    # Ours comes last: what the run imports must not change because it is run again.
    path = [*folders, *before, str(_library(plan.interpreter))]
    kept["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(path))
    if plan.interpreter != sys.executable:  # `python`, started by the script, is to be the same one
        kept["PATH"] = os.pathsep.join([str(Path(plan.interpreter).parent), kept.get("PATH", os.defpath)])
        kept["VIRTUAL_ENV"] = str(Path(plan.interpreter).parents[1])
    return kept


def _library(interpreter: str) -> Path:
    """The folder that the re-run finds our package in.

    Another interpreter gets one that holds nothing else: beside an installed package lie all the others of this one.
    """
    package = Path(__file__).resolve().parents[1]
    if interpreter == sys.executable:
        return package.parent
    folder = home() / "library" / hashlib.sha256(os.fsencode(package)).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (folder / "tracker").symlink_to(package)
    return folder


def _is_recorded_kind(name: str) -> bool:
    # Paths of caches, and the tokens of the Hugging Face libraries, belong to the machine and not to the run.
    if name.startswith("HF_") or name in _CACHES:
        return False
    return name in ALLOWED_NAMES - {"LANG", "LC_ALL", "TZ"} or name.startswith(ALLOWED_PREFIXES)


def write_plan(plan: Plan, beside: Path) -> Path:
    """Writes what the re-run's own tracker has to know, beside the restored folder; returns the path."""
    content = {
        "of": plan.own_id,
        "mlflow_of": plan.mlflow_id,
        "index": plan.index,
        "randomness": plan.randomness,
        **({"ranks": dict(plan.ranks)} if plan.ranks else {}),
        "tracking_uri": plan.tracking_uri,
        "until": plan.until,
        "debug": plan.closer.debug,
    }
    path = beside.with_name(f"{beside.name}{PLAN_FILE}")
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def rerun(
    plan: Plan,
    root: Path,
    cwd: Path,
    timeout: float | None = None,
    stdout_to_stderr: bool = False,
    log: IO[str] | None = None,
) -> Rerun:
    """Runs the recorded command below `root`, waits for it, and finds the run it made.

    Its output passes through, or goes to `log`. Ctrl-C reaches it as it would in a terminal; a second one kills it.
    Raises `ReproduceError` when it cannot be started.
    """
    started = time.time()
    note = write_plan(plan, root)
    environment = {**child_environment(plan, root), VARIABLE: str(note)}
    launch: Launch | None = None
    try:
        try:
            if plan.launched:
                # As `tracker run` started it: from the bootstrap on its random generators are known.
                launch = prepare({"name": plan.name, "observe": plan.observe}, plan.command(root), environment)
                environment = launch.environment
            stdout: IO[str] | int | None = sys.stderr.fileno() if stdout_to_stderr and log is None else log
            child = subprocess.Popen(plan.command(root), cwd=cwd, env=environment, stdout=stdout, stderr=log)
        except OSError as error:
            raise ReproduceError(f"The re-run cannot be started: {error}.") from error
        returncode, timed_out, was_interrupted = _wait(child, timeout)
        if launch is not None:
            give_back_of_dead(launch.folder, 2)
            launch.note_end(child.pid, returncode)
    finally:
        note.unlink(missing_ok=True)
    return Rerun(returncode, _find(plan, root, started), timed_out, was_interrupted)


def _wait(child: subprocess.Popen[bytes], timeout: float | None) -> tuple[int, bool, bool]:
    """Exit code, whether it ran out of time, and whether it was interrupted."""
    deadline = None if timeout is None else time.monotonic() + timeout
    interrupts = 0
    while True:
        try:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            return child.wait(left), False, interrupts > 0
        except KeyboardInterrupt:
            # The terminal has sent it to the child as well, which may be saving something: once more, and it is killed.
            interrupts += 1
            if interrupts > 1:
                child.kill()
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGTERM)
            try:
                return child.wait(_GRACE_SECONDS), True, interrupts > 0
            except subprocess.TimeoutExpired:
                child.kill()
                return child.wait(), True, interrupts > 0


def _find(plan: Plan, root: Path, started: float) -> RunDir | None:
    """The run that the re-run made: of this original, of this place in its process, begun below `root` since then."""
    real = root.resolve()
    for rundir in reversed(RunDir.all()):
        spec = rundir.spec
        if spec.get("reproduce_of") not in (plan.own_id, plan.mlflow_id) or spec.get("index") != plan.index:
            continue
        if float(spec.get("started") or 0) < started - 1 or not Path(str(spec.get("cwd"))).resolve().is_relative_to(
            real
        ):
            continue
        return rundir
    return None


def wait_for_upload(rundir: RunDir, seconds: float) -> bool:
    """Waits until the sidecar has uploaded the run; False when it has not within `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        state = rundir.state
        if state.get("finished"):
            return True
        if str(state.get("store", "")).startswith(("unreachable", "refused")):
            return False
        time.sleep(0.1)
    return False
