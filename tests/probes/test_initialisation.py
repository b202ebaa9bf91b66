"""What is told of the weights that a training begins with."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.trainings import data, facts, fault_parts, mlp, step, tracked

X, Y = data()


def told(model, steps=2):
    """The fact `initialisation` of a run that trains the model, by name."""
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        for _ in range(steps):
            step(model, optimizer, X, Y)
    assert fault_parts(run) == []
    found = facts(run, "initialisation")
    assert len(found) == 1
    return {one["name"]: one for one in found[0]}


def test_weights_are_described_as_they_were_ahead_of_the_first_step():
    model = mlp()
    before = model[0].weight.detach().clone()
    seen = told(model)["0.weight"]

    assert (seen["shape"], seen["fan_in"]) == ([8, 6], 6)
    assert seen["std"] == pytest.approx(float(before.std(correction=0)), rel=1e-5)
    assert seen["low"] == pytest.approx(float(before.min()))
    assert [seen["zero"], seen["constant"], seen["same_rows"]] == [False, False, False]
    assert not torch.equal(before, model[0].weight)


def test_biases_are_left_out():
    assert list(told(mlp())) == ["0.weight", "2.weight"]


def test_constant_weights_and_equal_units_are_told_apart():
    model = mlp()
    nn.init.constant_(model[0].weight, 0.5)
    with torch.no_grad():
        model[2].weight.copy_(torch.linspace(-1, 1, 8).expand(3, 8))
    seen = told(model)

    assert (seen["0.weight"]["constant"], seen["0.weight"]["same_rows"], seen["0.weight"]["zero"]) == (
        True,
        True,
        False,
    )
    assert (seen["2.weight"]["constant"], seen["2.weight"]["same_rows"]) == (False, True)


def test_zero_weights_are_told():
    model = mlp()
    nn.init.zeros_(model[2].weight)

    assert told(model)["2.weight"]["zero"] is True


def test_frozen_weights_are_left_out():
    model = mlp()
    model[0].weight.requires_grad_(False)

    assert list(told(model)) == ["2.weight"]


def test_the_fan_in_of_a_convolution_counts_its_window():
    model = nn.Sequential(nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 4, 3), nn.Flatten(), nn.Linear(16, 3))

    assert told(model)["1.weight"]["fan_in"] == 3


def test_of_a_large_weight_rows_are_sampled_in_whole():
    model = nn.Sequential(nn.Linear(6, 1500), nn.ReLU(), nn.Linear(1500, 1500), nn.ReLU(), nn.Linear(1500, 3))
    with torch.no_grad():
        model[2].weight.copy_(torch.linspace(-1, 1, 1500).expand(1500, 1500))

    assert told(model, steps=1)["2.weight"]["same_rows"] is True
