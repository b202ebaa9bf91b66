"""Along which dimension each softmax works, and how much is dropped."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.trainings import data, facts, fault_parts, mlp, tracked

X, Y = data()
SEQUENCES = torch.randn(24, 5, 6, generator=torch.Generator().manual_seed(0))


def graph(loss_of, model):
    """The last fact `graph` of a run that trains with `loss_of(model)`."""
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with tracked() as run:
        for _ in range(2):
            optimizer.zero_grad()
            loss_of(model).backward()
            optimizer.step()
    assert fault_parts(run) == []
    return facts(run, "graph")[-1]


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_the_dimension_of_a_softmax_is_counted_from_the_front(dim):
    fact = graph(lambda model: functional.nll_loss(functional.log_softmax(model(X), dim), Y), mlp())

    assert fact["softmaxes"] == [
        {"op": "log_softmax", "shape": [24, 3], "dim": dim % 2, "tail": True, "summed": None, "batch": 24, "classes": 1}
    ]


class Attention(nn.Module):
    def __init__(self, dim, drop=0.0):
        super().__init__()
        self.dim, self.drop = dim, drop
        self.key, self.value, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        weights = torch.softmax(x @ self.key(x).transpose(1, 2), self.dim)
        return self.head((functional.dropout(weights, self.drop) @ self.value(x)).mean(1))


@pytest.mark.parametrize(("dim", "drop"), [(-1, 0.0), (1, 0.0), (1, 0.25)])
def test_attention_tells_where_its_weights_are_summed(dim, drop):
    fact = graph(lambda model: functional.cross_entropy(model(SEQUENCES), Y), Attention(dim, drop))
    inner = [one for one in fact["softmaxes"] if one["op"] == "softmax"]

    assert [(one["dim"], one["summed"], one["tail"]) for one in inner] == [(dim % 3, 2, False)]


def test_weights_that_are_transposed_first_are_not_judged():
    class Transposed(Attention):
        def forward(self, x):
            weights = torch.softmax(x @ self.key(x).transpose(1, 2), 1)
            return self.head((weights.transpose(1, 2) @ self.value(x)).mean(1))

    fact = graph(lambda model: functional.cross_entropy(model(SEQUENCES), Y), Transposed(1))

    assert [one["summed"] for one in fact["softmaxes"] if one["op"] == "softmax"] == [None]


def test_dropouts_of_modules_and_functions_are_seen_by_their_share():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.drop, self.head = nn.Linear(6, 32), nn.Dropout(0.2), nn.Linear(32, 3)

        def forward(self, x):
            return self.head(functional.dropout(self.drop(torch.relu(self.body(x))), 0.9))

    fact = graph(lambda model: functional.cross_entropy(model(X), Y), Net())

    assert fact["dropouts"] == [pytest.approx(0.2), pytest.approx(0.9)]


def test_a_product_with_data_is_no_dropout():
    fact = graph(lambda model: functional.cross_entropy(model(X) * torch.rand(24, 3), Y), mlp())

    assert fact["dropouts"] == []


def test_the_share_of_each_dropout_module_is_told_with_the_model():
    model = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.3), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with tracked() as run:
        for _ in range(2):
            functional.cross_entropy(model(X), Y).backward()
            optimizer.step()
    layers = facts(run, "model")[-1][""]["layers"]

    assert layers["1"]["p"] == pytest.approx(0.3)
    assert "p" not in layers["0"]
