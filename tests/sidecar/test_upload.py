"""Runs as they end up in a real store, fed by real sidecar processes."""

from __future__ import annotations

import json
import math
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from playing import content, log_of, make_spec, play, played, query, run_sidecar, wait_for, write_epoch

from tracker.journal import Journal, JournalReader
from tracker.launcher import sidecar_command, sidecar_environment
from tracker.rundir import RunDir
from tracker.sidecar import pace
from tracker.stores import open_store
from tracker.stores.series import part_name

Start = Callable[..., "subprocess.Popen[bytes]"]
Upload = Callable[[RunDir], bool]


def test_a_run_is_whole_in_the_store_after_it_has_ended(cwd: Path, fresh_uri: str) -> None:
    rundir = RunDir.create(make_spec(cwd, None, script=str(cwd / "train.py")))
    played(rundir, launch=True, epochs=3)
    state = wait_for(lambda: rundir.state.get("finished") and rundir.state)
    store = open_store(None, cwd)
    info = store.find(rundir.path.name)
    tags, params = store.tags(info.run_id), store.params(info.run_id)
    points = query(fresh_uri, "select key, step, value from metrics where key in ('train/loss', 'val_loss', 'epoch')")

    assert (info.status, info.name, info.experiment) == ("FINISHED", "played", "plays"), log_of(rundir)
    assert info.run_id == state["mlflow_run_id"]
    assert state["store"] == "ok"
    assert params == {"lr": "0.1", "optimizer/lr": "0.1"}
    assert tags["suspicious"] == "true"
    assert tags["rules.fired"] == "|double-softmax|loss-not-decreasing|"
    assert tags["tracker.ended"] == "the block ended"
    assert tags["team"] == "red"
    assert "Remove the softmax" in tags["mlflow.note.content"]
    assert len(points) == 9
    assert {step for key, step, _ in points if key == "val_loss"} == {9, 19, 29}


def test_the_series_in_the_store_is_the_journal(cwd: Path, uri: str, upload_here: Upload) -> None:
    rundir = RunDir.create(make_spec(cwd, uri))
    played(rundir, epochs=2)
    upload_here(rundir)
    journal = list(JournalReader(rundir.journal).read())

    assert list(open_store(uri).records(rundir.path.name)) == journal
    assert len(journal) > 80


def test_short_epochs_are_not_a_part_each_and_long_ones_are(cwd: Path, uri: str, upload_here: Upload) -> None:
    rundir = RunDir.create(make_spec(cwd, uri))
    journal = Journal(rundir.journal)
    for epoch in range(100):
        write_epoch(journal, epoch, 5)
    now = time.time()
    for epoch in range(100, 103):
        journal.clock(now + 100 * epoch)
        for step in range(epoch * 5, epoch * 5 + 5):
            journal.reading("loss", "", step, 1.0)
            journal.clock(now + 100 * epoch + 70)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "time", lambda at=now + 100 * epoch + 70: at)
            journal.event("epoch", epoch * 5 + 4, {"epoch": epoch})
    journal.event("end", 0, {"status": "FINISHED", "reason": "x"})
    journal.close()
    upload_here(rundir)
    parts = sorted(path.name for path in rundir.series.iterdir())

    assert parts == [part_name(number) for number in range(4)]
    assert list(open_store(uri).records(rundir.path.name)) == list(JournalReader(rundir.journal).read())


