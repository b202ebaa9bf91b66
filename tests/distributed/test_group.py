"""What a rank tells rank 0, and what rank 0 makes of it; one process plays each part."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.distributed.groups import living
from tests.trainings import data, events, facts, fault_parts, mlp, readings, step, tracked
from tracker import group
from tracker.distributed import Place, announce, leader_of, place
from tracker.group import differences
from tracker.rundir import RunDir, home


@pytest.fixture
def among_two(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes this process rank n of two."""

    def take(rank: int) -> Place:
        meeting = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}
        for name, value in meeting.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("tracker.run._count", 0)
        return place()

    return take


def train(run: Any, epochs: int = 2, nan_at: int | None = None) -> None:
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in run.epochs(epochs):
        step(model, optimizer, x, y)
        if run._session.step == nan_at:
            (next(model.parameters()).sum() * math.nan).backward()


def left_by_a_member(at: Place, **account: Any) -> RunDir:
    """The folder of a member that has ended, with its account."""
    spec = {"id": "b" * 32, "place": at.as_json(), "started": time.time(), "launch": ""}
    member = RunDir.create(spec, Place(1, 2, 1, 0, at.key).folder("b" * 32))
    member.journal.touch()
    member.write_json("account.json", {"rank": 1, "concluded": True, **account})
    return member


def test_a_member_observes_and_does_nothing_else(among_two, capfd):
    at = among_two(1)
    with tracked() as run:
        train(run)
        import mlflow

        mlflow.active_run()
    session = run._session

    assert session.rundir.path == home() / "groups" / at.key / f"1-{run.id}"
    assert len(readings(run, "loss")) == 2
    assert facts(run, "place") == [at.as_json()]
    assert not (session.rundir.path / "state.json").exists()
    assert session.foreign is None
    assert (run.verdict, run.findings, run.should_stop) == (None, [], False)
    assert events(run, "judge") == []
    assert RunDir.all() == []
    assert capfd.readouterr() == ("", "")
    assert fault_parts(run) == []


def test_a_member_says_what_rank_0_would_not_see(among_two):
    among_two(1)
    with tracked() as run:
        train(run, nan_at=1)
        account = run._session.rundir.read_json("account.json")
    last = run._session.rundir.read_json("account.json")

    assert not account["concluded"]
    assert account["nonfinite"]["loss"]["step"] == 1
    assert last["concluded"]
    assert last["lr"] == {"0": 0.1}
    assert last["weights"]["step"] == 2
    assert set(last["weights"]) == {"start", "later", "step"}  # the model was a variable of a function that is over


def test_rank_0_judges_what_a_member_said(among_two):
    at = among_two(0)
    first = {"signal": "loss", "subject": "", "step": 1, "value": math.nan}
    left_by_a_member(at, nonfinite={"loss": first}, faults={"loss": "KeyError: 1"}, lr={"0": 0.2})
    with tracked() as run:
        train(run)
    (told,) = facts(run, "ranks")

    assert "nonfinite-loss" in [finding.rule for finding in run.findings]
    assert told["seen"] == [0, 1]
    assert told["faults"] == {"1": {"loss": "KeyError: 1"}}
    assert told["differ"] == {"lr/0": {"0": 0.1, "1": 0.2}}
    assert [math.isfinite(value) for _, value in readings(run, "loss")] == [True, True, False]


def test_rank_0_learns_of_it_while_it_trains(among_two, monkeypatch):
    monkeypatch.setattr(group, "SECONDS_BETWEEN", 0.0)
    at = among_two(0)
    first = {"signal": "grad_norm", "subject": "", "step": 0, "value": math.inf}
    with tracked(settings={"rules": {"stop": ["nonfinite-gradient"]}}) as run:
        left_by_a_member(at, nonfinite={"grad_norm": first}, concluded=False)
        train(run, epochs=10)
        found = [finding.rule for finding in run.findings]
        epoch = run._session.clock.epoch

    assert "nonfinite-gradient" in found
    assert epoch == 2  # found after the first epoch (0): the third is the first that no rank has begun without knowing
    assert leader_of(at) is None


def test_a_member_stops_with_rank_0(among_two, start, tmp_path: Path):
    at = among_two(1)
    leader = RunDir.create({"id": "a" * 32, "started": time.time()})
    (leader.path / "alive.lock").touch()
    living(leader, start)
    announce(leader, at, stop_at=3)
    with tracked() as run:
        train(run, epochs=10)

    assert len(readings(run, "loss")) == 3


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many members were there at each look that rank 0 takes at them."""
    found = []
    look = group.Leader._accounts

    def looked(leader: group.Leader) -> Any:
        accounts = look(leader)
        found.append(len(accounts))
        return accounts

    monkeypatch.setattr(group.Leader, "_accounts", looked)
    return found


def test_rank_0_waits_for_no_member_that_is_gone(among_two, looks):
    at = among_two(0)
    left_by_a_member(at, concluded=False)
    with tracked() as run:
        train(run, epochs=1)

    assert looks == [1]


def test_rank_0_waits_for_a_member_that_lives_no_longer_than_it_says(among_two, looks, start, monkeypatch):
    monkeypatch.setattr(group, "LAST_WORD", 0.2)
    at = among_two(0)
    member = left_by_a_member(at, concluded=False)
    (member.path / "alive.lock").touch()
    living(member, start)
    with tracked() as run:
        train(run, epochs=1)

    assert len(looks) > 1
    assert facts(run, "ranks")[-1]["seen"] == [0, 1]


def test_a_re_run_needs_all_ranks_and_says_so(among_two):
    among_two(0)
    with tracked() as run:
        train(run)
    gaps = [gap for gap in run._session.rundir.read_json("process.json")["gaps"] if gap["part"] == "command"]

    assert [gap["what"] for gap in gaps] == ["the run is 2 processes that train together, and a re-run starts one"]
    assert gaps[0]["blocking"]
    assert "pytest" in gaps[0]["fix"] or "start them" in gaps[0]["fix"]


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        ({"weights": {"start": "s", "end": "e", "step": 9}, "lr": {"0": 0.1}}, set()),
        ({"weights": {"start": "x", "end": "e", "step": 9}, "lr": {"0": 0.1}}, {"weights/start"}),
        ({"weights": {"start": "s", "end": "x", "step": 9}, "lr": {"0": 0.1}}, {"weights/end"}),
        ({"weights": {"start": "s", "end": "x", "step": 8}, "lr": {"0": 0.1}}, {"steps"}),
        ({"weights": {"start": "s", "end": "e", "step": 9}, "lr": {"0": 0.2}}, {"lr/0"}),
        ({"weights": None, "lr": {}}, set()),
        ({}, set()),
    ],
)
def test_what_should_be_the_same_on_all_ranks_is_compared_where_it_can_be(theirs, expected):
    own = {"weights": {"start": "s", "end": "e", "step": 9}, "lr": {"0": 0.1}}

    assert set(differences(own, {1: theirs})) == expected
