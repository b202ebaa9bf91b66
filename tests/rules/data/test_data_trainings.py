"""Small real trainings with a fault in their data, and what the rules say of them and of their healthy twins."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.data import DataLoader, TensorDataset

from tests.trainings import mlp, records, tracked
from tracker.rules import Registry, Severity
from tracker.rules.engine.replay import replay


def blobs(n=320, seed=0):
    """Three classes in six dimensions, far enough apart to be learned in an epoch or two."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (n,), generator=generator)
    centres = torch.eye(3, 6) * 3
    return centres[y] + torch.randn(n, 6, generator=generator), y


def fit(x, y, held_out, epochs=6, shuffle=True, name="val_loader", weight=None):
    """What the verdict's findings of WARNING and worse are, the headline first."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        scope = {"train_loader": DataLoader(TensorDataset(x, y), 16, shuffle=shuffle)}
        held = scope[name] = DataLoader(TensorDataset(*held_out), 64)
        model = mlp()
        optimizer = torch.optim.Adam(model.parameters(), 5e-3)
        with tracked() as run:
            for _ in range(epochs):
                for a, b in scope["train_loader"]:
                    optimizer.zero_grad()
                    functional.cross_entropy(model(a), b, weight).backward()
                    optimizer.step()
                with torch.no_grad():
                    for a, _ in held:
                        model(a)
    trace, engine = replay(records(run))
    return [finding.rule for finding in engine.verdict(trace).findings if finding.severity >= Severity.WARNING]


def test_a_plain_training_has_nothing_wrong_with_its_data():
    assert fit(*blobs(), blobs(seed=1)) == []


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("unnormalised-input", lambda x, y, held: (x * 100, y, (held[0] * 100, held[1]))),
        ("constant-input", lambda x, y, held: (x[:1].expand_as(x).clone(), y, held)),
        ("constant-labels", lambda x, y, held: (x, torch.zeros_like(y), held)),
        ("train-eval-preprocessing-mismatch", lambda x, y, held: (x, y, (held[0] * 20, held[1]))),
        ("train-eval-preprocessing-mismatch", lambda x, y, held: (x, y, (held[0][:, [1, 2, 0, 3, 4, 5]], held[1]))),
        ("split-leakage", lambda x, y, held: (x, y, (x[:80], y[:80]))),
        ("evaluation-on-training-data", lambda x, y, held: (x, y, (x.clone(), y.clone()))),
    ],
)
def test_a_fault_in_the_data_is_the_headline(rule, change):
    x, y, held_out = change(*blobs(), blobs(seed=1))

    assert fit(x, y, held_out)[:1] == [rule]


def test_sorted_data_that_is_not_shuffled_is_the_headline():
    x, y = blobs()
    order = y.argsort()

    assert fit(x[order], y[order], blobs(seed=1), shuffle=False)[:1] == ["unshuffled-training-data"]
    assert fit(x[order], y[order], blobs(seed=1), shuffle=True) == []


def test_labels_that_were_shuffled_alone_cannot_be_learned():
    x, y = blobs(960)
    mixed = y[torch.randperm(960, generator=torch.Generator().manual_seed(1))]

    assert fit(x, mixed, blobs(200, seed=1))[:1] == ["unlearnable-labels"]


def test_weights_that_favour_the_frequent_class_are_inverted():
    x, y = blobs(900)
    kept = (y == 0) | (torch.arange(900) % 10 == 0)
    counts = torch.bincount(y[kept], minlength=3).float()

    assert fit(x[kept], y[kept], blobs(seed=1), weight=counts / counts.mean())[:1] == ["class-weights-inverted"]
    assert fit(x[kept], y[kept], blobs(seed=1), weight=counts.mean() / counts) == []


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_final_state_that_is_taken_behind_the_filler_is_the_headline(is_packed):
    lengths = torch.arange(320) % 10 + 4
    x, y = torch.zeros(320, 60, 4), torch.arange(320) // 10 % 2
    real = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)) * 0.3
    for row, (n, label) in enumerate(zip(lengths.tolist(), y.tolist(), strict=True)):
        x[row, :n] = real[row, :n] + torch.eye(4)[label]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer, head = torch.nn.GRU(4, 8, batch_first=True), torch.nn.Linear(8, 2)

        class Reader(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.layer, self.head = layer, head

            def forward(self, x, lengths):
                if is_packed:
                    x = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
                return self.head(self.layer(x)[1][-1])

        model, loader = Reader(), DataLoader(TensorDataset(x, lengths, y), 16, shuffle=True)
        optimizer = torch.optim.Adam(model.parameters(), 2e-3)
        with tracked() as run:
            for _ in range(8):
                for a, n, b in loader:
                    optimizer.zero_grad()
                    functional.cross_entropy(model(a, n), b).backward()
                    optimizer.step()
    trace, engine = replay(records(run))
    found = [one.rule for one in engine.verdict(trace).findings if one.severity >= Severity.WARNING]

    assert found[:1] == ([] if is_packed else ["padding-dominates"])


def test_the_rules_about_data_are_all_on():
    registry = Registry.discover()

    assert len([rule for rule in registry.rules.values() if rule.family() == "data" and rule.status == "stable"]) >= 17
