"""One batch, repeated until it is known by heart: healthy models pass, broken ones fail for the reason they have."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tracker import preflight
from tracker.drilling.calling import subject_of
from tracker.drilling.measuring import drive, measuring
from tracker.drilling.subject import Subject
from tracker.drills import overfit_one_batch
from tracker.drills.attempt import learning_rate
from tracker.drills.overfit_one_batch import OverfitOneBatch
from tracker.drills.regularisation_off import regularisation_off
from tracker.rules.engine.records import Fact, Reading

ONLY = ("overfit-one-batch",)


@pytest.fixture(autouse=True)
def _seeded(monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(overfit_one_batch, "ITERATIONS", 120)  # a hundred are judged
    monkeypatch.setattr(overfit_one_batch, "AGAIN", 60)


def mlp(outputs=10, hidden=64):
    return nn.Sequential(
        nn.Linear(20, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )


def labels(n=32, classes=10):
    return torch.randint(0, classes, (n,))


def drilled(model, loss, batch, optimizer=None):
    optimizer = optimizer or torch.optim.Adam(model.parameters(), 1e-3)
    return preflight(model, loss, batch, optimizer=optimizer, only=ONLY, log=False, seconds=60).row("overfit-one-batch")


def with_dropout():
    return nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 10))


class Tokens(nn.Module):
    """The next token, of the last one and what a recurrent layer keeps."""

    def __init__(self):
        super().__init__()
        self.embedding, self.lstm, self.head = (
            nn.Embedding(12, 16),
            nn.LSTM(16, 32, batch_first=True),
            nn.Linear(32, 12),
        )

    def forward(self, x):
        return self.head(self.lstm(self.embedding(x))[0])


def of_tokens(outputs, targets):
    return F.cross_entropy(outputs.flatten(0, 1), targets.flatten(), ignore_index=0)


def slow_but(cases, *fast):
    """The cases, of which only the fast ones are in the fast suite."""
    return [pytest.param(one, id=name, marks=[] if name in fast else pytest.mark.slow) for name, one in cases.items()]


HEALTHY = {
    "dropout and smoothing": (
        with_dropout,
        nn.CrossEntropyLoss(label_smoothing=0.1),
        lambda: (torch.randn(32, 20), labels()),
        1e-2,
    ),
    "regression": (lambda: mlp(1), F.mse_loss, lambda: (torch.randn(32, 20), torch.randn(32, 1)), 3e-3),
    "rare positives": (
        lambda: mlp(5),
        nn.BCEWithLogitsLoss(pos_weight=torch.full((5,), 3.0)),
        lambda: (torch.randn(32, 20), (torch.rand(32, 5) > 0.8).float()),
        3e-3,
    ),
    "tokens": (Tokens, of_tokens, lambda: (torch.randint(0, 12, (4, 8)), torch.randint(0, 12, (4, 8))), 3e-2),
}


@pytest.mark.parametrize("case", slow_but(HEALTHY, "dropout and smoothing", "tokens"))
def test_a_healthy_model_learns_the_batch_by_heart(case):
    make, loss, batch, rate = case
    model = make()

    row = drilled(model, loss, batch(), torch.optim.Adam(model.parameters(), rate, weight_decay=0.1))

    assert row.status == "passed", row


def test_the_entropy_of_labels_that_contradict_each_other_is_a_floor():
    half = torch.randn(16, 20)
    batch = torch.cat([half, half]), torch.arange(2).repeat_interleave(16)

    row = drilled(mlp(2), F.cross_entropy, batch)

    assert row.status == "passed"
    assert "lowest possible 0.693" in row.says


def test_a_loss_that_still_falls_is_left_open():
    model = mlp(hidden=16)

    row = drilled(model, F.cross_entropy, (torch.randn(32, 20), labels()), torch.optim.SGD(model.parameters(), 1e-3))

    assert row.status == "skipped"
    assert "still falls" in row.says


def test_a_linear_model_of_noise_is_left_open():
    x = torch.randn(200, 20)
    model = nn.Linear(20, 1)

    row = drilled(model, F.mse_loss, (x, torch.randn(200, 1)), torch.optim.SGD(model.parameters(), 0.1))

    assert row.status == "skipped"


def zeroed(model):
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    return model


class Cut(nn.Module):
    """Its last layer never sees the inputs."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(20, 32), nn.Linear(32, 10)

    def forward(self, x):
        return self.head(self.body(x).detach() * 0)


class NeverCleared(torch.optim.Adam):
    """Gradients of all steps add up."""

    def zero_grad(self, set_to_none=True):
        """Does not."""


FAULTY = {
    "a second softmax": (lambda: nn.Sequential(mlp(4), nn.Softmax(1)), F.cross_entropy, 1e-2, "remove the softmax"),
    "too small a rate": (mlp, F.cross_entropy, 1e-8, "Learning rate too small"),
    "zero weights": (lambda: zeroed(mlp(4)), F.cross_entropy, 1e-2, "Not connected"),
    "inputs cut off": (Cut, F.cross_entropy, 5e-2, "Not connected"),
    "a turned sign": (mlp, lambda outputs, targets: -F.cross_entropy(outputs, targets), 1e-3, "Turn the sign"),
    "not finite": (mlp, lambda outputs, targets: (outputs.mean() - 5).log(), 1e-3, "logarithm"),
}


