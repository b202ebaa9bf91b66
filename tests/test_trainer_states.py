"""Logs of fine-tunings through `tracker check`: silent on the healthy ones, the fault of the others named first."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.trainer_states import FAULTY, HEALTHY, Entry, classifier, half_precision, history, nan_norms, state
from tracker.cli.check import judge_records
from tracker.histories import History, from_metrics, read_history
from tracker.rules.engine import Settings
from tracker.rules.engine.records import Fact, Reading


def read(folder: Path, entries: list[Entry]) -> History:
    path = folder / "trainer_state.json"
    path.write_text(json.dumps(state(entries)))
    return read_history(path)


@pytest.fixture(scope="module")
def settings() -> Settings:
    return Settings()


def verdict(folder: Path, entries: list[Entry], settings: Settings) -> dict[str, Any]:
    return judge_records(list(read(folder, entries).records), settings)


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_fine_tuning_is_not_suspicious(name: str, tmp_path: Path, settings: Settings) -> None:
    for seed in range(4):
        said = verdict(tmp_path, HEALTHY[name](seed), settings)

        assert said["suspicious"] != "true", (seed, said["findings"])
        assert not said["crashed"]


@pytest.mark.parametrize("name", FAULTY)
def test_a_fault_is_the_first_headline(name: str, tmp_path: Path, settings: Settings) -> None:
    make, names = FAULTY[name]
    for seed in range(2):
        said = verdict(tmp_path, make(seed), settings)

        assert said["suspicious"] == "true", (seed, said["why"])
        assert said["findings"][0]["rule"] in names, (seed, said["findings"][0])


def facts(found: History) -> dict[str, Any]:
    return {record.name: record.value for record in found.records if isinstance(record, Fact)}


def test_a_trainer_state_is_of_a_fine_tuning_unless_there_are_rewards(tmp_path: Path) -> None:
    plain = facts(read(tmp_path, classifier(0)))
    rewarded = facts(read(tmp_path, HEALTHY["rewarded"](0)))
    preferred = facts(read(tmp_path, HEALTHY["preferred"](0)))

    assert plain["history"]["source"] == "transformers"
    assert (plain["history"]["max_steps"], plain["history"]["train_batch_size"]) == (600, 8)
    assert [one["profile"] for one in (plain, rewarded, preferred)] == ["fine-tune", "rl", "fine-tune"]


def test_the_same_log_is_known_in_another_file(tmp_path: Path) -> None:
    lines, table = tmp_path / "log.jsonl", tmp_path / "log.json"
    lines.write_text("\n".join(json.dumps(entry) for entry in classifier(0)))
    table.write_text(json.dumps([entry for entry in classifier(0) if "loss" in entry]))

    assert facts(read_history(lines))["profile"] == "fine-tune"
    assert facts(read_history(table)) == {}  # a loss and a rate alone may be anybody's


def test_metrics_that_the_trainer_sent_to_mlflow_are_those_of_a_fine_tuning() -> None:
    keys = ("loss", "learning_rate", "eval_runtime")
    found = from_metrics([Reading("metric", key, 10, 1.0) for key in keys])

    assert facts(found)["profile"] == "fine-tune"
    assert [record.signal for record in found.records if isinstance(record, Reading)] == ["loss", "lr", "metric"]


def norms(found: History) -> list[float]:
    return [r.value for r in found.records if isinstance(r, Reading) and r.signal == "grad_norm"]


def test_a_norm_that_is_not_finite_is_passed_over_where_training_went_on(tmp_path: Path) -> None:
    skipped, lost = norms(read(tmp_path, half_precision(0))), norms(read(tmp_path, nan_norms(0)))

    assert len(skipped) == 89
    assert all(map(math.isfinite, skipped))
    assert sum(map(math.isnan, lost)) == 40


def test_accuracies_in_per_cent_are_read_as_shares(tmp_path: Path) -> None:
    entries = history(0, lambda share: 1.0, evaluated=lambda share: {"eval_accuracy": 50 + 40 * share})

    found = [r.value for r in read(tmp_path, entries).records if isinstance(r, Reading) and r.signal == "accuracy/val"]

    assert found == pytest.approx([0.5 + 0.4 / 3, 0.5 + 0.8 / 3, 0.9])


def test_where_no_accuracy_was_logged_f1_or_an_error_rate_stands_in(tmp_path: Path) -> None:
    errors = history(0, lambda share: 1.0, evaluated=lambda share: {"eval_wer": 40 - 30 * share, "eval_loss": 1.0})
    scores = history(0, lambda share: 1.0, evaluated=lambda share: {"eval_f1": 0.6 + 0.3 * share, "eval_wer": 0.5})
    both = [
        [r.value for r in read(tmp_path, entries).records if isinstance(r, Reading) and r.signal == "accuracy/val"]
        for entries in (errors, scores)
    ]

    assert both == [pytest.approx([0.7, 0.8, 0.9]), pytest.approx([0.7, 0.8, 0.9])]
