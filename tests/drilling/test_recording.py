"""A preflight as a run: its verdict, what MLflow says of it, and the page that shows it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tracker.drilling.judged import FAILED, PASSED, Judged, Row, judge
from tracker.drilling.recording import record, verdict_of
from tracker.drills.learning_rate_range import LearningRateRange
from tracker.drills.noise_scale import NoiseScale
from tracker.rules.engine import Settings
from tracker.rules.engine.records import Fact, Reading
from tracker.sidecar.ending import first_tags, last_metrics, last_tags
from tracker.sidecar.proof import nothing_trained
from tracker.sidecar.wording import block

DRILLS = (NoiseScale, LearningRateRange)
FAR = {"low": 1e-7, "high": 10.0, "iterations": 100, "first": 2.3, "best": 0.1, "steepest": 0.01, "breaks_at": 0.5,
       "own": 10.0, "peak": 10.0, "own_steps": 20, "own_first": 2.3, "own_later": 240.0, "own_last": 250.0,
       "own_finite": True, "summary": "the loss falls fastest at 0.01"}  # fmt: skip


def _judged(*, own: float = 10.0, later: float = 240.0, done: str = "done") -> Judged:
    """What two drills came to: the first passes, the second fails where the rate is too high."""
    said = {"status": done, "reason": "no loss", "seconds": 0.5}
    facts = [Fact(f"drills/{one.name}", 0, said) for one in DRILLS]
    if done == "done":
        facts.append(Fact("drill/noise-scale", 0, {"batch": 64, "scale": 40.0, "summary": "about 40"}))
        facts.append(Fact("drill/learning-rate-range", 0, {**FAR, "own": own, "own_later": later}))
    curve = [Reading("drill/loss", "learning-rate-range", step, 2.3 - step / 50) for step in range(100)]
    return judge([*facts, *curve], DRILLS, Settings())


def test_a_drill_that_failed_makes_the_run_suspicious_and_is_its_headline() -> None:
    verdict = verdict_of(_judged())
    told = block(verdict, nothing_trained({}), "abc", "#/experiments/1/runs/2", ["report.html"])

    assert verdict["suspicious"] == "true"
    assert verdict["preflight"]["failed"] == 1
    assert verdict["preflight"]["passed"] == 1
    assert told.startswith(
        "**⚠ Preflight failed: learning-rate range** (learning-rate-beyond-divergence): the learning"
    )
    assert "- try: Try a learning rate of 0.01." in told
    assert "Drills: 1 passed, 1 failed, 0 skipped · [report.html](#/experiments/1/runs/2/artifacts/report.html)" in told
    assert "eproducib" not in told


def test_of_two_that_failed_the_one_that_was_done_first_comes_first() -> None:
    told = {"severity": "warning", "subject": "", "message": "1 is not 2", "advice": ["Look."]}
    rows = (
        Row("a", "a drill", PASSED, "", ({**told, "rule": "noted", "severity": "info"},)),
        Row("b", "first to fail", FAILED, "", ({**told, "rule": "upper"},)),
        Row("c", "second to fail", FAILED, "", ({**told, "rule": "lower"},)),
    )
    verdict = verdict_of(Judged(rows, verdict={"findings": [{"rule": one} for one in ("noted", "lower", "upper")]}))

    assert [one["rule"] for one in verdict["findings"]] == ["upper", "lower", "noted"]
    assert block(verdict, nothing_trained({}), "abc").startswith("**⚠ Preflight failed: first to fail** (upper)")
    assert "Also failed: second to fail." in block(verdict, nothing_trained({}), "abc")


def test_drills_that_all_passed_are_not_suspicious_and_skipped_ones_are_not_judged() -> None:
    passed, skipped = verdict_of(_judged(own=0.01, later=0.5)), verdict_of(_judged(done="skipped"))

    assert passed["suspicious"] == "false"
    assert "Preflight passed" in block(passed, nothing_trained({}), "abc")
    assert skipped["suspicious"] == "unknown"
    assert "no drill could be done" in block(skipped, nothing_trained({}), "abc")


def test_rules_that_judge_trainings_are_not_listed_as_skipped() -> None:
    verdict = verdict_of(_judged())

    assert all("never asked" not in one["reason"] for one in verdict["skipped"])


def test_nothing_was_trained_so_that_nothing_is_said_of_doing_it_again() -> None:
    verdict, proof = verdict_of(_judged()), nothing_trained({"gaps": [{"part": "code", "blocking": True}]})
    tags, metrics = last_tags(verdict, proof, ""), last_metrics(verdict, proof)

    assert tags["reproducible"] == "unknown"
    assert tags["suspicious"] == "true"
    assert "repro.grade" not in tags
    assert metrics == {
        "rules/fired": 1.0,
        "rules/worst": 2.0,
        "preflight/passed": 1.0,
        "preflight/failed": 1.0,
        "preflight/skipped": 0.0,
    }


def test_the_run_says_what_it_is_in_a_tag_that_a_user_cannot_set() -> None:
    tags = first_tags({"id": "a", "kind": "preflight", "tags": {"tracker.kind": "mine"}}, {}, "1", adopted=False)

    assert tags["tracker.kind"] == "preflight"
    assert tags["user.tracker.kind"] == "mine"


def test_the_folder_of_the_run_holds_the_table_for_people_and_for_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracker.drilling.recording.start_sidecar", lambda rundir: None)
    rundir = record(_judged(), Settings(), "preflight Net", {})

    assert "| **✗ FAILED** | learning-rate range |" in (rundir.capture / "preflight.md").read_text("utf-8")
    assert rundir.read_json("capture/preflight.json")["failed"] == 1
    assert rundir.spec["kind"] == "preflight"


@pytest.mark.slow
def test_a_preflight_from_code_is_a_whole_run_in_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    from tracker import preflight
    from tracker.rundir import RunDir, home
    from tracker.sidecar import upload_run

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.delenv("TRACKER_NO_REPORT")
    monkeypatch.setattr("tracker.drilling.recording.start_sidecar", lambda rundir: None)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)  # of some batches one enormous step gets all of them right
    model = nn.Linear(6, 3)
    batch = torch.randn(16, 6), torch.arange(16) % 3
    optimizer = torch.optim.SGD(model.parameters(), 1e9)
    found = preflight(
        model, nn.CrossEntropyLoss(), batch, optimizer=optimizer, only=("noise-scale", "learning-rate-range")
    )
    rundir = RunDir(home() / "runs" / str(found.run_id))
    assert upload_run(rundir, 0.0)
    client = MlflowClient(uri)
    run = client.get_run(rundir.state["mlflow_run_id"])
    names = {one.path for folder in ("", "capture") for one in client.list_artifacts(run.info.run_id, folder)}
    page = (rundir.path / "report.html").read_text("utf-8")

    assert run.info.status == "FINISHED"
    assert run.data.tags["suspicious"] == "true"
    assert run.data.tags["reproducible"] == "unknown"
    assert run.data.tags["tracker.kind"] == "preflight"
    assert run.data.metrics["preflight/failed"] == 1.0
    assert "Preflight failed: learning-rate range" in run.data.tags["mlflow.note.content"]
    assert names >= {"report.html", "capture/preflight.md", "capture/preflight.json"}
    assert not rundir.state["faults"]
    assert "could not be drawn" not in page
    assert "1 drill failed: learning-rate range" in page
