"""Which column of a table says what its label is."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.trainings import events, facts, fault_parts, tracked

ROWS, COLUMNS = 96, 6


def table(seed=0):
    """Six columns, and labels that hang on the sum of two of them and on chance."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(ROWS, COLUMNS, generator=generator)
    hidden = x[:, 0] + x[:, 1] + torch.randn(ROWS, generator=generator)
    return x, hidden


def trained(x, y, loss_of, n_out):
    model = nn.Sequential(nn.Linear(x.shape[1], 16), nn.ReLU(), nn.Linear(16, n_out))
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with tracked() as run:
        for _ in range(4):
            for rows in torch.arange(ROWS).split(16):
                optimizer.zero_grad()
                loss_of(model(x[rows]), y[rows]).backward()
                optimizer.step()
    assert fault_parts(run) == []
    return run, facts(run, "features")[-1]


def mean_squares(outputs, targets):
    return functional.mse_loss(outputs[:, 0], targets)


def test_a_quantity_among_the_inputs_is_found_whatever_its_scale():
    x, y = table()
    x[:, 4] = 100 - 3 * y
    _, fact = trained(x, y, mean_squares, 1)

    assert (fact["input"], fact["kind"], fact["column"], fact["columns"]) == ("input", "quantity", 4, COLUMNS)
    assert fact["score"] == pytest.approx(1, abs=1e-5)
    assert fact["others"] < 0.8


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_label_among_the_inputs_is_found(noise):
    x, hidden = table()
    y = hidden.gt(0).long() + hidden.gt(1).long()
    x[:, 2] = 5 + 2 * y + noise * torch.randn(ROWS, generator=torch.Generator().manual_seed(1))
    run, fact = trained(x, y, functional.cross_entropy, 3)
    findings = events(run, "verdict")[-1].data["findings"]

    assert (fact["kind"], fact["column"], fact["telling"]) == ("labels", 2, 1)
    assert fact["score"] > 30
    assert findings[0]["rule"] == "feature-label-leak"


def test_one_hot_labels_among_the_inputs_are_found():
    x, hidden = table()
    y = hidden.gt(0).long() + hidden.gt(1).long()
    _, fact = trained(torch.cat([x, functional.one_hot(y, 3)], 1), y, functional.cross_entropy, 3)

    assert fact["column"] >= COLUMNS
    assert (fact["score"], fact["telling"]) == (1e9, 3)


def test_what_has_to_be_learned_scores_low():
    x, hidden = table()
    run, fact = trained(x, hidden.gt(0).long(), functional.cross_entropy, 2)
    findings = events(run, "verdict")[-1].data["findings"]

    assert fact["score"] < 3
    assert "feature-label-leak" not in str(findings)


def test_a_constant_column_tells_nothing():
    x, hidden = table()
    x[:, 3] = 7.0
    _, fact = trained(x, hidden, mean_squares, 1)

    assert fact["column"] in (0, 1)
    assert fact["score"] < 0.9


def test_a_single_column_is_all_there_is_to_learn_from():
    x, y = torch.linspace(-1, 1, ROWS)[:, None], torch.linspace(-2, 2, ROWS)
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with tracked() as run:
        for _ in range(3):
            mean_squares(model(x), y).backward()
            optimizer.step()
            optimizer.zero_grad()

    assert fault_parts(run) == []
    assert facts(run, "features") == []
