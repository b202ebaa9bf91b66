"""A fault of ours, in any probe, leaves the training as it is, is recorded once, and takes nothing else with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.promises.both_ways import journals
from tests.promises.injections import methods_of
from tracker.probes.probe import MOMENTS, Probe
from tracker.probes.registry import PROBES
from tracker.rules.engine.records import Event
from tracker.rundir import RunDir

TOLD = (*MOMENTS, "adopted", "end_epoch", "finish")
"""What every probe may be told; more than a step's moments."""

QUIET = frozenset({"tensorboard"})
"""Probes that the training of these tests gives nothing to do."""


def heard(kind: type[Probe]) -> list[str]:
    """What the observer calls in a probe: its moments, and the methods its taps name."""
    tapped = {method for tap in kind.taps for method in (tap.before, tap.after) if method}
    return methods_of(kind, lambda name: name in TOLD or name in tapped or name == "__init__")


def train_with(root: Path, names: list[str]) -> list[dict[str, Any]]:
    """Trains with each of the functions broken, in a process of its own and in production mode."""
    environment = {name: value for name, value in os.environ.items() if name != "TRACKER_STRICT"}
    command = [sys.executable, "-m", "tests.promises.injections", *names]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["name"] for line in lines] == ["", *names]
    assert lines[0]["parts"] == []
    return lines


def assert_harmless(line: dict[str, Any]) -> None:
    """The training came out as without us, and the run has its end and its verdict."""
    assert line["unlike"] == {}, line["name"]
    assert line["ended"] == ["FINISHED"], line["name"]
    assert line["verdict"], line["name"]


def assert_one_probe_is_off(line: dict[str, Any], kind: type[Probe], healthy: dict[str, Any]) -> None:
    """That probe is off, said once, and all others were told to the end."""
    assert_harmless(line)
    assert line["parts"] == [kind.name], line
    assert "Injected" in line["reasons"][0]
    assert sorted(line["alive"]) == sorted(set(healthy["alive"]) - {kind.name})


def test_a_fault_in_a_probe_of_each_step_is_recorded_once_and_harms_nobody(root):
    names = {"loss", "gradients", "loop"}
    kinds = [kind for kind in PROBES if kind.name in names]
    targets = [(kind, name) for kind in kinds for name in heard(kind) if not name.endswith("__init__")]

    healthy, *lines = train_with(root, [name for _, name in targets])

    assert {kind.name for kind, _ in targets} == names
    for (kind, _), line in zip(targets, lines, strict=True):
        assert line["reached"] == 1
        assert_one_probe_is_off(line, kind, healthy)


@pytest.mark.slow
def test_a_fault_in_any_method_of_any_probe_is_recorded_once_and_harms_nobody(root):
    targets = [(kind, name) for kind in PROBES for name in heard(kind)]

    healthy, *lines = train_with(root, [name for _, name in targets])

    reached = {kind.name for (kind, _), line in zip(targets, lines, strict=True) if line["reached"]}
    assert reached | QUIET == {kind.name for kind in PROBES}
    for (kind, _), line in zip(targets, lines, strict=True):
        if line["reached"]:
            assert_one_probe_is_off(line, kind, healthy)
        else:
            assert_harmless(line)
            assert line["parts"] == []


BESIDE_THE_PROBES = {
    "judging:Judging.begin": "engine",
    "rules.engine.runner:Engine.judge": "engine",
    "session:Session.note_optimizer": "optimizer",
    "session:Session.note_loader": "loader",
    "session:Session.close_epoch": None,
    "epochs:EpochClock.advance": None,
    "probes.sampling:Governor.adjust": None,
    "probes.readback:Readback.add": None,
    "probes.training:Training.__init__": "torch",
    "capture.process:ProcessFacts.at_entry": "capture",
    "capture.process:ProcessFacts.at_end": "capture",
    "signals:Termination.install": "signals",
}
"""What is broken beside the probes, and the part that is off then; None where several may be."""


