"""Whom `tracker run` makes wait for the store, and whom not."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tracker.rundir import RunDir

TRACKER = (sys.executable, "-c", "import sys; del sys.path[0]; from tracker.cli import main; main()", "run")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path) -> Path:
    """A folder with a script that trains nothing; its store is waited for as long as it takes, if at all."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "prepare.py").write_text("print(1)\n")
    (folder / "pyproject.toml").write_text("[tool.tracker]\nwait_seconds = 100\n")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.delenv("TRACKER_STRICT")
    monkeypatch.chdir(folder)
    return folder


def observed(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*TRACKER, *words], capture_output=True, timeout=120, text=True)


def finished(seconds: float = 60.0) -> dict[str, object]:
    """The state of the only run, once it is whole."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        runs = RunDir.all()
        if runs and runs[0].state.get("finished"):
            return runs[0].state
        time.sleep(0.05)
    raise AssertionError(f"the run was not whole within {seconds:g} s")


def test_a_command_that_trained_nothing_is_not_held_up_for_its_store(place: Path) -> None:
    done = observed("prepare.py")
    was_finished = bool(RunDir.all()[0].state.get("finished"))

    assert (done.returncode, done.stdout) == (0, "1\n")
    assert not was_finished  # a store that does not exist yet takes seconds to make
    assert "uploaded in the background" in " ".join(done.stderr.split())
    assert finished()["status"] == "FINISHED"


@pytest.mark.slow
def test_who_asks_for_the_machine_form_gets_it_whole(place: Path) -> None:
    observed("--json-out", "v.json", "prepare.py")
    form = json.loads((place / "v.json").read_text())
    state = finished(0.1)

    assert form["run_id"] == state["mlflow_run_id"]
    assert form["suspicious"] == "unknown"
    assert "no training was seen" in form["why"]
    assert form["grade"] == state["grade"]
