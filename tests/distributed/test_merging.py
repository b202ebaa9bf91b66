"""What the ranks of one run wrote becomes one curve, and the folder of one run."""

from __future__ import annotations

import json
import math
import os
import time

import pytest

from tests.distributed.groups import KEY, end, living, rank_of, until, write
from tracker.distributed import Place, announce, members_of
from tracker.journal import JournalReader
from tracker.rules.engine.records import Event, Reading
from tracker.rundir import RunDir
from tracker.sidecar import ranks, upload_run
from tracker.sidecar.ending import LOST
from tracker.sidecar.feed import Point
from tracker.sidecar.ranks import Ranks, merge, reduction_of
from tracker.sidecar.reading import Follower, other_processes
from tracker.stores import open_store
from tracker.stores.series import read_parts

PLACE = Place(0, 2, 0, 0, KEY)


def points(follower: Follower, key: str = "loss") -> list[tuple[int, float]]:
    """The points of a metric as they would be uploaded; what is held back for the names of the user's is given out."""
    while follower.advance():
        pass
    follower.finish()
    return [(e.step, e.value) for e in follower.pending if isinstance(e, Point) and e.key == key]


@pytest.mark.parametrize(
    ("how", "values", "one"),
    [
        ("mean", [1.0, 2.0, 6.0], 3.0),
        ("sum", [1.0, 2.0, 6.0], 9.0),
        ("max", [1.0, 7.0, 6.0], 7.0),
        ("norm", [3.0, 4.0], 5.0),
        ("same", [3.0, 4.0], 3.0),
        ("mean", [0.1, 0.1, 0.1], 0.1),
        ("norm", [0.3, 0.3], 0.3),
        ("mean", [math.inf, 1.0], math.inf),
    ],
)
def test_readings_merge_as_their_signal_says_and_what_is_the_same_stays_so(how, values, one):
    assert merge(how, values) == one


@pytest.mark.parametrize("how", ["mean", "sum", "max", "norm"])
def test_one_rank_without_a_number_makes_the_whole_none(how):
    assert math.isnan(merge(how, [1.0, math.nan]))
    assert math.isnan(merge(how, [math.nan, 1.0]))


def test_every_signal_that_becomes_a_metric_of_its_own_is_merged():
    assert reduction_of(Reading("loss", "", 0, 1.0)) == "mean"
    assert reduction_of(Reading("grad_norm", "", 0, 1.0)) == "norm"
    assert reduction_of(Reading("grad_norm", "fc.weight", 0, 1.0)) == "same"
    assert reduction_of(Reading("metric", "val_loss", 0, 1.0)) == "mean"
    assert reduction_of(Reading("metric/mlflow", "val_loss", 0, 1.0)) == "same"
    assert reduction_of(Reading("not/declared", "", 0, 1.0)) == "same"


def test_the_curve_of_a_run_is_that_of_all_ranks(cwd):
    rundir, leader = rank_of(cwd, 0)
    _, member = rank_of(cwd, 1)
    write(leader, [1.0, 2.0, 3.0], epoch=0)
    write(member, [3.0, 4.0, 5.0], epoch=0)
    end(leader)
    end(member)

    assert points(Follower(rundir)) == [(0, 2.0), (1, 3.0), (2, 4.0)]


def test_backwards_of_one_step_are_merged_one_by_one(cwd):
    rundir, leader = rank_of(cwd, 0)
    _, member = rank_of(cwd, 1)
    for journal, losses in ((leader, (1.0, 2.0)), (member, (3.0, 6.0))):
        for loss in losses:
            journal.reading("loss", "", 0, loss)
        end(journal)

    assert points(Follower(rundir)) == [(0, 2.0), (0, 4.0)]


def test_what_a_rank_does_not_say_is_left_to_the_others(cwd):
    rundir, leader = rank_of(cwd, 0)
    _, member = rank_of(cwd, 1)
    write(leader, [1.0] * 20)
    leader.reading("metric", "val_loss", 5, 0.5)
    write(member, [3.0] * 2)
    write(member, [3.0] * 10, first=10)
    end(leader)
    end(member)
    follower = Follower(rundir)
    merged = points(follower)
    user = [(e.step, e.value) for e in follower.pending if isinstance(e, Point) and e.key == "val_loss"]

    assert merged == [(step, 1.0 if 2 <= step < 10 else 2.0) for step in range(20)]
    assert user == [(5, 0.5)]


def test_a_reading_waits_for_a_rank_that_lives_and_has_not_come_so_far(cwd, start):
    rundir, leader = rank_of(cwd, 0)
    other, member = rank_of(cwd, 1)
    living(other, start)
    write(leader, [1.0, 1.0])
    write(member, [3.0])
    follower = Follower(rundir)
    while follower.advance():
        pass
    waited = follower.is_waiting, follower.read
    write(member, [5.0], first=1)

    assert waited == (True, 2)  # the fact of the place and the first loss
    assert follower.advance()
    assert not follower.is_waiting
    assert [point[1] for point in points(follower)] == [2.0, 3.0]


