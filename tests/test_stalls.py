"""A training that stands still, as it sees it itself: it went on, or it was interrupted."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from tests.trainings import data, events, fault_parts, mlp, records, step, tracked
from tracker import stalls
from tracker.journal import Journal, JournalReader
from tracker.probes import system
from tracker.rules import Settings
from tracker.rules.engine.records import END, JUDGE, STALLED, Event, Reading
from tracker.rules.engine.replay import replay
from tracker.rundir import RunDir

LONG = 1000.0
"""Seconds of silence that are long on any machine."""


@pytest.fixture
def skip(monkeypatch):
    """`skip(seconds)`: as if so much time had passed, for the probe that looks out for silences."""
    passed = [0.0]
    monkeypatch.setattr(system, "perf_counter", lambda: time.perf_counter() + passed[0])

    def forward(seconds):
        passed[0] += seconds

    return forward


def train(act, epochs=3, seconds_at=(1, 3)):
    """A run over a loader in which `act` is called once within an epoch, behind step 11."""
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    loader = DataLoader(TensorDataset(*data(64)), 8)
    with tracked() as run:
        try:
            for epoch in range(epochs):
                for number, (x, y) in enumerate(loader):
                    step(model, optimizer, x, y)
                    if (epoch, number) == seconds_at:
                        act()
        finally:
            train.run = run
    return run


def outcome(run, rule):
    found = {finding.rule: finding for finding in run.findings}
    return found.get(rule)


def test_a_pause_that_is_over_is_information(skip):
    run = train(lambda: skip(LONG))
    [event] = events(run, STALLED)
    found = outcome(run, "long-pause")

    assert (event.step, event.data["went_on"], event.data["where"]) == (11, True, "")
    assert event.data["seconds"] == pytest.approx(LONG, rel=0.1)
    assert found.message.startswith("nothing for 1")
    assert "behind step 11 from" in found.message
    assert outcome(run, "stalled-run") is None
    assert not fault_parts(run)


def test_one_that_is_interrupted_is_not_over(skip):
    def hang():
        skip(LONG)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(hang)
    [event] = events(train.run, STALLED)

    assert event.data["went_on"] is False
    assert "behind step 11 since" in outcome(train.run, "stalled-run").message
    assert outcome(train.run, "long-pause") is None


def test_a_replay_of_the_journal_says_the_same(skip):
    run = train(lambda: skip(LONG))
    trace, engine = replay(records(run), Settings.load({}))
    live = [finding.message for finding in run.findings if finding.rule == "long-pause"]

    assert [f["message"] for f in engine.verdict(trace).as_json()["findings"] if f["rule"] == "long-pause"] == live


def test_a_loader_that_hangs_is_named(skip):
    class Slow(TensorDataset):
        def __getitem__(self, index):
            if index == 40:
                skip(LONG if not slept else 0.0)
                slept.append(index)
            return super().__getitem__(index)

    slept, model = [], mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        for _ in range(2):
            for x, y in DataLoader(Slow(*data(64)), 8):
                step(model, optimizer, x, y)

    assert [event.data["where"] for event in events(run, STALLED)] == ["loader"]
    assert "waiting for the loader" in outcome(run, "long-pause").message


@pytest.mark.parametrize("seconds", [100.0, 0.0])
def test_a_short_silence_is_none(skip, seconds):
    run = train(lambda: skip(seconds))

    assert events(run, STALLED) == []


def test_a_long_end_of_a_script_that_ends_well_is_none(skip):
    model, (x, y) = mlp(), data(8)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        for _ in range(12):
            step(model, optimizer, x, y)
        skip(LONG)

    assert events(run, STALLED) == []


def test_what_took_long_before_may_take_long_again(skip):
    model, (x, y) = mlp(), data(8)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        for number in range(12):
            step(model, optimizer, x, y)
            skip(LONG if number in (3, 7) else 0.0)

    assert [event.step for event in events(run, STALLED)] == [3]


def test_the_pace_of_steps_is_read_from_the_journal(tmp_path):
    journal = Journal(tmp_path / "journal.bin")
    for number in range(50):
        journal.clock(1000.0 + 0.2 * number)
        journal.reading("loss", "", 2 * number, 1.0)
        journal.reading("loss", "", 2 * number + 1, 1.0)
    journal.close()
    pace = stalls.pace_of(tmp_path / "journal.bin")

    assert (pace.step, pace.step_seconds) == (99, pytest.approx(0.1))


def test_a_journal_without_readings_has_no_pace(tmp_path):
    Journal(tmp_path / "journal.bin").close()

    assert stalls.pace_of(tmp_path / "journal.bin") == stalls.Pace(0, None)


SEEN = {"stalled": {"step": 5, "seconds": 300.0, "went_on": False}}
SO_FAR = [Reading("loss", "", 5, 1.0)]


@pytest.mark.parametrize(
    ("found", "stored", "added"),
    [
        (SO_FAR, SEEN, [STALLED, JUDGE]),
        (SO_FAR, {}, []),
        (SO_FAR, {"stalled": None}, []),
        (SO_FAR, {"stalled": {"step": None}}, []),
        ([*SO_FAR, Reading("loss", "", 6, 1.0)], SEEN, []),  # it went on after all
        ([*SO_FAR, Event(END, 5, {})], SEEN, []),  # it said itself how it ended
    ],
)
def test_what_the_sidecar_saw_counts_where_the_run_cannot_tell(found, stored, added):
    records = stalls.with_stored(found, stored, is_judged=True)

    assert [record.name for record in records[len(found) :]] == added


SCRIPT = """
import time, torch
from tracker import Run, stalls, track
torch.set_num_threads(1)
stalls.SILENCE = 1.0
model = torch.nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), 0.1)
x, y = torch.randn(16, 4), torch.randint(0, 2, (16,))
rules = {"long-pause": {"min_seconds": 0.1}, "stalled-run": {"min_seconds": 0.1}}
with track(Run("sleepy", settings={"wait_seconds": 120, "rule": rules})):
    longest, last = 0.0, time.perf_counter()
    for number in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
        if number == 30:
            time.sleep(max(2.0, 4 * longest))
"""


@pytest.mark.slow
def test_a_process_that_really_sleeps_is_told_of(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    monkeypatch.setenv("PYTHONPATH", str(root))
    subprocess.run([sys.executable, "train.py"], cwd=tmp_path, check=True, capture_output=True)
    [rundir] = RunDir.all()
    verdict = json.loads((rundir.path / "findings.json").read_text())
    told = [r for _, r in JournalReader(rundir.journal).read() if isinstance(r, Event) and r.name == STALLED]

    assert [event.step for event in told] == [30]
    assert [one["severity"] for one in verdict["findings"] if one["rule"] == "long-pause"] == ["info"]
