"""Matrices of confusions against those that the script counts by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from tests.trainings import fault_parts, records, tracked
from tracker.journal import Journal, JournalReader
from tracker.probes.answers import MOST_PAIRS, Answers
from tracker.probes.tally import Score
from tracker.rules.engine.records import Array


def confusions(run, split, signal="confusion"):
    """(step, values) of what was kept."""
    return [
        (record.step, list(record.values))
        for record in records(run)
        if isinstance(record, Array) and (record.signal, record.subject) == (signal, split)
    ]


def train(x, y, outputs, loss, predict, epochs=3):
    """Trains and evaluates in a run of its own; the run, and per epoch the matrix as counted by hand."""
    torch.manual_seed(0)
    model = nn.Linear(x.shape[1], outputs)
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    batches = DataLoader(TensorDataset(x[:48], y[:48]), 16, shuffle=True)
    held_out = DataLoader(TensorDataset(x[48:], y[48:]), 16)
    n = max(2, outputs)
    counted = []
    with tracked() as run:
        for _ in range(epochs):
            model.train()
            for some, labels in batches:
                optimizer.zero_grad()
                loss(model(some), labels).backward()
                optimizer.step()
            model.eval()
            matrix = torch.zeros(n, n)
            with torch.no_grad():
                for some, labels in held_out:
                    out = model(some)
                    loss(out, labels)
                    said = predict(out)
                    if said is not None:
                        for label, one in zip(labels.reshape(-1).long(), said.reshape(-1).long(), strict=True):
                            matrix[label, one] += 1
            counted.append(matrix.reshape(-1).tolist())
    assert fault_parts(run) == []
    return run, counted


def test_the_matrix_of_each_evaluation_is_the_one_counted_by_hand():
    torch.manual_seed(1)
    x, y = torch.randn(128, 5), torch.randint(0, 4, (128,))
    run, counted = train(x, y, 4, functional.cross_entropy, lambda out: out.argmax(1))

    assert confusions(run, "val") == [(3 * epoch + 2, matrix) for epoch, matrix in enumerate(counted)]
    assert [sum(matrix) for _, matrix in confusions(run, "train")] == [48, 48, 48]


def test_a_binary_answer_has_a_matrix_of_two_by_two():
    torch.manual_seed(1)
    x = torch.randn(128, 5)
    y = (x[:, :1] + torch.randn(128, 1) > 0.5).float()
    run, counted = train(x, y, 1, functional.binary_cross_entropy_with_logits, lambda out: out > 0)

    assert [matrix for _, matrix in confusions(run, "val")] == counted


def test_several_questions_at_once_have_none():
    torch.manual_seed(1)
    x, y = torch.randn(128, 5), (torch.rand(128, 3) > 0.5).float()
    run, _ = train(x, y, 3, functional.binary_cross_entropy_with_logits, lambda out: None)

    assert confusions(run, "val") == confusions(run, "train") == []


def test_of_many_classes_the_pairs_that_are_confused_most_often_are_kept():
    torch.manual_seed(1)
    x, y = torch.randn(400, 5), torch.randint(0, 40, (400,))
    y[48:][::4] = 7
    run, counted = train(x, y, 40, functional.cross_entropy, lambda out: out.argmax(1), epochs=1)

    matrix = torch.tensor(counted[0]).reshape(40, 40).fill_diagonal_(0)
    [(_, flat)] = confusions(run, "val", "confusion/pairs")
    pairs = list(zip(flat[0::3], flat[1::3], flat[2::3], strict=True))
    assert confusions(run, "val") == []
    assert [n for *_, n in pairs] == sorted(matrix.reshape(-1).tolist(), reverse=True)[:MOST_PAIRS]
    assert all(matrix[int(label), int(said)] == n for label, said, n in pairs)


@pytest.mark.parametrize("evaluations", [5, 1000])
def test_of_many_evaluations_a_few_dozen_are_kept_and_always_the_last(evaluations, tmp_path):
    journal = Journal(tmp_path / "journal.bin")
    answers = Answers(journal)
    for at in range(evaluations):
        answers.write_details("val", at, Score(2, 1.0, 0.5, 0.0, 0.0, [1, 1], [1, 0], [2, 0], [[1, 0], [1, at]]))
    answers.conclude()
    answers.conclude()
    journal.close()

    kept = [r for _, r in JournalReader(journal.path).read() if isinstance(r, Array) and r.signal == "confusion"]
    steps = [record.step for record in kept]
    assert steps[:16] == list(range(min(evaluations, 16)))
    assert len(steps) == len(set(steps)) <= 48
    assert kept[-1] == Array("confusion", "val", evaluations - 1, (1, 0, 1, evaluations - 1))