def test_nobody_waits_for_long_and_a_second_sidecar_merges_the_same(cwd, start, monkeypatch):
    monkeypatch.setattr(ranks, "LAST_LAG", 0.0)
    rundir, leader = rank_of(cwd, 0)
    other, member = rank_of(cwd, 1)
    living(other, start)
    write(leader, [1.0, 1.0, 1.0])
    write(member, [3.0])
    follower = Follower(rundir)

    def gave_up() -> bool:
        follower.advance()
        return not follower.is_waiting and follower.read == 4

    until(gave_up)
    write(member, [9.0, 9.0], first=1)
    again = Follower(rundir)

    assert points(follower) == points(again) == [(0, 2.0), (1, 1.0), (2, 1.0)]
    assert rundir.state["without"] == {"1": 2}


@pytest.mark.parametrize(("member_losses", "patience"), [(None, "UNSEEN"), ([3.0], "LAG"), ([3.0, 3.0], "IN_STEP_LAG")])
def test_while_a_run_goes_on_patience_depends_on_how_far_a_rank_is(cwd, start, monkeypatch, member_losses, patience):
    rundir, leader = rank_of(cwd, 0)
    living(rundir, start)
    if member_losses is not None:
        other, member = rank_of(cwd, 1)
        living(other, start)
        write(member, member_losses)
    write(leader, [1.0, 1.0])
    leader.reading("metric", "only_here", 1, 1.0)
    follower = Follower(rundir)
    while follower.advance():
        pass
    waited = follower.is_waiting
    monkeypatch.setattr(ranks, patience, 0.0)
    follower.advance()

    assert waited
    assert not follower.is_waiting
    assert follower.read == 4


def test_a_metric_of_one_rank_is_not_held_back_for_long_whatever_its_steps_count(cwd, start):
    rundir, leader = rank_of(cwd, 0)
    other, member = rank_of(cwd, 1)
    living(rundir, start)
    living(other, start)
    write(leader, [1.0])
    leader.reading("metric", "val_loss", 10**9, 0.5)
    write(member, [1.0, 1.0])
    follower = Follower(rundir)
    while follower.advance():
        pass
    waited = follower.is_waiting
    write(member, [1.0], first=2)
    follower.advance()

    assert waited
    assert not follower.is_waiting
    assert follower.read == 3


def test_a_rank_that_was_never_seen_is_not_waited_for_once_the_run_has_ended(cwd):
    rundir, leader = rank_of(cwd, 0)
    write(leader, [1.0, 2.0])
    end(leader)
    began = time.monotonic()
    merged = points(Follower(rundir))

    assert merged == [(0, 1.0), (1, 2.0)]
    assert time.monotonic() - began < ranks.LAST_LAG


def test_members_of_an_earlier_or_later_training_at_the_same_port_are_not_taken(cwd):
    now = time.time()
    earlier, _ = rank_of(cwd, 1, started=now - 1000)
    for name in ("journal.bin", "process.json"):
        (earlier.path / name).touch()
        os.utime(earlier.path / name, (now - 900, now - 900))
    own, _ = rank_of(cwd, 1, started=now - 100)
    rank_of(cwd, 1, started=now - 10)
    rank_of(cwd, 5, 8, started=now - 100)
    found = members_of(PLACE, now - 100.5, now - 50, "42@7")

    assert {rank: member.path for rank, member in found.items()} == {1: own.path}


def test_a_training_whose_members_were_not_tracked_takes_none_of_another(cwd):
    now = time.time()
    earlier, _ = rank_of(cwd, 1, started=now - 1000)
    os.utime(earlier.journal, (now - 900, now - 900))
    rank_of(cwd, 1, started=now - 10)

    assert members_of(PLACE, now - 100, now - 50, "42@7") == {}


def test_of_two_members_at_once_the_one_with_the_same_parent_is_taken(cwd):
    now = time.time()
    theirs, _ = rank_of(cwd, 1, started=now - 0.1)
    spec = {**theirs.spec, "launch": "another"}
    theirs.write_json("spec.json", spec)
    own, _ = rank_of(cwd, 1, started=now - 1)

    assert members_of(PLACE, now, now, "42@7")[1].path == own.path


