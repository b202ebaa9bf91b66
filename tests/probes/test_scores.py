"""Accuracies that a script computes are read from its variables; sums and counts are not."""

from __future__ import annotations

import sys

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from tests.trainings import data, facts, mlp, readings, step, tracked
from tracker.probes.scores import plain_name, results_in, scores_in


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
