"""Where a loss that is not finite came from, and with which batch."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from tests.trainings import data, events, fault_parts, mlp, tracked
from tracker.probes.origin import origin_of

X, Y = data()


def origin(make, model=None):
    """The origin of the loss that `make(model)` computes, with its graph alive."""
    model = model or mlp()
    return origin_of(make(model).grad_fn), model


def test_a_logarithm_of_zero_is_named_with_what_it_was_given():
    found, model = origin(lambda model: torch.log(functional.relu(model(X)) * 0).mean())

    assert (found.kind, found.op) == ("operation", "log")
    assert (found.low, found.high) == (0, 0)
    assert found.parameter is model[2].weight


def test_a_division_by_zero_is_named():
    found, _ = origin(lambda model: (model(X).square() / torch.zeros(24, 3)).mean())

    assert (found.kind, found.op, found.high) == ("operation", "div", 0)


def test_an_overflow_inside_of_the_model_is_named_with_its_layer():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(6, 8), nn.Linear(8, 3)

        def forward(self, x):
            return self.head(torch.exp(1000 * self.body(x).abs()))

    found, model = origin(lambda model: functional.cross_entropy(model(X), Y), Net())

    assert (found.kind, found.op) == ("operation", "exp")
    assert found.parameter is model.body.weight


def test_data_that_is_not_finite_is_told_from_an_operation():
    broken = X.clone()
    broken[5, 2] = float("nan")
    found, model = origin(lambda model: functional.cross_entropy(model(broken), Y))

    assert found.kind == "input"
    assert found.parameter is model[0].weight


def test_weights_that_are_lost_already_are_named():
    model = mlp()
    with torch.no_grad():
        model[0].weight[1, 1] = float("nan")
    found, _ = origin(lambda model: functional.cross_entropy(model(X), Y), model)

    assert found.kind == "weight"
    assert found.parameter is model[0].weight


def test_a_mask_of_minus_infinity_is_no_fault_by_itself():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.scores, self.gate = nn.Linear(6, 6), nn.Parameter(torch.zeros(6))

        def forward(self, x):
            return self.scores(x).masked_fill(torch.eye(24, 6, dtype=torch.bool), float("-inf")) * self.gate

    found, _ = origin(lambda model: model(X).mean(), Masked())

    assert found.op == "mul"


def test_targets_that_are_not_finite_are_told_from_a_layers_input():
    found, _ = origin(lambda model: functional.mse_loss(model(X), torch.full((24, 3), float("nan"))))

    assert (found.kind, found.op, found.parameter) == ("input", "mseloss", None)


def losing(batches, model=None):
    """The event `nonfinite_origin` of a run over the batches, of which one holds a NaN, and the run."""
    model = model or mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with tracked() as run:
        for x, y in batches:
            loss = functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            if torch.isfinite(loss):
                optimizer.step()
    assert fault_parts(run) == []
    return events(run, "nonfinite_origin")


def poisoned():
    x = X.clone()
    x[13, 0] = float("nan")
    return TensorDataset(x, Y)


def test_the_event_names_layer_and_samples_of_the_batch():
    found = losing(DataLoader(poisoned(), batch_size=4))

    assert len(found) == 1
    assert found[0].step == 3
    assert (found[0].data["kind"], found[0].data["module"]) == ("input", "0")
    assert found[0].data["batch_indices"] == [12, 13, 14, 15]


def test_the_samples_are_those_of_a_shuffled_order():
    generator = torch.Generator().manual_seed(1)
    found = losing(DataLoader(poisoned(), batch_size=4, shuffle=True, generator=generator))

    assert 13 in found[0].data["batch_indices"]


@pytest.mark.slow
def test_batches_that_workers_fetch_ahead_are_told_apart():
    found = losing(DataLoader(poisoned(), batch_size=4, num_workers=2, prefetch_factor=3))

    assert found[0].data["batch_indices"] == [12, 13, 14, 15]


def test_the_second_pass_over_a_loader_begins_to_count_anew():
    batches = DataLoader(poisoned(), batch_size=4)

    def two_passes():
        for number, batch in enumerate(batches):
            if number == 2:
                break
            yield batch
        yield from batches

    assert losing(two_passes())[0].data["batch_indices"] == [12, 13, 14, 15]


class Stream(IterableDataset):
    def __iter__(self):
        yield from zip(*poisoned().tensors, strict=True)


def test_a_stream_has_no_indices():
    found = losing(DataLoader(Stream(), batch_size=4))

    assert len(found) == 1
    assert found[0].data["batch_indices"] is None


def test_a_loss_on_detached_values_is_told_without_an_origin():
    parameter = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], 0.1)
    with tracked() as run:
        (parameter * float("nan")).sum().backward()
        optimizer.step()

    assert fault_parts(run) == []
    assert len(events(run, "nonfinite_origin")) == 1


def test_a_finite_training_has_no_origin():
    assert losing(DataLoader(TensorDataset(X, Y), batch_size=4)) == []
