"""Weights that were cut off at bounds."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tests.trainings import events, facts, fault_parts, mlp, tracked
from tracker.probes.weights import bounds_of


def clamped(run_steps, low, high, layers=(0, 2)):
    """A run of a small classifier whose weights are clamped after each step, in some of its layers."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(96, 6, generator=generator)
    y = x[:, :3].argmax(1)
    model = mlp()
    optimizer = torch.optim.RMSprop(model.parameters(), 1e-3)
    with tracked() as run:
        for _ in range(run_steps // 6):
            for rows in torch.randperm(96, generator=generator).split(16):
                optimizer.zero_grad()
                functional.cross_entropy(model(x[rows]), y[rows]).backward()
                optimizer.step()
                for layer in layers:
                    model[layer].weight.data.clamp_(low, high)
            run.epoch()
    assert fault_parts(run) == []
    return run


def test_weights_that_are_cut_off_at_both_sides_are_told_and_are_the_first_headline():
    run = clamped(240, -0.01, 0.01)
    (first, second) = facts(run, "bounds")[-1]
    headlines = [one["rule"] for one in events(run, "verdict")[-1].data["findings"] if one["severity"] != "info"]

    assert (first["name"], second["name"]) == ("0.weight", "2.weight")
    assert first["bound"] == second["bound"] == pytest.approx(0.01)
    assert 0.1 < first["share"] <= 1.0
    assert headlines[0] == "regularisation-dominates"


@pytest.mark.parametrize(
    ("low", "high", "layers", "told"),
    [
        (-10.0, 10.0, (0, 2), []),
        (0.0, 10.0, (0, 2), []),  # non-negative: many are 0, at one side
        (-0.01, 0.01, (0,), ["0.weight"]),
    ],
)
def test_bounds_are_told_where_numbers_are_at_both(low, high, layers, told):
    run = clamped(60, low, high, layers)
    headlines = [one["rule"] for one in events(run, "verdict")[-1].data["findings"] if one["severity"] != "info"]

    assert [one["name"] for one in (facts(run, "bounds") or [[]])[-1]] == told
    assert "regularisation-dominates" not in headlines


def test_one_number_as_large_as_many_others_with_another_sign_is_no_bound():
    weight = torch.linspace(-1.0, 1.0, 200).reshape(10, 20)
    weight[0] = -1.0

    assert bounds_of(weight) is None
    weight[9] = 1.0
    assert bounds_of(weight) == (1.0, pytest.approx(0.2))
