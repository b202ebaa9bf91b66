"""Ranks whose run was closed without them, or never was: nothing that they wrote is lost."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from playing import query

from tests.distributed.groups import KEY, end, rank_of, write
from tracker.distributed import Place
from tracker.rules.engine.records import Reading
from tracker.rundir import RunDir
from tracker.sidecar import sync, upload_run
from tracker.stores import open_store
from tracker.stores.mlflow_writer import RunWriter

LONG_AGO = 1000.0


def left(rundir: RunDir, ago: float = LONG_AGO) -> None:
    """Makes what a process wrote as old as it is."""
    for name in ("journal.bin", "process.json", "account.json"):
        if (rundir.path / name).exists():
            os.utime(rundir.path / name, (time.time() - ago, time.time() - ago))


@pytest.fixture(autouse=True)
def _here(cwd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(cwd)


def test_a_rank_that_comes_after_the_run_was_closed_is_taken_in(cwd, uri):
    began = time.time() - LONG_AGO
    rundir, leader = rank_of(cwd, 0, uri=uri, started=began)
    write(leader, [1.0, 2.0], epoch=0)
    end(leader)
    left(rundir, LONG_AGO - 10)
    assert upload_run(rundir, patience=0.0)
    before = query(uri, "select key, step, value from metrics order by key, step")
    member, journal = rank_of(cwd, 1, uri=uri, started=began + 1)
    write(journal, [3.0, 4.0], epoch=0)
    end(journal)
    left(member, LONG_AGO - 10)

    assert [run.path for run in sync.unfinished()] == [rundir.path]
    assert upload_run(rundir, patience=0.0)
    assert not member.path.exists()
    assert rundir.read_json("capture/ranks.json")["seen"] == [0, 1]
    assert (rundir.series / "rank-1" / "part-00000.parquet").is_file()
    assert query(uri, "select key, step, value from metrics order by key, step") == before
    assert len(query(uri, "select 1 from runs")) == 1
    assert sync.unfinished() == []


def test_a_rank_whose_rank_0_was_not_tracked_becomes_a_run(cwd, uri):
    member, journal = rank_of(cwd, 1, uri=uri, started=time.time() - LONG_AGO, name="last rank")
    write(journal, [3.0, 4.0], epoch=0)
    end(journal)
    left(member)
    (run,) = sync.unfinished()
    done = upload_run(run, patience=0.0)
    store = open_store(uri)
    stored = [r.value for _, r in store.records(run.path.name) if isinstance(r, Reading) and r.signal == "loss"]

    assert done
    assert run.path == member.path.parents[2] / "runs" / run.path.name
    assert store.find(run.path.name).name == "last rank (rank 1)"
    assert store.tags(run.path.name)["rank"] == "1"
    assert stored == [3.0, 4.0]


@pytest.mark.parametrize("was_stored", [False, True])
def test_a_run_that_turned_out_to_be_part_of_another_is_not_there_twice(cwd, uri, was_stored):
    rundir, journal = rank_of(cwd, 0, 1, uri=uri)
    if was_stored:
        writer = RunWriter(uri, cwd)
        writer.use_experiment(None)
        writer.find_or_create(rundir.path.name, "late", time.time(), {})
        run_id = query(uri, "select run_uuid from runs")[0][0]
        rundir.update_state(mlflow_run_id=run_id, created=True, tracking_uri=uri)
    journal.fact("place", 0, Place(1, 2, 1, 0, KEY).as_json())
    write(journal, [1.0], epoch=0)
    end(journal)

    assert upload_run(rundir, patience=0.0)
    assert rundir.state["joined"]
    assert query(uri, "select 1 from runs where lifecycle_stage = 'active'") == []
    assert len(query(uri, "select 1 from runs")) == int(was_stored)


def test_a_rank_on_a_machine_without_rank_0_says_that_its_run_is_elsewhere(cwd, uri):
    member, journal = rank_of(cwd, 1, uri=uri, started=time.time() - LONG_AGO, node=1)
    end(journal)
    left(member)

    assert [one.path for one in sync.bring_back_ranks()] == [member.path]
    assert sync.unfinished() == []
    assert member.path.is_dir()


def test_a_rank_that_just_began_is_left_alone(cwd, uri):
    member, _ = rank_of(cwd, 1, uri=uri)

    assert sync.unfinished() == []
    assert member.path.is_dir()


def test_folders_of_ranks_are_removed_only_once_their_run_has_a_copy(cwd, uri):
    kept, journal = rank_of(cwd, 1, uri=uri, started=time.time() - LONG_AGO)
    end(journal)
    copied, journal = rank_of(cwd, 2, 3, uri=uri, started=time.time() - LONG_AGO)
    end(journal)
    copied.write_json("taken.json", {"run": "x"})
    for rundir in (kept, copied):
        left(rundir, 40 * 86400)

    assert sync.prune() == [copied.path.name]
    assert kept.path.is_dir()
