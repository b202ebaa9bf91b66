"""Small real trainings with a fault in their data, and what the rules say of them and of their healthy twins."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
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


def test_the_rules_about_data_are_all_on():
    registry = Registry.discover()

    assert len([rule for rule in registry.rules.values() if rule.family() == "data" and rule.status == "stable"]) >= 17
