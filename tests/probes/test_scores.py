"""Accuracies that a script computes are read from its variables; sums and counts are not."""

from __future__ import annotations

import sys

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from tests.trainings import data, facts, mlp, readings, step, tracked
from tracker.probes.scores import plain_name, results_in, scores_in, set_from_themselves


def test_floats_called_an_accuracy_are_scores():
    val_acc, testAccuracy, loss, n_acc = 0.5, 81.0, 0.2, 3

    found = scores_in(sys._getframe())

    assert found == {"val_acc": val_acc, "testAccuracy": testAccuracy}
    assert loss < n_acc


def test_a_sum_that_is_still_to_be_divided_is_no_score():
    val_acc = train_acc = 0.0
    for part in (0.5, 0.75):
        val_acc += part
        train_acc = train_acc + part

    assert scores_in(sys._getframe()) == {}
    assert val_acc == train_acc


def test_a_number_in_a_tensor_is_a_score_and_one_that_another_model_may_have_left_is_not():
    val_acc, acc = torch.tensor(0.5), torch.tensor(7)
    results = {"small": {"test_acc": 0.25}, "best_acc": 0.75}

    assert scores_in(sys._getframe()) == {"val_acc": 0.5}
    assert results
    assert acc > val_acc


def test_of_a_list_it_is_what_was_appended_since_the_last_time():
    history, train_accs, lengths = {"val_acc": [0.25]}, [0.5], {}
    found = [scores_in(sys._getframe(), lengths)]
    for value in (0.5, 0.75):
        history["val_acc"].append(value)
        train_accs += [value, value]
        found.append(scores_in(sys._getframe(), lengths))
    found.append(scores_in(sys._getframe(), lengths))

    assert found == [{}, {"val_acc": 0.5}, {"val_acc": 0.75}, {}]


def test_a_sum_over_several_lines_and_that_of_an_attribute_are_set_from_themselves():
    def count(self, hits, plain):
        n = m = 0
        n += (
            hits
            + 1
        )  # fmt: skip
        self.right += n
        m = plain
        return n, m

    assert set_from_themselves(count.__code__) == {"n", "right"}


@pytest.mark.parametrize(("name", "plain"), [("valAcc", "val_acc"), ("Test-Accuracy", "test_accuracy"), ("acc", "acc")])
def test_names_are_told_word_by_word(name, plain):
    assert plain_name(name) == plain


def test_what_a_script_computes_of_an_evaluation_is_written_beside_what_was_measured():
    train, held_out = (DataLoader(TensorDataset(*data(32, seed=seed)), 8) for seed in (0, 1))
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    theirs = []

    def evaluate():
        with torch.no_grad():
            return sum((model(x).argmax(1) == y).sum().item() for x, y in held_out) / len(held_out)

    with tracked() as run:
        for _ in range(4):
            for x, y in train:
                step(model, optimizer, x, y)
            val_acc = evaluate()
            theirs.append(val_acc)

    assert facts(run, "evaluation")
    assert [value for _, value in readings(run, "score", "val_acc")] == theirs
    assert [8 * value for _, value in readings(run, "accuracy/val")] == theirs


def test_the_variables_that_a_result_is_assigned_to_are_found():
    def evaluate():
        found.append([name for name in results_in(sys._getframe()) if name in ("val_loss", "val_acc", "both")])
        return 0.1, 0.9

    found = []
    val_loss, val_acc = evaluate()
    both = [evaluate(), val_loss]
    evaluate()

    assert found == [["val_loss", "val_acc"], [], []]
    assert len(both) == 2
    assert val_acc