@pytest.mark.parametrize("case", slow_but(FAULTY, "a second softmax", "inputs cut off"))
def test_a_broken_training_fails_and_the_reason_comes_first(case):
    make, loss, rate, reason = case
    model = make()

    row = drilled(model, loss, (torch.randn(16, 20), labels(16, 4)), torch.optim.Adam(model.parameters(), rate))

    assert row.status == "failed", row
    assert reason in row.findings[0]["advice"][0], row


def test_a_rate_that_is_too_high_is_named_with_one_that_is_not():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 5.0, momentum=0.9)

    row = drilled(model, F.cross_entropy, (torch.randn(16, 20), labels(16, 4)), optimizer)

    assert row.status == "failed", row
    assert row.findings[0]["advice"][0] == "Learning rate: take 0.1 times it, 0.5."


@pytest.mark.filterwarnings("ignore:Using a target size")
def test_predictions_in_another_shape_than_their_targets_are_named():
    model = mlp(1, 16)
    row = drilled(model, F.mse_loss, (torch.randn(32, 20), torch.randn(32)), torch.optim.Adam(model.parameters(), 1e-2))

    assert row.status == "failed"
    assert "same shape" in row.findings[0]["advice"][0]


def test_an_optimizer_of_another_model_moves_nothing():
    row = drilled(mlp(), F.cross_entropy, (torch.randn(8, 20), labels(8)), torch.optim.Adam(mlp().parameters()))

    assert row.status == "failed"
    assert "0 of 6 parameters moved" in row.findings[0]["message"]


def test_gradients_that_nobody_clears_are_seen_even_when_the_loss_falls():
    model = mlp()

    row = drilled(model, F.cross_entropy, (torch.randn(8, 20), labels(8)), NeverCleared(model.parameters(), 1e-3))

    assert row.status == "failed"
    assert "zero_grad" in row.findings[0]["advice"][0]


def test_everything_is_as_before_when_the_loop_is_interrupted():
    model = with_dropout()
    criterion = nn.CrossEntropyLoss(label_smoothing=0.2)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.3)
    subject = subject_of(model, criterion, (torch.randn(8, 20), labels(8)), optimizer=optimizer)
    before, random = [one.detach().clone() for one in model.parameters()], torch.get_rng_state()
    steps = measuring(subject, [OverfitOneBatch(5.0)], lambda records: None, lambda: False, 5.0)
    next(steps)
    during = model[2].p, optimizer.param_groups[0]["weight_decay"]
    for parameter in model.parameters():
        parameter.data.add_(1.0)
    with pytest.raises(KeyboardInterrupt):
        steps.throw(KeyboardInterrupt())

    assert during == (0.0, 0.0)
    assert all(torch.equal(one, two) for one, two in zip(before, model.parameters(), strict=True))
    assert (model[2].p, criterion.label_smoothing, optimizer.param_groups[0]["weight_decay"]) == (0.5, 0.2, 0.3)
    assert torch.equal(random, torch.get_rng_state())
    assert not nn.modules.module._global_forward_pre_hooks


def test_a_criterion_outside_the_model_smooths_nothing_inside_the_block():
    criterion = nn.CrossEntropyLoss(label_smoothing=0.2)
    subject = Subject(nn.Linear(4, 3), ())
    outputs, targets = torch.randn(5, 3), labels(5, 3)
    with regularisation_off(subject) as off:
        without = criterion(outputs, targets)

    assert off == {"label smoothing"}
    assert torch.equal(without, F.cross_entropy(outputs, targets))
    assert criterion.label_smoothing == 0.2


def test_a_changed_learning_rate_is_that_of_the_step_alone():
    model = nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    model.weight.grad, before = torch.ones(1, 1), model.weight.detach().clone()
    with learning_rate(Subject(model, (), optimizers=[optimizer]), 10.0):
        optimizer.step()

    assert torch.allclose(before - model.weight, torch.ones(1, 1))
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_the_curve_is_written_and_the_fact_holds_finite_numbers():
    model = mlp(hidden=16)
    optimizer = torch.optim.SGD(model.parameters(), 1e3)
    subject = subject_of(model, F.cross_entropy, (torch.randn(8, 20) * 100, labels(8)), optimizer=optimizer)
    records = []
    drive(measuring(subject, [OverfitOneBatch(5.0)], records.extend, lambda: False, 5.0), subject)
    fact = next(one.value for one in records if isinstance(one, Fact) and one.name == "drill/overfit-one-batch")
    curves = {one.subject for one in records if isinstance(one, Reading)}

    assert fact["nonfinite_at"] is not None or fact["last"] > fact["first"]
    assert {"overfit-one-batch", "overfit-one-batch/rate x0.1"} <= curves
    assert all(one is None or math.isfinite(one) for one in fact.values() if isinstance(one, (int, float)))
