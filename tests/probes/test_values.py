"""Values of the terms of a loss that are nowhere at hand."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tests.trainings import data, facts, fault_parts, mlp, readings, tracked
from tracker.probes.values import value_of

X, Y = data()


@pytest.mark.parametrize(
    "make",
    [
        lambda model: model[0].weight.pow(2).sum(),
        lambda model: model[0].weight.abs().mean(),
        lambda model: (model[0].weight * model[0].weight).sum(),
        lambda model: model[0].weight.norm(),
        lambda model: -(0.5 * model[0].weight ** 2).sum(),
        lambda model: functional.cross_entropy(model(X), Y),
        lambda model: functional.cross_entropy(model(X), Y, weight=torch.tensor([1.0, 2.0, 3.0]), ignore_index=1),
        lambda model: functional.nll_loss(functional.log_softmax(model(X), 1), Y, reduction="sum"),
        lambda model: functional.mse_loss(model(X), torch.ones(24, 3)),
    ],
)
def test_a_value_that_is_computed_again_is_that_of_the_user(make):
    value = make(mlp())

    assert value_of(value.grad_fn) == pytest.approx(value.item(), rel=1e-5)


def test_what_saved_too_little_is_not_guessed():
    model = mlp()

    assert value_of((model(X) - 1).sum().grad_fn) is None
    assert value_of(functional.cross_entropy(model(X), Y, reduction="none").grad_fn) is None


def test_the_terms_of_a_loss_in_one_line_are_measured():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with tracked() as run:
        penalty = 0.1 * sum(p.pow(2).sum() for p in model.parameters())
        expected = (functional.cross_entropy(model(X), Y).item(), penalty.item())
        (functional.cross_entropy(model(X), Y) + 0.1 * sum(p.pow(2).sum() for p in model.parameters())).backward()
        optimizer.step()

    assert fault_parts(run) == []
    assert readings(run, "loss/term", "cross_entropy")[0][1] == pytest.approx(expected[0], rel=1e-5)
    assert readings(run, "loss/term", "l2_penalty")[0][1] == pytest.approx(expected[1], rel=1e-5)


@pytest.mark.parametrize(
    ("penalty", "function"),
    [
        (lambda model: sum(p.pow(2).sum() for p in model.parameters()), "l2_penalty"),
        (lambda model: sum(p.abs().sum() for p in model.parameters()), "l1_penalty"),
        (lambda model: sum(p.pow(2).sum() + p.abs().sum() for p in model.parameters()), "sum"),
        (lambda model: functional.mse_loss(model(X), X[:, :3]) + functional.mse_loss(model(-X), X[:, :3]), "sum"),
    ],
)
def test_a_variable_that_adds_up_penalties_of_one_kind_is_such_a_penalty(penalty, function):
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with tracked() as run:
        extra = 0.1 * penalty(model)
        (functional.cross_entropy(model(X), Y) + extra).backward()
        optimizer.step()

    assert fault_parts(run) == []
    assert {one["name"]: one["function"] for one in facts(run, "loss_terms")[0]}["extra"] == function