def test_what_a_member_left_is_taken_over_into_the_run(cwd):
    rundir, leader = rank_of(cwd, 0)
    announce(rundir, PLACE)
    other, member = rank_of(cwd, 1)
    rundir.write_json("process.json", {"environment": {"torch": {"version": "1"}, "variables": {"RANK": "0"}}})
    environment = {"torch": {"version": "2"}, "variables": {"RANK": "1"}}
    other.write_json("process.json", {"environment": environment, "params": {"secret": 1}, "opened": ["/data/shard-1"]})
    write(leader, [1.0])
    write(member, [3.0, 4.0])
    before = list(JournalReader(other.journal).read())
    end(leader)
    group = Ranks(rundir, PLACE)
    member.close()
    found = group.take_over()
    files = other_processes(rundir)
    group.forget()
    told = json.loads((rundir.capture / "process-1.json").read_text())

    assert not other.path.parent.exists()
    assert [file.path for file in files] == ["series/rank-1/part-00000.parquet"]
    assert list(read_parts((rundir.series / "rank-1").iterdir())) == before
    assert found["ranks"]["seen"] == [0, 1]
    assert found["ranks"]["ended"]["1"] == {"status": "FAILED", "reason": LOST, "steps": 2}
    assert found["ranks"]["environment_differs"] == {"1": {"torch": [{"version": "1"}, {"version": "2"}]}}
    assert [gap["what"] for gap in found["gaps"]] == [f"rank 1 is {LOST}"]
    assert "params" not in told
    assert (rundir.path / "opened" / "opened-rank-1.txt").read_text() == "/data/shard-1"
    assert group.take_over() == found


def test_the_stored_parts_say_whose_they_are(cwd):
    import pyarrow.parquet as pq

    rundir, leader = rank_of(cwd, 0)
    rank_of(cwd, 1)[1].close()
    write(leader, [1.0], epoch=0)
    Ranks(rundir, PLACE).take_over()
    other_processes(rundir)
    follower = Follower(rundir)
    points(follower)
    ranks_of = {
        str(path.relative_to(rundir.series)): set(pq.read_table(path)["rank"].to_pylist())
        for path in rundir.series.rglob("*.parquet")
    }

    assert ranks_of == {"part-00000.parquet": {0}, "rank-1/part-00000.parquet": {1}}


def test_ranks_that_were_not_seen_or_live_on_are_named(cwd, start, monkeypatch):
    monkeypatch.setattr(ranks, "LAST_LAG", 0.0)
    place = Place(0, 4, 0, 0, KEY)
    rundir, leader = rank_of(cwd, 0, 4)
    hanging, member = rank_of(cwd, 2, 4)
    living(hanging, start)
    write(member, [1.0])
    end(leader)
    found = Ranks(rundir, place).take_over()

    assert [gap["what"] for gap in found["gaps"]] == [
        "rank 1 of 4 was not seen on this machine",
        "rank 2 had not ended when the run was closed",
        "rank 3 of 4 was not seen on this machine",
    ]
    assert not any(gap["blocking"] for gap in found["gaps"])
    assert hanging.path.is_dir()
    assert json.loads((hanging.path / "taken.json").read_text())["run"] == rundir.path.name
    assert len(list(JournalReader(rundir.path / "journal-2.bin").read())) == 2


def test_a_run_that_joined_late_keeps_its_own_folder(cwd):
    from tracker.distributed import join_late

    rundir, leader = rank_of(cwd, 0)
    late, journal = rank_of(cwd, 0, started=time.time())
    join_late(late, Place(1, 2, 1, 0, KEY))
    write(leader, [1.0])
    write(journal, [3.0])
    end(leader)
    end(journal)
    merged = points(Follower(rundir))
    Ranks(rundir, PLACE).take_over()

    assert merged == [(0, 2.0)]
    assert late.journal.is_file()
    assert not list((late.path.parents[1] / "groups").glob("*/1-*"))


def test_a_follower_knows_when_its_own_run_is_part_of_another(cwd):
    rundir, journal = rank_of(cwd, 1)
    end(journal)
    follower = Follower(rundir)
    follower.advance()

    assert follower.place.is_member
    assert follower.ranks is None
    assert any(isinstance(r, Event) for _, r in JournalReader(RunDir(rundir.path).journal).read())


def test_a_run_that_was_ended_as_another_rank_failed_says_so(cwd, uri, monkeypatch):
    """So does torchrun: the rank that fails is the cause, and rank 0 is sent SIGTERM."""
    monkeypatch.chdir(cwd)
    rundir, leader = rank_of(cwd, 0, uri=uri)
    _, member = rank_of(cwd, 1, uri=uri)
    for journal in (leader, member):
        write(journal, [1.0, 2.0], epoch=0)
    leader.mark_signal(15)
    leader.close()
    member.event("end", 2, {"status": "FAILED", "reason": "RuntimeError: out of data"})
    member.close()
    upload_run(rundir, patience=0.0)
    store = open_store(uri)

    assert store.find(rundir.path.name).status == "FAILED"
    ended = store.tags(rundir.path.name)["tracker.ended"]
    assert ended == "killed by SIGTERM; rank 1: RuntimeError: out of data"