@pytest.mark.slow
def test_a_fault_beside_the_probes_is_recorded_once_for_each_part_and_harms_nobody(root):
    _, *lines = train_with(root, list(BESIDE_THE_PROBES))

    for line, part in zip(lines, BESIDE_THE_PROBES.values(), strict=True):
        assert line["reached"], line["name"]
        assert line["unlike"] == {}, line["name"]
        assert line["ended"] == ["FINISHED"], line["name"]
        assert line["parts"], line["name"]
        assert len(line["parts"]) == len(set(line["parts"])), line["name"]
        assert part is None or line["parts"] == [part], line["name"]


def run_broken(place: Path, breakage: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[Any]]:
    """Runs a small tracked training in a process of its own, with something broken; its output and its run."""
    monkeypatch.delenv("TRACKER_STRICT")
    (place / "broken.py").write_text(f"{PREAMBLE}\n{breakage}\n{TRAINING}")
    done = subprocess.run([sys.executable, "broken.py"], cwd=place, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (run,) = RunDir.all()
    return done.stdout, journals(run)


PREAMBLE = """
import torch
from tracker import Run, session, track
def captured(rundir):  # in the place of the process that uploads
    (rundir.capture / "code.json").write_text("{}")
    rundir.update_state(captured=True, capture_gaps=[])
session.start_sidecar = captured
metrics = {}
"""
TRAINING = """
torch.manual_seed(0)
model = torch.nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), 0.1)
with track(Run("x", settings={"wait_seconds": 0}, quiet=True)) as run:
    for _ in range(20):
        loss = model(torch.randn(8, 4)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if metrics:
            run.log(metrics)
print(repr(loss.item()), model.weight.sum().item())
"""


def run_bare(place: Path) -> str:
    """The output of the same training without us."""
    block = next(line for line in TRAINING.splitlines() if line.startswith("with track"))
    (place / "bare.py").write_text("import torch\nmetrics = {}\n" + TRAINING.replace(block, "if True:"))
    done = subprocess.run([sys.executable, "bare.py"], cwd=place, capture_output=True, text=True, timeout=300)
    return done.stdout


def events_of(records: list[Any], name: str) -> list[Any]:
    return [record.data for record in records if isinstance(record, Event) and record.name == name]


def test_a_sidecar_that_cannot_be_started_and_a_rule_that_breaks_are_recorded_once(tmp_path, monkeypatch):
    breakage = """
def no_process(rundir): raise OSError("no more processes")
session.start_sidecar = no_process
from tracker.rules.loss.nonfinite_loss import NonfiniteLoss
def check(self, trace): raise KeyError("a rule is broken")
NonfiniteLoss.check = check
"""
    out, records = run_broken(tmp_path, breakage, monkeypatch)
    bare = run_bare(tmp_path)

    assert out == bare
    assert [fault["part"] for fault in events_of(records, "fault")] == ["sidecar"]
    crashed = [data for data in events_of(records, "outcome") if data["status"] == "crashed"]
    assert {data["rule"] for data in crashed} == {"nonfinite-loss"}
    assert len(crashed) == 1
    assert events_of(records, "verdict")[-1]["crashed"]
    assert events_of(records, "end") == [{"status": "FINISHED", "reason": ""}]


@pytest.mark.slow
def test_a_journal_that_is_full_loses_readings_says_so_once_and_keeps_the_end(tmp_path, monkeypatch):
    breakage = """
from tracker import journal
journal._RESERVE = 1 << 18
journal.Journal.__init__.__defaults__ = (1 << 19,)
metrics = {f"metric{i}": 0.5 for i in range(900)}
"""
    out, records = run_broken(tmp_path, breakage, monkeypatch)

    assert out == run_bare(tmp_path)
    assert len(events_of(records, "dropped")) == 1
    assert events_of(records, "dropped")[0]["readings"] > 0
    assert events_of(records, "fault") == []
    assert events_of(records, "end") == [{"status": "FINISHED", "reason": ""}]
