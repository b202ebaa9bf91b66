"""Running a restored run again: in its new folder, with the recorded command, variables and randomness."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..capture.environment import ALLOWED_NAMES, ALLOWED_PREFIXES
from ..errors import ReproduceError
from ..launch import Launch, prepare, without_bootstrap
from ..reproducing import VARIABLE
from ..rundir import RunDir
from .plan import Plan

PLAN_FILE = ".soundrun-reproduce.json"

COPIED_BYTES = 1 << 30
"""Data files of the project up to this size in all are copied, so that a re-run cannot write to the originals; larger
ones are linked."""

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


@dataclass(frozen=True)
class Rerun:
    """How a re-run went: its exit code (negative: the signal), the run it made, and whether it ran out of time."""

    returncode: int
    rundir: RunDir | None
    timed_out: bool = False


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
    kept.update(plan.variables)
    if plan.tracking_uri and "MLFLOW_TRACKING_URI" not in kept:
        kept["MLFLOW_TRACKING_URI"] = plan.tracking_uri
    folders = [str(root / folder) for folder in plan.search_path]
    before = [entry for entry in kept.get("PYTHONPATH", "").split(os.pathsep) if entry]
    # Ours comes last: what the run imports must not change because it is run again.
    ours = str(Path(__file__).resolve().parents[2])
    path = [*folders, *before, ours]
    kept["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(path))
    return kept


def _is_recorded_kind(name: str) -> bool:
    # Paths and tokens of the Hugging Face libraries belong to the machine, not to the run.
    if name.startswith("HF_"):
        return False
    return name in ALLOWED_NAMES - {"LANG", "LC_ALL", "TZ"} or name.startswith(ALLOWED_PREFIXES)


def place_data(root: Path, items: Sequence[Mapping[str, Any]]) -> list[str]:
    """Puts data files that lay in the project's folder, but not in its code, where the re-run will look for them.

    Returns the names of those that were linked because they are too large to copy: the re-run can write to them.
    """
    linked: list[str] = []
    copied = 0
    for item in sorted(items, key=lambda item: int(item.get("size") or 0)):
        source, target = Path(str(item["path"])), root / str(item["relative"])
        if not target.resolve().is_relative_to(root.resolve()):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        size = int(item.get("size") or 0)
        if copied + size <= COPIED_BYTES:
            shutil.copy2(source, target)
            copied += size
        else:
            target.symlink_to(source)
            linked.append(str(item["relative"]))
    return linked


def write_plan(plan: Plan, beside: Path) -> Path:
    """Writes what the re-run's own tracker has to know, beside the restored folder; returns the path."""
    content = {
        "of": plan.own_id,
        "mlflow_of": plan.mlflow_id,
        "index": plan.index,
        "randomness": plan.randomness,
        "tracking_uri": plan.tracking_uri,
        "until": plan.closer.until,
        "debug": plan.closer.debug,
    }
    path = beside.with_name(f"{beside.name}{PLAN_FILE}")
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def rerun(plan: Plan, root: Path, cwd: Path, timeout: float | None = None, stdout_to_stderr: bool = False) -> Rerun:
    """Runs the recorded command below `root`, waits for it, and finds the run it made.

    Its output passes through. Ctrl-C reaches it as it would in a terminal; a second one kills it. Raises
    `ReproduceError` when it cannot be started.
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
            child = subprocess.Popen(
                plan.command(root), cwd=cwd, env=environment, stdout=sys.stderr.fileno() if stdout_to_stderr else None
            )
        except OSError as error:
            raise ReproduceError(f"The re-run cannot be started: {error}.") from error
        returncode, timed_out = _wait(child, timeout)
        if launch is not None:
            launch.note_end(child.pid, returncode)
    finally:
        note.unlink(missing_ok=True)
    return Rerun(returncode, _find(plan, root, started), timed_out)


def _wait(child: subprocess.Popen[bytes], timeout: float | None) -> tuple[int, bool]:
    deadline = None if timeout is None else time.monotonic() + timeout
    interrupts = 0
    while True:
        try:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            return child.wait(left), False
        except KeyboardInterrupt:
            # The terminal has sent it to the child as well, which may be saving something: once more, and it is killed.
            interrupts += 1
            if interrupts > 1:
                child.kill()
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGTERM)
            try:
                return child.wait(_GRACE_SECONDS), True
            except subprocess.TimeoutExpired:
                child.kill()
                return child.wait(), True


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
