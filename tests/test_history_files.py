"""Histories of other tools: which column means what, and what is told when that cannot be known."""

import json
import math

import pytest

from tracker.errors import ConfigError, StoreError
from tracker.histories import from_metrics, parse_columns, read_history
from tracker.rules.engine.records import Reading


def points(history, signal, subject=""):
    found = [r for r in history.records if isinstance(r, Reading)]
    return [(r.step, r.value) for r in found if (r.signal, r.subject) == (signal, subject)]


def trainer_state(path, losses=(2.0, 1.5, 1.2, 1.0)):
    """What Transformers writes: a training entry every 10 steps, an evaluation every 20, a summary at the end."""
    entries = []
    for index, loss in enumerate(losses):
        step = 10 * (index + 1)
        entries.append({"epoch": step / 20, "grad_norm": 1.0, "learning_rate": 1e-4, "loss": loss, "step": step})
        if step % 20 == 0:
            entries.append({"epoch": step / 20, "eval_loss": loss + 0.1, "eval_accuracy": 0.5, "step": step})
    entries.append({"epoch": 2.0, "train_loss": 1.4, "train_runtime": 9.0, "step": 10 * len(losses)})
    path.write_text(json.dumps({"best_metric": None, "log_history": entries, "max_steps": 40}))
    return path


def test_a_trainer_state_is_read_with_its_own_steps(tmp_path):
    history = read_history(trainer_state(tmp_path / "trainer_state.json"))

    assert points(history, "loss") == [(10, 2.0), (20, 1.5), (30, 1.2), (40, 1.0)]
    assert points(history, "loss/val") == [(20, 1.6), (40, 1.1)]
    assert points(history, "accuracy/val") == [(20, 0.5), (40, 0.5)]
    assert points(history, "lr") == [(10, 1e-4), (20, 1e-4), (30, 1e-4), (40, 1e-4)]
    assert points(history, "grad_norm")[0] == (10, 1.0)


def test_the_summary_of_a_trainer_is_not_taken_for_a_loss(tmp_path):
    history = read_history(trainer_state(tmp_path / "trainer_state.json"))

    assert history.left_out == {"train_loss": "it means the same as loss"}
    assert 1.4 not in [value for _, value in points(history, "loss")]


def test_a_keras_log_has_the_training_accuracy_under_its_bare_name(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("epoch,accuracy,loss,val_accuracy,val_loss\n0,0.5,1.0,0.4,1.1\n1,0.6,0.9,0.45,1.05\n")

    history = read_history(path)

    assert points(history, "accuracy/train") == [(0, 0.5), (1, 0.6)]
    assert points(history, "accuracy/val") == [(0, 0.4), (1, 0.45)]
    assert points(history, "loss/epoch") == [(0, 1.0), (1, 0.9)]


def test_empty_cells_are_no_numbers_and_nan_is_one(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,train_loss,val_loss\n0,1.0,\n1,nan,\n1,,0.7\n2,0.8,\n3,0.7,\n3,,0.6\n")

    history = read_history(path)

    assert [step for step, _ in points(history, "loss")] == [0, 1, 2, 3]
    assert math.isnan(points(history, "loss")[1][1])
    assert points(history, "loss/val") == [(1, 0.7), (3, 0.6)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_found(tmp_path, delimiter):
    path = tmp_path / "m.csv"
    path.write_text("\ufeffstep,loss\n0,1.5\n".replace(",", delimiter), encoding="utf-8")

    assert points(read_history(path), "loss") == [(0, 1.5)]


def test_json_lines_with_nested_names_are_read(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 0, "train": {"loss": 1.0}, "note": "x"}\n\n{"step": 1, "train": {"loss": 0.5}}\n')

    assert points(read_history(path), "loss") == [(0, 1.0), (1, 0.5)]


def test_a_json_file_with_a_list_for_each_metric_is_read(tmp_path):
    path = tmp_path / "history.json"
    path.write_text(json.dumps({"loss": [1.0, 0.5], "val_loss": [1.1, 0.6]}))

    history = read_history(path)

    assert points(history, "loss/epoch") == [(0, 1.0), (1, 0.5)]
    assert points(history, "loss/val") == [(0, 1.1), (1, 0.6)]


def test_columns_can_be_mapped_by_hand(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("iter,objective,heldout\n5,1.0,\n10,0.9,\n15,0.8,\n15,,2.0\n")

    history = read_history(path, parse_columns(["loss=objective", "val_loss=heldout", "step=iter"]))

    assert points(history, "loss") == [(5, 1.0), (10, 0.9), (15, 0.8)]
    assert points(history, "loss/val") == [(15, 2.0)]


def test_what_has_no_known_meaning_stays_a_metric_under_its_own_name(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("step,bleu\n0,0.1\n")

    assert points(read_history(path), "metric", "bleu") == [(0, 0.1)]


def test_a_column_that_does_not_exist_is_named_with_its_nearest(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("step,train_loss\n0,1.0\n")

    with pytest.raises(ConfigError, match=r"no column 'train_los'.*Did you mean 'train_loss'"):
        read_history(path, {"loss": "train_los"})


@pytest.mark.parametrize(
    ("pair", "said"), [("loss", "no pair"), ("los=x", "Did you mean 'loss'"), ("=x", "unknown name")]
)
def test_a_wrong_mapping_is_refused(pair, said):
    with pytest.raises(ConfigError, match=said):
        parse_columns([pair])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "step,text\n"),
        ("a.json", "{"),
        ("a.json", "3"),
        ("a.jsonl", "[1]\n"),
        ("a.xlsx", "x"),
        ("a.csv", "name\nfoo\n"),
    ],
)
def test_a_file_without_numbers_is_refused_by_name(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content)

    with pytest.raises(StoreError, match=name):
        read_history(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(StoreError, match="cannot be read"):
        read_history(tmp_path / "none.csv")


def test_of_two_metrics_with_one_meaning_the_denser_is_judged():
    records = [Reading("metric", "val_loss", step, 1.0) for step in range(3)]
    records += [Reading("metric", "test_loss", 3, 9.0)]

    history = from_metrics(records)

    assert points(history, "loss/val") == [(0, 1.0), (1, 1.0), (2, 1.0)]
    assert history.left_out == {"test_loss": "it means the same as val_loss"}


def test_a_loss_with_many_points_between_evaluations_is_a_loss_of_steps():
    dense = [Reading("metric", "loss", step, 1.0) for step in range(10)]
    evaluations = [Reading("metric", "val_loss", step, 1.0) for step in (4, 9)]

    assert len(points(from_metrics([*dense, *evaluations]), "loss")) == 10
    assert len(points(from_metrics([*dense[:2], *evaluations]), "loss/epoch")) == 2
