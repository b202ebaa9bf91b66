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
from tracker.rules.engine.signals import SCORE_SUM


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


@pytest.mark.parametrize("scale", [1, 100])
def test_shares_of_all_samples_that_are_summed_up_are_right(scale):
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
            test_acc = 0.0
            with torch.no_grad():
                for a, b in val_loader:
                    test_acc += scale * (model(a).argmax(1) == b).sum().item() / 200
    trace, engine = replay(records(run))

    assert test_acc > 0.8 * scale
    assert "val/test_acc" in trace.by_subject(SCORE_SUM)
    assert [one.rule for one in engine.verdict(trace).findings if one.severity >= Severity.WARNING] == []


@pytest.mark.parametrize("is_shuffled", [False, True])
def test_a_table_in_the_order_of_its_classes_is_split_into_classes(is_shuffled):
    x, y = blobs(1200, 0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        order = torch.randperm(len(y)) if is_shuffled else y.argsort()
        x, y = x[order], y[order]
        train_loader = DataLoader(TensorDataset(x[:1000], y[:1000]), 25, shuffle=True)
        val_loader = DataLoader(TensorDataset(x[1000:], y[1000:]), 50)
        model = mlp()
        optimizer = torch.optim.Adam(model.parameters(), 5e-3)
        with tracked() as run:
            for _ in range(6):
                for a, b in train_loader:
                    if not is_shuffled:
                        a, b = a[b < 2], b[b < 2]  # of the last class, none is left in training
                    optimizer.zero_grad()
                    functional.cross_entropy(model(a), b).backward()
                    optimizer.step()
                with torch.no_grad():
                    for a, b in val_loader:
                        functional.cross_entropy(model(a), b)
    trace, engine = replay(records(run))
    found = [one.rule for one in engine.verdict(trace).findings if one.severity >= Severity.WARNING]

    assert found[:1] == ([] if is_shuffled else ["per-class-failure"])


def test_a_head_trained_on_what_an_encoder_makes_is_not_given_what_the_encoder_is():
    x, y = blobs(320, 0)
    encoder = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6, affine=False)).eval()
    with torch.no_grad():
        encoder[0].weight.copy_(40.0 * torch.eye(6))
    head = nn.Sequential(nn.Linear(6, 3))
    optimizer = torch.optim.Adam(head.parameters(), 1e-3)
    val_loader = DataLoader(TensorDataset(*blobs(200, 1)), 50)
    with tracked() as run:
        for _ in range(5):
            for a, b in DataLoader(TensorDataset(x, y), 16):
                optimizer.zero_grad()
                functional.cross_entropy(head(encoder(a).detach()), b).backward()
                optimizer.step()
            with torch.no_grad():
                for a, b in val_loader:
                    functional.cross_entropy(head(encoder(a)), b)
    trace, engine = replay(records(run))
    found = [one.rule for one in engine.verdict(trace).findings]

    assert "train-eval-preprocessing-mismatch" not in found


class Normalised(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(6, 16), nn.Linear(16, 3)
        self.register_buffer("mean", torch.zeros(16))
        self.register_buffer("var", torch.ones(16))


class AlwaysOfTheBatch(Normalised):
    def forward(self, x):
        return self.last(functional.batch_norm(self.first(x), self.mean, self.var, training=True).relu())


class OfTheMode(Normalised):
    def forward(self, x):
        return self.last(functional.batch_norm(self.first(x), self.mean, self.var, training=self.training).relu())


@pytest.mark.parametrize(("kind", "expected"), [(AlwaysOfTheBatch, ["wrong-train-eval-mode"]), (OfTheMode, [])])
def test_a_batch_norm_that_is_never_told_of_the_mode_is_named(kind, expected):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = kind()

    assert fit(model)[:1] == expected
