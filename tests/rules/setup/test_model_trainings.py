"""Real trainings with one fault in the model or what it begins with, and healthy ones beside them."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from tests.trainings import fault_parts, tracked
from tracker.rules import Severity

generator = torch.Generator().manual_seed(0)
INPUTS = torch.randn(256, 8, generator=generator)
LABELS = (INPUTS[:, 0] > 0).long() + 2 * (INPUTS[:, 1] > 0).long()

RULES = {
    "missing-nonlinearity", "symmetric-initialisation", "initialisation-scale", "batchnorm-tiny-batch",
    "dropout-too-high", "initial-loss",
}  # fmt: skip


def found(*layers, prepare=None, batch_size=32, epochs=3):
    """Ids of the rules about the model that warn of a training of the layers."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(*[layer() for layer in layers])
        if prepare is not None:
            model.apply(lambda module: prepare(module) if isinstance(module, nn.Linear) else None)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        with tracked() as run:
            for _ in range(epochs):
                for x, y in DataLoader(TensorDataset(INPUTS, LABELS), batch_size=batch_size, shuffle=True):
                    optimizer.zero_grad()
                    functional.cross_entropy(model(x), y).backward()
                    optimizer.step()
    assert fault_parts(run) == []
    return {one.rule for one in run.findings if one.severity >= Severity.WARNING} & RULES


def linear(n_in, n_out):
    return lambda: nn.Linear(n_in, n_out)


USUAL = (linear(8, 32), nn.ReLU, linear(32, 32), nn.ReLU, linear(32, 4))


def large(module):
    nn.init.normal_(module.weight, std=3.0)


def constant(module):
    nn.init.constant_(module.weight, 0.1)


def zero(module):
    nn.init.zeros_(module.weight)
    nn.init.zeros_(module.bias)


def small_and_usual(module):
    nn.init.normal_(module.weight, std=0.05)


@pytest.mark.parametrize(
    ("layers", "options", "expected"),
    [
        ((linear(8, 32), linear(32, 32), linear(32, 4)), {}, {"missing-nonlinearity"}),
        (USUAL, {"prepare": large}, {"initialisation-scale", "initial-loss"}),
        (USUAL, {"prepare": constant}, {"symmetric-initialisation"}),
        (USUAL, {"prepare": zero}, {"symmetric-initialisation"}),
        ((linear(8, 32), nn.ReLU, lambda: nn.Dropout(0.9), linear(32, 4)), {}, {"dropout-too-high"}),
        ((linear(8, 32), nn.ReLU, linear(32, 4), lambda: nn.Dropout(0.2)), {}, {"dropout-too-high"}),
        (
            (linear(8, 32), lambda: nn.BatchNorm1d(32), nn.ReLU, linear(32, 4)),
            {"batch_size": 2, "epochs": 1},
            {"batchnorm-tiny-batch"},
        ),
    ],
)
def test_the_fault_of_a_model_is_named_and_no_other(layers, options, expected):
    assert found(*layers, **options) == expected


@pytest.mark.parametrize(
    ("layers", "options"),
    [
        (USUAL, {}),
        (USUAL, {"prepare": small_and_usual}),
        ((linear(8, 4),), {}),
        ((linear(8, 32), nn.ReLU, linear(32, 16), linear(16, 4)), {}),
        ((linear(8, 32), lambda: nn.BatchNorm1d(32), nn.ReLU, lambda: nn.Dropout(0.5), linear(32, 4)), {}),
    ],
)
def test_a_usual_model_is_left_alone(layers, options):
    assert found(*layers, **options) == set()
