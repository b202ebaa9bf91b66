"""Small real trainings whose evaluation is wrong, and what the rules say of them and of their healthy twins."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from tests.trainings import mlp, records, tracked
from tracker.rules import Severity
from tracker.rules.engine.replay import replay


def blobs(n, seed):
    """Three classes in six dimensions, far enough apart to be learned in an epoch or two."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (n,), generator=generator)
    return torch.eye(3, 6)[y] * 3 + torch.randn(n, 6, generator=generator), y


def fit(model, score=lambda right, batches: right / 200, epochs=5):
    """The verdict's findings of WARNING and worse, the headline first; the script scores itself by `score`."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        train_loader = DataLoader(TensorDataset(*blobs(320, 0)), 16, shuffle=True)
        val_loader = DataLoader(TensorDataset(*blobs(200, 1)), 50)
        optimizer = torch.optim.Adam(model.parameters(), 5e-3)
        seen = []
        with tracked() as run:
            for _ in range(epochs):
                model.train()
                for a, b in train_loader:
                    optimizer.zero_grad()
                    functional.cross_entropy(model(a), b).backward()
                    optimizer.step()
                model.eval()
                with torch.no_grad():
                    right = sum(int((model(a).argmax(1) == b).sum()) for a, b in val_loader)
                val_acc = score(right, len(val_loader))
                seen.append(val_acc)
    trace, engine = replay(records(run))
    return [finding.rule for finding in engine.verdict(trace).findings if finding.severity >= Severity.WARNING]


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (lambda right, batches: right / 200, []),
        (lambda right, batches: 100 * right / 200, []),
        (lambda right, batches: right / batches, ["metric-inconsistent"]),
        (lambda right, batches: 1 - right / 200, ["metric-inconsistent"]),
    ],
)
def test_an_accuracy_that_the_script_gets_wrong_is_the_headline(score, expected):
    assert fit(mlp(), score) == expected


@pytest.mark.parametrize("is_wrong", [False, True])
def test_an_accuracy_that_is_only_printed_is_found_wrong_by_what_was_counted(is_wrong, capsys):
    def share_of_all_pairs(loader, model):
        correct, total = 0.0, 0
        for a, b in loader:
            predicted = model(a).argmax(1, keepdim=is_wrong)  # (N, 1) == (N,) is N x N
            correct += (predicted == b).float().mean().item() * len(b)
            total += len(b)
        return correct / total

    train_loader = DataLoader(TensorDataset(*blobs(320, 0)), 16)
    val_loader = DataLoader(TensorDataset(*blobs(200, 1)), 50)
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    with tracked() as run:
        for _ in range(5):
            for a, b in train_loader:
                optimizer.zero_grad()
                functional.cross_entropy(model(a), b).backward()
                optimizer.step()
            with torch.no_grad():
                print(f"{share_of_all_pairs(val_loader, model):.3f}")
    trace, engine = replay(records(run))
    found = [finding for finding in engine.verdict(trace).findings if finding.severity >= Severity.WARNING]

    assert capsys.readouterr().out.count("\n") == 5
    assert [(one.rule, one.subject) for one in found] == [("metric-inconsistent", "val/correct")] * is_wrong


@pytest.mark.parametrize(("momentum", "expected"), [(0.1, []), (1e-4, ["norm-statistics"])])
def test_running_statistics_that_do_not_follow_are_named(momentum, expected):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        shift = nn.Linear(6, 16)
        nn.init.constant_(shift.bias, 20.0)  # the statistics start at 0, far from what they are to be
        model = nn.Sequential(shift, nn.BatchNorm1d(16, momentum=momentum), nn.ReLU(), nn.Linear(16, 3))

    assert fit(model)[:1] == expected