def test_the_end_of_a_run_waits_for_no_rest(
    cwd: Path, uri: str, start: Start, upload_here: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One rest here lasts for ever: what is written in it is uploaded all the same, once the run has ended."""
    monkeypatch.setattr(pace, "SHORTEST", math.inf)
    monkeypatch.setattr(pace, "LONGEST", math.inf)
    rundir = RunDir.create(make_spec(cwd, uri))
    alive = start(sys.executable, "-c", _ALIVE, str(rundir.path), stdin=subprocess.PIPE)
    wait_for(rundir.is_alive)
    journal = Journal(rundir.journal)
    journal.reading("metric", "val_loss", 1, 0.5)
    sidecar = threading.Thread(target=upload_here, args=[rundir])
    sidecar.start()
    wait_for(lambda: rundir.state.get("synced"))
    journal.reading("metric", "val_loss", 2, 0.25)
    early = query(uri, "select step from metrics where key = 'val_loss'")
    journal.event("end", 2, {"status": "FINISHED", "reason": "x"})
    journal.close()
    alive.communicate(b"")
    sidecar.join(60)

    assert early == [(1,)]
    assert rundir.state["finished"]
    assert sorted(query(uri, "select step from metrics where key = 'val_loss'")) == [(1,), (2,)]


def test_a_run_that_goes_on_is_read_and_uploaded_after_a_rest(
    cwd: Path, uri: str, start: Start, upload_here: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "LONGEST", 0.1)
    rundir = RunDir.create(make_spec(cwd, uri))
    alive = start(sys.executable, "-c", _ALIVE, str(rundir.path), stdin=subprocess.PIPE)
    wait_for(rundir.is_alive)
    journal = Journal(rundir.journal)
    sidecar = threading.Thread(target=upload_here, args=[rundir])
    sidecar.start()
    for step in range(1, 4):
        journal.reading("metric", "val_loss", step, 0.5)
        wait_for(lambda step=step: (step,) in _steps_of(uri, rundir))
    alive.communicate(b"")
    journal.close()
    sidecar.join(60)

    assert rundir.state["finished"]


def _steps_of(uri: str, rundir: RunDir) -> list[tuple[int]]:
    run_id = rundir.state.get("mlflow_run_id")
    return query(uri, f"select step from metrics where key = 'val_loss' and run_uuid = '{run_id}'")


def test_findings_grade_and_parameters_are_artifacts(cwd: Path, uri: str, tmp_path: Path, upload_here: Upload) -> None:
    rundir = RunDir.create(make_spec(cwd, uri))
    played(rundir)
    upload_here(rundir)
    store = open_store(uri)
    machine = json.loads(store.artifacts_to(rundir.path.name, "findings.json", tmp_path).read_text())
    page = store.artifacts_to(rundir.path.name, "findings.md", tmp_path).read_text()
    params = json.loads(store.artifacts_to(rundir.path.name, "params.json", tmp_path).read_text())
    proof = json.loads(store.artifacts_to(rundir.path.name, "reproducibility.json", tmp_path).read_text())

    assert machine["findings"][0]["rule"] == "double-softmax"
    assert machine["run_id"] == rundir.state["mlflow_run_id"]
    assert "| dead-units | no activation was measured |" in page
    assert params["params"] == {"lr": 0.1, "optimizer/lr": "0.1"}
    assert proof["grade"] == machine["grade"] == store.tags(rundir.path.name)["repro.grade"]


def test_a_run_killed_with_kill_9_is_closed_as_lost(cwd: Path, uri: str) -> None:
    rundir = RunDir.create(make_spec(cwd, uri))
    status = played(rundir, end="kill", epochs=2)
    run_sidecar(rundir)
    tags = open_store(uri).tags(rundir.path.name)

    assert status == -signal.SIGKILL
    assert open_store(uri).find(rundir.path.name).status == "FAILED"
    assert tags["tracker.ended"].startswith("lost: ")
    assert tags["suspicious"] in ("true", "false", "unknown")
    assert len(query(uri, "select 1 from metrics where key = 'val_loss'")) == 2


def test_a_run_ended_by_a_signal_is_killed(cwd: Path, uri: str, upload_here: Upload) -> None:
    rundir = RunDir.create(make_spec(cwd, uri))
    played(rundir, end="term")
    upload_here(rundir)

    assert open_store(uri).find(rundir.path.name).status == "KILLED"
    assert open_store(uri).tags(rundir.path.name)["tracker.ended"] == "killed by SIGTERM"


_MOMENTS = {
    "captured": lambda rundir: rundir.state.get("captured"),
    "created": lambda rundir: rundir.state.get("mlflow_run_id"),
    "some uploaded": lambda rundir: rundir.state.get("synced"),
    "closing": lambda rundir: (rundir.path / "findings.json").exists(),
}


@pytest.mark.parametrize(
    "moment", [pytest.param(name, marks=[] if name == "some uploaded" else pytest.mark.slow) for name in _MOMENTS]
)
def test_a_sidecar_killed_at_any_point_loses_and_doubles_nothing(
    cwd: Path, uri: str, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: Path, moment: str
) -> None:
    """The same journal is uploaded once without, and once with a kill; the stores must hold the same."""
    spec = make_spec(cwd, uri)
    rundir = RunDir.create(spec)
    played(rundir, epochs=3, steps=5000)
    sidecar = start(*sidecar_command(str(rundir.path)), env=sidecar_environment())
    wait_for(lambda: _MOMENTS[moment](rundir))
    sidecar.kill()
    sidecar.wait()
    was_finished = bool(rundir.state.get("finished"))
    run_sidecar(rundir, "--sync")
    (tmp_path / "other").mkdir()
    other_uri = f"sqlite:///{tmp_path / 'other' / 'mlflow.db'}"
    shutil.copy(database, tmp_path / "other" / "mlflow.db")
    monkeypatch.setenv("TRACKER_HOME", str(tmp_path / "other-home"))
    other = RunDir.create({**spec, "tracking_uri": other_uri})
    shutil.copy(rundir.journal, other.journal)
    run_sidecar(other)
    left, right = content(uri, rundir.state["mlflow_run_id"]), content(other_uri, other.state["mlflow_run_id"])

    assert not was_finished
    assert rundir.state["finished"], log_of(rundir)
    assert left == right
    assert list(open_store(uri).records(spec["id"])) == list(JournalReader(rundir.journal).read())
    assert len(query(uri, "select 1 from runs")) == 1


def test_an_upload_done_twice_changes_nothing(cwd: Path, uri: str, upload_here: Upload) -> None:
    rundir = RunDir.create(make_spec(cwd, uri))
    played(rundir, epochs=3)
    upload_here(rundir)
    once = content(uri, rundir.state["mlflow_run_id"])
    kept = {key: rundir.state[key] for key in ("captured", "capture", "tracking_uri")}
    rundir.write_json("state.json", kept)
    upload_here(rundir)

    assert content(uri, rundir.state["mlflow_run_id"]) == once
    assert len(query(uri, "select 1 from runs")) == 1


def test_values_that_are_not_finite_and_hostile_keys_arrive(
    cwd: Path, uri: str, tmp_path: Path, upload_here: Upload
) -> None:
    rundir = RunDir.create(make_spec(cwd, uri, params={"a@b": "x" * 9000, "none": None, "": 1, "é": "\0"}))
    journal = Journal(rundir.journal)
    for key, value in {"acc@5": 0.5, "a//b": 1.0, "../up": 2.0, "nan": math.nan, "inf": -math.inf, "": 3.0}.items():
        journal.reading("metric", key, 7, value)
        journal.reading("metric", key, 7, value)
    journal.event("end", 0, {"status": "FINISHED", "reason": "x"})
    journal.close()
    upload_here(rundir)
    stored = {key: (value, nan) for key, value, nan in query(uri, "select key, value, is_nan from metrics")}
    renamed = json.loads(open_store(uri).artifacts_to(rundir.path.name, "params.json", tmp_path).read_text())
    params = open_store(uri).params(rundir.path.name)

    assert stored["acc_x405"] == (0.5, 0)
    assert stored["nan"] == (0.0, 1)
    assert stored["inf"][0] < -1e308
    assert stored["a/_/b"][0] == 1.0
    assert stored["_x2E_x2E/up"][0] == 2.0
    assert renamed["renamed"]["acc_x405"] == "acc@5"
    assert renamed["params"]["a@b"] == "x" * 9000
    assert len(params["a_x40b"]) == 6000
    assert params["none"] == "None"
    assert rundir.state["finished"]


def test_a_run_the_user_has_already_is_adopted_and_not_closed(cwd: Path, uri: str, upload_here: Upload) -> None:
    theirs = _run_of_the_user(uri)
    rundir = RunDir.create(make_spec(cwd, uri, adopt=theirs))
    played(rundir)
    upload_here(rundir)
    tags = open_store(uri).tags(theirs)

    assert rundir.state["mlflow_run_id"] == theirs
    assert open_store(uri).find(rundir.path.name).status == "RUNNING"
    assert len(query(uri, "select 1 from runs")) == 1
    assert tags["mlflow.note.content"].startswith("their words\n\n<!-- tracker:begin -->")
    assert tags["mlflow.source.name"] == "theirs"


@pytest.mark.slow
def test_a_run_adopted_later_takes_everything_and_ours_is_deleted(cwd: Path, uri: str, start: Start) -> None:
    theirs = _run_of_the_user(uri)
    rundir = RunDir.create(make_spec(cwd, uri))
    alive = start(sys.executable, "-c", _ALIVE, str(rundir.path), stdin=subprocess.PIPE)
    journal = Journal(rundir.journal)
    journal.reading("metric", "val_loss", 1, 0.5)
    sidecar = start(*sidecar_command(str(rundir.path)), env=sidecar_environment())
    ours = wait_for(lambda: rundir.state.get("synced") and rundir.state["mlflow_run_id"])
    journal.event("adopt", 1, {"mlflow_run_id": theirs})
    journal.reading("metric", "val_loss", 2, 0.25)
    wait_for(lambda: rundir.state.get("mlflow_run_id") == theirs)
    journal.event("end", 2, {"status": "FINISHED", "reason": "x"})
    journal.close()
    alive.communicate(b"")
    sidecar.wait(30)
    stages = dict(query(uri, "select run_uuid, lifecycle_stage from runs"))

    assert ours != theirs
    assert stages == {ours: "deleted", theirs: "active"}
    assert len(query(uri, f"select 1 from metrics where run_uuid = '{theirs}' and key = 'val_loss'")) == 2


def test_a_nested_run_hangs_below_its_parent(cwd: Path, uri: str, upload_here: Upload) -> None:
    parent = RunDir.create(make_spec(cwd, uri))
    played(parent)
    upload_here(parent)
    child = RunDir.create(make_spec(cwd, uri, parent=parent.path.name))
    played(child)
    upload_here(child)

    assert open_store(uri).tags(child.path.name)["mlflow.parentRunId"] == parent.state["mlflow_run_id"]


def test_metrics_that_the_users_own_call_stored_are_not_stored_again(cwd: Path, uri: str, upload_here: Upload) -> None:
    rundir = RunDir.create(make_spec(cwd, uri))
    journal = Journal(rundir.journal)
    journal.reading("metric/mlflow", "loss", 1, 0.5)
    journal.reading("loss", "", 1, 0.75)
    journal.event("end", 1, {"status": "FINISHED", "reason": "x"})
    journal.close()
    upload_here(rundir)

    assert query(uri, "select key, value from metrics where key like '%loss%'") == [("tracker/loss", 0.75)]


@pytest.mark.slow
def test_four_runs_that_start_at_once_in_a_fresh_folder_all_arrive(cwd: Path, fresh_uri: str, start: Start) -> None:
    rundirs = [RunDir.create(make_spec(cwd, None)) for _ in range(4)]
    for rundir in rundirs:
        played(rundir)
    sidecars = [start(*sidecar_command(str(rundir.path)), env=sidecar_environment()) for rundir in rundirs]
    codes = [sidecar.wait(120) for sidecar in sidecars]

    assert codes == [0, 0, 0, 0]
    assert query(fresh_uri, "select status from runs") == [("FINISHED",)] * 4
    assert len(query(fresh_uri, "select 1 from experiments where name = 'plays'")) == 1


@pytest.mark.slow
def test_a_users_own_modules_do_not_shadow_ours(cwd: Path, uri: str) -> None:
    for name in ("tracker", "mlflow", "pydantic", "json"):
        (cwd / f"{name}.py").write_text("raise SystemExit('shadowed')")
    (cwd / "rules").mkdir()
    (cwd / "rules" / "__init__.py").write_text("raise SystemExit('shadowed')")
    rundir = RunDir.create(make_spec(cwd, None, sys_path=[str(cwd), *make_spec(cwd, None)["sys_path"]]))
    subprocess.run(play(rundir, launch=True, environment={"PYTHONPATH": str(cwd)}), cwd=cwd, check=True)
    wait_for(lambda: rundir.state.get("finished"))

    assert query(uri, "select status from runs") == [("FINISHED",)]


def _run_of_the_user(uri: str) -> str:
    """Made by plain MLflow code."""
    client = MlflowClient(uri)
    tags = {"mlflow.note.content": "their words", "mlflow.source.name": "theirs"}
    return str(
        client.create_run(
            client.create_experiment("theirs", f"{uri.removeprefix('sqlite:///')}-artifacts"), tags=tags
        ).info.run_id
    )


_ALIVE = """
import sys
from pathlib import Path
from tracker.rundir import RunDir
alive = RunDir(Path(sys.argv[1])).hold_alive()
sys.stdin.read()
"""
