"""What is told of the numbers that a loss compares."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.trainings import data, facts, fault_parts, loader, mlp, step, tracked

X, Y = data()


def told(loss_of, model=None, steps=2):
    """The last fact `targets` of a run that trains with `loss_of(model)`."""
    model = model or mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with tracked() as run:
        for _ in range(steps):
            optimizer.zero_grad()
            loss_of(model).backward()
            optimizer.step()
    assert fault_parts(run) == []
    found = facts(run, "targets")
    return found[-1][0] if found else None


def test_labels_are_listed_and_counted_with_the_shape_they_had():
    seen = told(lambda model: functional.cross_entropy(model(X), Y))

    assert seen["function"] == "cross_entropy"
    assert seen["values"] == [0.0, 1.0, 2.0]
    assert sum(seen["counts"]) == seen["samples"] == 48
    assert (seen["outputs"], seen["targets"], seen["whole"]) == ([24, 3], [24], True)
    assert seen["output_row_low"] == pytest.approx(1) == seen["output_row_high"]


def test_an_ignored_label_is_counted_apart():
    seen = told(lambda model: functional.cross_entropy(model(X), Y, ignore_index=1), steps=1)

    assert seen["ignored"] == 1
    assert seen["n_ignored"] == int((Y == 1).sum()) > 0
    assert seen["values"] == [0.0, 2.0]


def test_regression_targets_have_a_range_and_a_spread_and_no_list():
    model, targets = nn.Linear(6, 1), torch.linspace(-3, 5, 240).view(24, 10)[:, :1]
    seen = told(lambda model: functional.mse_loss(model(X), targets), model, steps=1)

    assert seen["low"] == pytest.approx(float(targets.min()))
    assert seen["mean"] == pytest.approx(float(targets.mean()), rel=1e-4)
    assert seen["std"] == pytest.approx(float(targets.std(correction=0)), rel=1e-4)
    assert seen["whole"] is False


def test_more_values_than_are_listed_are_null():
    model, targets = nn.Linear(6, 4), torch.arange(96.0).view(24, 4)
    seen = told(lambda model: functional.mse_loss(model(X), targets), model)

    assert (seen["values"], seen["counts"]) == (None, None)
    assert seen["whole"] is True


@pytest.mark.parametrize(("targets", "expected"), [(Y.float(), True), (Y.float() + 1, False)])
def test_floats_that_are_the_integers_of_a_variable_are_labels(targets, expected):
    labels = Y  # in sight, as in a loop by hand
    model = nn.Linear(6, 1)
    seen = told(lambda model: functional.mse_loss(model(X).squeeze(1), targets), model)

    assert len(labels) == 24
    assert seen["labels"] is expected


def test_labels_of_a_batch_are_found_when_they_are_converted():
    model = nn.Linear(6, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with tracked() as run:
        for x, y in loader():
            optimizer.zero_grad()
            functional.mse_loss(model(x).squeeze(1), y.float()).backward()
            optimizer.step()

    assert facts(run, "targets")[-1][0]["labels"] is True


@pytest.mark.parametrize("distance", [lambda a, b: functional.l1_loss(a, b), lambda a, b: ((b - a) ** 2).mean()])
def test_targets_of_a_distance_that_saves_only_the_difference_follow_from_an_activation(distance):
    model, targets = nn.Sequential(nn.Linear(6, 1), nn.ReLU()), torch.linspace(-2, 3, 24).view(24, 1)
    seen = told(lambda model: distance(model(X), targets), model, steps=1)

    assert (seen["low"], seen["high"]) == (pytest.approx(-2, abs=1e-5), pytest.approx(3, abs=1e-5))
    assert seen["outputs_low"] == 0


def test_outputs_compared_with_outputs_have_no_targets():
    model = nn.Sequential(nn.Linear(6, 1), nn.ReLU())

    assert told(lambda model: (model(X) - model(X + 1)).abs().mean(), model) is None


def test_sums_of_soft_targets_are_told():
    shares = torch.rand(24, 3, generator=torch.Generator().manual_seed(0)) + 1
    seen = told(lambda model: functional.cross_entropy(model(X), shares), steps=1)

    assert seen["row_low"] == pytest.approx(float(shares.sum(1).min()))
    assert seen["row_high"] == pytest.approx(float(shares.sum(1).max()))


def test_infinite_targets_are_left_out_of_the_range():
    targets = torch.linspace(0, 1, 24).view(24, 1).clone()
    targets[3] = float("inf")
    seen = told(lambda model: functional.mse_loss(model(X), targets), nn.Linear(6, 1), steps=1)

    assert seen["high"] == pytest.approx(1)
    assert seen["samples"] == 23


def test_a_long_training_is_told_about_ever_more_rarely():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with tracked() as run:
        for _ in range(10):
            for x, y in loader():
                step(model, optimizer, x, y)

    assert [one[0]["steps"] for one in facts(run, "targets")[:3]] == [1, 2, 4]
    assert len(facts(run, "targets")) <= 6


def test_of_a_long_training_only_some_watched_steps_are_looked_at():
    model = mlp()
    seen = told(lambda model: functional.cross_entropy(model(X), Y), model, steps=400)

    assert 24 <= seen["steps"] < 35  # of 49 that are watched closely
