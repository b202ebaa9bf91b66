"""Real trainings of two ranks: one run in MLflow, whatever becomes of them."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playing import query

from tests.distributed.groups import ROOT, start_ranks, until
from tracker.journal import JournalReader
from tracker.rules.engine.records import Event, Fact, Reading
from tracker.rules.engine.replay import replay
from tracker.rules.engine.settings import Settings
from tracker.rundir import RunDir, home
from tracker.stores import open_store

SCRIPT = str(ROOT / "tests" / "distributed" / "train.py")
COMMAND = [sys.executable, SCRIPT]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]

Said = list[tuple[int, bytes, bytes]]


def train(start: Callable[..., Any], cwd: Path, *what: str, **variables: str) -> Said:
    """Runs two ranks to their end; (exit status, stdout, stderr) of each."""
    processes = start_ranks(start, [*COMMAND, *what], cwd, **variables)
    said = [process.communicate(timeout=120) for process in processes]
    return [(process.returncode, *texts) for process, texts in zip(processes, said, strict=True)]


def the_run(finished: bool = True) -> RunDir:
    """The one run there is, whole in its store."""

    def found() -> RunDir | None:
        runs = [run for run in RunDir.all() if not run.state.get("joined")]
        return runs[0] if len(runs) == 1 and (runs[0].state.get("finished") or not finished) else None

    return until(found)


def stored_runs(uri: str) -> list[str]:
    """The MLflow runs of a store that are not deleted."""
    return [row[0] for row in query(uri, "select run_uuid from runs where lifecycle_stage = 'active'")]


def records(rundir: RunDir, rank: int = 0) -> list[Any]:
    path = rundir.journal if not rank else rundir.path / f"journal-{rank}.bin"
    return [record for _, record in JournalReader(path).read()]


def losses(found: list[Any]) -> list[float]:
    return [record.value for record in found if isinstance(record, Reading) and record.signal == "loss"]


def fact(found: list[Any], name: str) -> Any:
    return [record.value for record in found if isinstance(record, Fact) and record.name == name][-1]


def gaps(rundir: RunDir) -> list[str]:
    return [gap["what"] for gap in rundir.read_json("reproducibility.json")["gaps"]]


def replayed(rundir: RunDir) -> Any:
    """The verdict of a replay, and the one that was said."""
    kept = records(rundir)
    said = next(record.data for record in kept if isinstance(record, Event) and record.name == "verdict")
    trace, engine = replay(kept, Settings.load(rundir.spec["settings"]))
    return json.loads(json.dumps(engine.verdict(trace).as_json())), json.loads(json.dumps(said))


def test_two_ranks_are_one_run(start, cwd, uri):
    (status_0, out_0, err_0), (status_1, out_1, err_1) = train(start, cwd, "mlflow")
    rundir = the_run()
    (run_id,) = stored_runs(uri)
    first, second = losses(records(rundir)), losses(records(rundir, 1))
    curve = query(uri, "select value from metrics where key = 'loss' order by step")
    values = query(uri, "select key, value from metrics where key in ('val_loss', 'own') order by key, step")
    told = fact(records(rundir), "ranks")
    verdict, said = replayed(rundir)

    assert (status_0, status_1) == (0, 0), err_0 + err_1
    assert out_0 == out_1 == b"epochs 4\n"
    assert err_1 == b""
    assert b"finished" in err_0
    assert run_id == rundir.state["mlflow_run_id"] == (cwd / "mlflow-0").read_text() == (cwd / "mlflow-1").read_text()
    assert len(first) == len(second) == 20
    assert first != second
    assert [value for (value,) in curve] == [(a + b) / 2 for a, b in zip(first, second, strict=True)]
    assert values == [("own", 0.0)] * 4 + [("val_loss", 0.5)] * 4
    assert told == {"world_size": 2, "seen": [0, 1], "differ": {}, "nonfinite": {}, "faults": {}}
    assert verdict == said
    assert "the run is 2 processes that train together, and a re-run starts one" in gaps(rundir)
    assert open_store(uri).tags(run_id)["tracker.world_size"] == "2"
    assert rundir.read_json("capture/ranks.json")["ended"]["1"] == {"status": "FINISHED", "reason": "", "steps": 20}
    assert not list((home() / "groups").iterdir())


@pytest.mark.slow
def test_what_is_not_finite_on_another_rank_reaches_the_verdict_and_a_replay(start, cwd, uri):
    said = train(start, cwd, "nan 1")
    rundir = the_run()
    told = fact(records(rundir), "ranks")
    verdict, live = replayed(rundir)
    finding = next(found for found in live["findings"] if found["rule"] == "nonfinite-loss")

    assert [status for status, _, _ in said] == [0, 0], said
    assert told["nonfinite"]["1"]["loss"]["step"] == finding["first_step"] == 7
    assert math.isnan(losses(records(rundir))[-1])
    assert live["suspicious"] == "true"
    assert verdict == live


@pytest.mark.slow
def test_a_stop_is_obeyed_by_all_ranks_after_the_same_epoch(start, cwd, uri):
    said = train(start, cwd, "nan 0", "stop")

    assert [status for status, _, _ in said] == [0, 0], said
    assert [out for _, out, _ in said] == [b"epochs 3\n"] * 2  # found in the second, announced for the fourth


@pytest.mark.slow
def test_replicas_that_do_not_exchange_gradients_are_told_apart(start, cwd, uri):
    train(start, cwd, "diverge")
    differ = fact(records(the_run()), "ranks")["differ"]

    assert set(differ) == {"weights/end"}
    assert set(differ["weights/end"]) == {"0", "1"}


@pytest.mark.slow
@pytest.mark.parametrize(("killed", "status"), [(1, "FAILED"), (0, "FAILED")])
def test_a_rank_that_is_killed_ends_the_run_and_nobody_waits_for_ever(start, cwd, uri, killed, status):
    """torchrun ends the other rank, as it does without us."""
    began = time.monotonic()
    done = subprocess.run(
        [*TORCHRUN, SCRIPT, f"kill {killed}"],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=120,
    )
    rundir = the_run()
    ended = rundir.read_json("capture/ranks.json")["ended"]["1"]

    assert done.returncode == 1
    assert time.monotonic() - began < 110
    assert len(stored_runs(uri)) == 1
    assert len(losses(records(rundir))) in (12, 13)
    assert len(losses(records(rundir, 1))) in (12, 13)
    if killed:
        assert ended["reason"].startswith("lost: ")
        assert any(gap.startswith("rank 1 is lost") for gap in gaps(rundir))
    else:
        assert rundir.state["status"] == status
        assert open_store(uri).tags(rundir.path.name)["tracker.ended"].startswith("lost: ")


@pytest.mark.slow
def test_ranks_that_meet_inside_the_block_become_one_run(cwd, uri):
    """mp.spawn without a word in the environment: until they meet, each takes itself for a run of its own."""
    done = subprocess.run(
        [*COMMAND, "late"], cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, timeout=120
    )
    rundir = the_run()
    until(lambda: all(run.state.get("finished") for run in RunDir.all()))

    assert done.returncode == 0, done.stderr
    assert done.stderr.count(b"finished") == 1
    assert len(stored_runs(uri)) == 1
    assert fact(records(rundir), "ranks")["seen"] == [0, 1]
    assert len(losses(records(rundir, 1))) == 20
    assert rundir.spec["orig_argv"][1:] == [SCRIPT, "late"]


@pytest.mark.slow
def test_a_script_that_tracks_rank_0_alone_says_which_rank_is_missing(start, cwd, uri):
    said = train(start, cwd, "alone")
    rundir = the_run()

    assert [status for status, _, _ in said] == [0, 0], said
    assert "rank 1 of 2 was not seen on this machine" in gaps(rundir)
    assert fact(records(rundir), "ranks")["seen"] == [0]


@pytest.mark.slow
def test_each_attempt_of_torchelastic_is_a_run(cwd, uri):
    done = subprocess.run(
        [*TORCHRUN, "--max-restarts", "1", SCRIPT, "fail 0"],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=180,
    )
    until(lambda: len(RunDir.all()) == 2 and all(run.state.get("finished") for run in RunDir.all()))
    tags = [open_store(uri).tags(run.path.name) for run in RunDir.all()]

    assert done.returncode == 1
    assert [tag.get("tracker.attempt") for tag in tags] == [None, "1"]
    assert [run.state["status"] for run in RunDir.all()] == ["FAILED", "FAILED"]
    assert [run.read_json("capture/ranks.json")["seen"] for run in RunDir.all()] == [[0, 1], [0, 1]]
