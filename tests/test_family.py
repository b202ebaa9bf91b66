"""What is kept of a run for later ones, and what a comparison adds to its verdict."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from tracker.family import are_alike, is_summary, summary_of, trace_of, with_family
from tracker.journal import Journal
from tracker.rules.engine import Settings
from tracker.rules.engine.records import EPOCH
from tracker.rules.engine.signals import EPOCH_LOSS, GRAD_NORM, VAL_LOSS

SPEC = {"id": "a" * 32, "name": "first", "started": 5.0, "script": "/there/train.py", "params": {"lr": 0.1}}


def journal_of(folder: Path, epochs: int = 4, steps: int = 50, level: float = 1.0) -> Path:
    """A run as the training process leaves it: readings of every layer, a metric of the user's, facts."""
    path = folder / f"journal-{len(list(folder.iterdir()))}.bin"
    journal = Journal(path)
    journal.fact("parameters", 0, {"w": {"shape": [3, 2]}, "b": {"shape": [2]}})
    journal.fact("optimizer", 0, [{"class": "Adam"}])
    journal.fact("loaders", 0, [{"split": "train", "dataset_length": 64}, {"split": "val", "dataset_length": 9}])
    journal.fact("params", 0, {"optimizer/lr": "0.01", "args/path": "x"})
    for epoch in range(epochs):
        for step in range(epoch * steps, epoch * steps + steps):
            journal.reading("loss", "", step, level * math.exp(-step / 80))
            journal.reading("grad_norm", "", step, level)
            journal.reading("grad_norm", "w", step, 99.0)
        last = epoch * steps + steps - 1
        journal.reading("metric", "val_loss", last, level / (1 + epoch))
        journal.event(EPOCH, last, {"epoch": epoch, "first_step": epoch * steps, "last_step": last})
    randomness = {"torch_seeded": True, "torch_seed": "7", "python_used": False, "numpy_used": False}
    journal.fact("randomness", last, randomness)
    journal.close()
    return path


@pytest.fixture
def own(tmp_path: Path) -> dict[str, Any]:
    return summary_of(journal_of(tmp_path), SPEC, {"code": {"tree": "abc"}, "gaps": [{"part": "data"}]})


def test_a_summary_says_what_the_run_was_and_how_it_went(own: dict[str, Any]) -> None:
    assert is_summary(own)
    assert (own["steps"], own["epochs"], own["code"], own["seed"]) == (200, 4, "abc", {"torch": "7"})
    assert own["kind"]["optimizer"] == ["Adam"]
    assert own["kind"]["samples"] == [64]
    assert own["kind"]["script"] == "train.py"
    assert own["params"] == {"lr": "0.1", "optimizer/lr": "0.01"}
    assert len(own["curves"]["grad_norm"]) == 20
    assert {value for _, value in own["curves"]["grad_norm"]} == {1.0}
    assert own["curves"]["loss/val"] == [[49, 1.0], [99, 0.5], [149, 1 / 3], [199, 0.25]]
    assert len(own["curves"]["loss/epoch"]) == 4


def test_the_trace_of_a_summary_has_its_curves(own: dict[str, Any]) -> None:
    trace = trace_of(own)

    assert trace.step == 199
    assert trace.series(VAL_LOSS).values == [1.0, 0.5, 1 / 3, 0.25]
    assert len(trace.series(EPOCH_LOSS)) == 4
    assert len(trace.series(GRAD_NORM)) == 20


def test_an_unseeded_run_has_no_seed(tmp_path: Path) -> None:
    path = tmp_path / "journal.bin"
    journal = Journal(path)
    journal.fact("randomness", 0, {"torch_seeded": True, "torch_seed": "7", "python_used": False})
    journal.close()

    assert summary_of(path, SPEC, {})["seed"] is None  # what became of numpy's generator is not known


@pytest.mark.parametrize(
    ("key", "value", "alike"),
    [("model", "other", False), ("optimizer", ["SGD"], False), ("samples", [65], False), ("loss", None, True)],
)
def test_runs_are_alike_when_what_is_known_of_both_is_the_same(
    own: dict[str, Any], key: str, value: Any, alike: bool
) -> None:
    other = {**own, "kind": {**own["kind"], key: value}}

    assert are_alike(own, other) is alike


VERDICT = {
    "schema": 1,
    "suspicious": "false",
    "why": "6 rules came out clear",
    "findings": [],
    "clear": ["nonfinite-loss"],
    "skipped": [
        {"rule": "initial-loss", "reason": "x"},
        {"rule": "run-regression", "reason": "never asked: it judges in the phases cross_run, none of which came"},
    ],
    "crashed": [],
}


def peers(folder: Path, n: int = 6, **spec: Any) -> dict[str, Any]:
    runs = {
        f"{i:032x}": summary_of(journal_of(folder, level=1 + 0.01 * i), {**SPEC, **spec, "id": f"{i:032x}"}, {})
        for i in range(n)
    }
    return {"runs": runs, "why": f"{n} were found."}


def test_a_usual_run_comes_out_clear(own: dict[str, Any], tmp_path: Path) -> None:
    said = with_family(VERDICT, own, peers(tmp_path), Settings())

    assert said["suspicious"] == "false"
    assert {"run-regression", "unlike-earlier-runs", "nonfinite-loss"} <= set(said["clear"])
    assert [item["rule"] for item in said["skipped"]].count("run-regression") == 0


def test_without_five_the_reason_says_how_many_there_are(own: dict[str, Any], tmp_path: Path) -> None:
    said = with_family(VERDICT, own, peers(tmp_path, n=4), Settings())
    (reason,) = [item["reason"] for item in said["skipped"] if item["rule"] == "run-regression"]

    assert reason == "4 earlier runs to compare with; 5 are needed. 4 were found."
    assert said["why"] == VERDICT["why"]


def test_a_run_unlike_its_family_becomes_suspicious(tmp_path: Path) -> None:
    strange = summary_of(journal_of(tmp_path, level=30.0), SPEC, {})

    said = with_family(VERDICT, strange, peers(tmp_path), Settings())

    assert said["suspicious"] == "true"
    assert said["findings"][0]["rule"] == "unlike-earlier-runs"
    assert "(warning) from step 199" in said["why"]


def test_what_it_finds_in_a_faulty_run_is_a_consequence_of_the_fault(tmp_path: Path) -> None:
    strange = summary_of(journal_of(tmp_path, level=30.0), SPEC, {})
    fault = {"rule": "double-softmax", "severity": "error", "explains": ["x"], "consequences": []}
    verdict = {**VERDICT, "suspicious": "true", "why": "double-softmax", "findings": [fault]}

    said = with_family(verdict, strange, peers(tmp_path), Settings())
    (head,) = said["findings"]

    assert (said["why"], head["rule"]) == ("double-softmax", "double-softmax")
    assert "unlike-earlier-runs" in head["explains"]
    assert "unlike-earlier-runs" in [one["rule"] for one in head["consequences"]]


def test_gaps_in_what_was_stored_are_information(own: dict[str, Any]) -> None:
    said = with_family(VERDICT, {**own, "gaps": [{"part": "data", "what": "x is gone"}]}, {}, Settings())

    assert [one["rule"] for one in said["findings"]] == ["uncaptured-data"]
    assert said["suspicious"] == "false"


def test_a_run_that_left_no_summary_is_not_compared() -> None:
    said = with_family(VERDICT, {}, {"runs": {"a": {"schema": 99}}}, Settings())

    assert said["findings"] == []
    assert "run-regression" in [item["rule"] for item in said["skipped"]]
