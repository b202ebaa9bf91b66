"""Disks that are full or cannot be written: the training goes on, and what is lost is said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tracker.rundir import RunDir

# A limit on the size of files stands for a full disk: beyond it, writing and allocating fail in the same way.
SCRIPT = """
import resource, sys
from tracker import Run, session, track
session.start_sidecar = lambda rundir: rundir.update_state(captured=True, capture_gaps=[])
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
with track(Run("full", settings={"wait_seconds": 0})) as run:
    for i in range(100_000):
        run.log(a=i, step=i)
print("trained")
"""


def train(root: Path, place: Path, limit: int) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(root)}
    environment.pop("TRACKER_STRICT")
    command = [sys.executable, "-c", SCRIPT, str(limit)]
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=120)


def test_readings_that_do_not_fit_are_counted_and_told(root, tmp_path):
    done = train(root, tmp_path, 1_500_000)

    assert done.returncode == 0
    assert done.stdout == "trained\n"
    assert "readings did not fit into" in done.stderr
    assert "TRACKER_HOME" in done.stderr
    assert "full " in done.stderr


def test_a_run_that_finds_no_room_at_all_is_not_tracked_and_leaves_no_folder(root, tmp_path):
    done = train(root, tmp_path, 500_000)

    assert done.returncode == 0
    assert done.stdout == "trained\n"
    assert "this run is not tracked: OSError" in done.stderr
    assert RunDir.all() == []


def test_a_home_that_is_a_file_is_replaced_and_that_is_said(root, tmp_path, monkeypatch):
    (tmp_path / "taken").touch()
    monkeypatch.setenv("TRACKER_HOME", str(tmp_path / "taken"))
    done = train(root, tmp_path, 50_000_000)

    assert done.stdout == "trained\n"
    assert f"{tmp_path / 'taken'} cannot be written" in done.stderr
    assert list(tmp_path.glob("tmp/soundrun-*/runs/*/spec.json"))
