"""Plays a training without torch: writes the journal of a run as the training process would. Also run as a script."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tracker import rundir as rundirs
from tracker.journal import Journal
from tracker.launcher import sidecar_command, sidecar_environment
from tracker.rundir import RunDir

VERDICT = {
    "schema": 1,
    "suspicious": "true",
    "why": "double-softmax stands at the end",
    "findings": [
        {
            "rule": "double-softmax",
            "severity": "error",
            "subject": "head",
            "message": "loss 1.20 at step 3; expected below 0.5",
            "advice": ["Remove the softmax before the loss."],
            "explains": ["loss-not-decreasing"],
            "first_step": 3,
            "last_step": 9,
            "count": 4,
            "evidence": {"loss": 1.2},
            "consequences": [{"rule": "loss-not-decreasing", "severity": "warning", "message": "x 1"}],
        }
    ],
    "skipped": [{"rule": "dead-units", "reason": "no activation was measured"}],
    "crashed": [],
    "clear": ["nonfinite-loss"],
    "settings_digest": "abc",
    "engine_version": "1",
}


def make_spec(cwd: Path, uri: str | None, **changes: Any) -> dict[str, Any]:
    """What the training process writes of a run before it begins."""
    return {
        "schema": 1,
        "id": rundirs.new_id(),
        "name": "played",
        "experiment": "plays",
        "tracking_uri": uri,
        "cwd": str(cwd),
        "script": None,
        "argv": ["train.py"],
        "orig_argv": [sys.executable, "train.py"],
        "sys_path": [entry for entry in sys.path if "site-packages" in entry],
        "executable": sys.executable,
        "pid": os.getpid(),
        "started": time.time(),
        "params": {"lr": 0.1},
        "tags": {"team": "red"},
        "parent": None,
        "adopt": None,
        "settings": {},
        "reproduce_of": None,
        "wait_seconds": 10,
        "index": 0,
        **changes,
    }


def write_epoch(journal: Journal, epoch: int, steps: int) -> None:
    """One epoch of `steps` steps, with everything a probe reads, and a metric of the user's."""
    first = epoch * steps
    for step in range(first, first + steps):
        journal.reading("loss", "", step, 1.0 / (1 + step))
        journal.reading("grad_norm", "", step, 0.5)
        journal.reading("update_ratio", "w", step, 1e-3)
        journal.reading("update_ratio", "b", step, 3e-3)
    journal.reading("lr", "0", first, 0.1 / (1 + epoch))
    journal.reading("metric", "val_loss", first + steps - 1, 2.0 / (1 + epoch))
    journal.reading("step_seconds", "", first + steps - 1, 0.01)
    journal.event("epoch", first + steps - 1, {"epoch": epoch, "first_step": first, "last_step": first + steps - 1})
    journal.event("judge", first + steps - 1, {"phase": "epoch"})


def act(rundir: RunDir, plan: dict[str, Any]) -> None:
    """Writes `plan["epochs"]` epochs of `plan["steps"]` steps; then ends as `plan["end"]` says."""
    alive = rundir.hold_alive()
    os.environ.update(plan.get("environment", {}))
    if plan.get("launch"):
        from tracker.launcher import start_sidecar

        start_sidecar(rundir)
    journal = Journal(rundir.journal)
    journal.fact("params", 0, {"optimizer/lr": "0.1"})
    steps = plan.get("steps", 10)
    for epoch in range(plan.get("epochs", 2)):
        write_epoch(journal, epoch, steps)
        if plan.get("adopt") and epoch == 0:
            journal.event("adopt", epoch, {"mlflow_run_id": plan["adopt"]})
        time.sleep(plan.get("pause", 0.0))
    end = plan.get("end", "FINISHED")
    if end == "hang":
        time.sleep(600)
    if end == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if end == "term":
        journal.mark_signal(signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGKILL)
    if plan.get("verdict", True):
        journal.event("verdict", 0, VERDICT)
    journal.event("end", 0, {"status": end, "reason": "the block ended"})
    journal.close()
    alive.close()


def play(rundir: RunDir, **plan: Any) -> list[str]:
    """The command that plays a training in `rundir`."""
    return [sys.executable, __file__, str(rundir.path), json.dumps(plan)]


def played(rundir: RunDir, **plan: Any) -> int:
    """Plays a whole training; returns the exit status of its process."""
    return subprocess.run(play(rundir, **plan), check=False).returncode


def run_sidecar(rundir: RunDir, *options: str, **environment: str) -> int:
    """Runs a sidecar until it ends."""
    with open(rundir.path / "sidecar.log", "ab") as log:
        return subprocess.run(
            sidecar_command(*options, str(rundir.path)),
            stdout=log,
            stderr=log,
            env={**sidecar_environment(), **environment},
            check=False,
        ).returncode


def wait_for(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    """The value of `condition` once it is true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.005)
    raise AssertionError(f"nothing came within {seconds} s")


def log_of(rundir: RunDir) -> str:
    """What the sidecar had to say."""
    path = rundir.path / "sidecar.log"
    return path.read_text() if path.exists() else ""


def query(uri: str, sql: str) -> list[tuple[Any, ...]]:
    """Rows of the database behind a SQLite store."""
    database = sqlite3.connect(uri.removeprefix("sqlite:///"))
    try:
        return database.execute(sql).fetchall()
    finally:
        database.close()


def content(uri: str, run_id: str) -> dict[str, Any]:
    """All that a store has of a run, in a form in which two stores can be compared."""
    clock = ("tracker.heartbeat", "tracker.id", "mlflow.note.content")
    return {
        "metrics": sorted(
            query(uri, f"select key, step, value, is_nan, timestamp from metrics where run_uuid = '{run_id}'")
        ),
        "params": dict(query(uri, f"select key, value from params where run_uuid = '{run_id}'")),
        "tags": {
            key: value
            for key, value in query(uri, f"select key, value from tags where run_uuid = '{run_id}'")
            if key not in clock
        },
        "status": query(uri, f"select status, end_time from runs where run_uuid = '{run_id}'")[0],
    }


if __name__ == "__main__":
    act(RunDir(Path(sys.argv[1])), json.loads(sys.argv[2]))
