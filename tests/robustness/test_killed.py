"""Trainings and sidecars that are killed at any moment: after `tracker sync` the run is whole, and nothing is twice."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tracker.journal import JournalReader
from tracker.rules.engine.records import Event, Reading
from tracker.rundir import RunDir
from tracker.sidecar.sync import sync_run
from tracker.stores import open_store

SCRIPT = """
import time, torch
from tracker import Run, track
torch.set_num_threads(1)
model = torch.nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), 0.1)
x, y = torch.randn(16, 4), torch.randint(0, 2, (16,))
with track(Run("killed", settings={"wait_seconds": 120})) as run:
    for epoch in run.epochs(12):
        for _ in range(20):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            time.sleep(0.005)
        run.log(val_loss=loss.item())
"""


def until(condition: Callable[[], Any], seconds: float = 90.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"nothing came within {seconds} s")


def sidecar_of(rundir: RunDir) -> int | None:
    """Process id of the sidecar of a run; the shell that starts it is not meant."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(rundir.path).encode() in words and not words[0].endswith(b"sh"):
            return int(entry.name)
    return None


@pytest.fixture
def place(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    work = tmp_path / "work"
    work.mkdir()
    (work / "train.py").write_text(SCRIPT)
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.delenv("TRACKER_STRICT")
    return work


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "victims"),
    [(0.05, "training"), (1.5, "training"), (0.0, "sidecar"), (2.0, "sidecar"), (0.7, "both"), (3.0, "both")],
)
def test_what_was_recorded_is_in_the_store(place: Path, seconds: float, victims: str) -> None:
    training = subprocess.Popen(
        [sys.executable, "train.py"], cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    rundir = until(lambda: next(iter(RunDir.all()), None))
    if victims != "training":
        found = until(lambda: sidecar_of(rundir) or training.poll() is not None)
    time.sleep(seconds)
    if victims != "sidecar":
        training.kill()
    if victims != "training" and sidecar_of(rundir) == found:
        os.kill(found, signal.SIGKILL)
    training.communicate(timeout=120)
    if victims == "sidecar":  # the training starts another one when it ends, and waits for that
        assert rundir.state.get("finished")
    answer = sync_run(rundir)
    uri = f"sqlite:///{place / 'mlflow.db'}"
    client, store = MlflowClient(uri), open_store(uri)
    records = [record for _, record in JournalReader(rundir.journal).read()] if rundir.journal.exists() else []
    logged = [(r.step, r.value) for r in records if isinstance(r, Reading) and r.signal == "metric"]
    has_ended = any(isinstance(record, Event) and record.name == "end" for record in records)
    assert answer.result == "whole", (answer, (rundir.path / "sidecar.log").read_text())
    [run] = client.search_runs([e.experiment_id for e in client.search_experiments()])
    history = client.get_metric_history(run.info.run_id, "val_loss") if logged else []

    assert run.info.status == ("FINISHED" if has_ended else "FAILED")
    assert run.data.tags.get("tracker.ended", "")[:4] == ("" if has_ended else "lost")
    assert run.data.tags["suspicious"] in ("true", "false", "unknown")
    assert sorted((point.step, point.value) for point in history) == sorted(logged)
    assert len(list(store.records(run.info.run_id))) == len(records) or not records
    shutil.rmtree(place)
