"""Losses weighed each with each, and recurrent outputs that cannot reach the targets: edges, and real trainings."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.trainings import tracked
from tracker.rules.loss.final_layer_nonlinearity import FinalLayerNonlinearity
from tracker.rules.loss.target_contract import TargetContract
from tracker.rules.testing import judge


@pytest.mark.parametrize(
    ("by", "outputs", "targets", "result", "words"),
    [
        ("product", [32, 1], [32], [32, 32], "a product of outputs 32x1 and 32 targets"),
        ("choice", [32, 1], [32], [32, 32], "a choice of"),
        ("product", [32, 1], [1], [32, 1], None),
        ("product", [32, 1], [5], [32, 5], None),
    ],
)
def test_weighing_is_told_where_as_many_weights_as_outputs_meet(by, outputs, targets, result, words):
    one = {"function": "the loss", "by": by, "outputs": outputs, "targets": targets, "result": result}
    found = judge(TargetContract(), facts={"loss": {"function": "unknown"}, "graph": {"broadcast": [one]}})

    assert bool(found) is (words is not None)
    assert words is None or words in found[0].message


@pytest.mark.parametrize(("low", "high", "is_found"), [(-0.9, 0.95, False), (-1.2, 1.1, False), (-1.5, 3.0, True)])
def test_a_hidden_state_reaches_no_targets_beyond_1(low, high, is_found):
    facts = {
        "graph": {"tails": [{"loss": "mse_loss", "ops": ["hidden_state"], "layer": "last.weight_ih_l0"}]},
        "targets": [{"function": "mse_loss", "low": low, "high": high, "mean": 0.0, "std": 0.5}],
    }
    found = judge(FinalLayerNonlinearity(), facts=facts)

    assert [one.subject for one in found] == (["last"] if is_found else [])


class Forecaster(nn.Module):
    def __init__(self, last):
        super().__init__()
        self.body, self.last = nn.GRU(1, 8, batch_first=True), last

    def forward(self, x):
        given = self.last(self.body(x)[0])
        return (given[0] if isinstance(given, tuple) else given)[:, -1, 0]


def headlines(model, loss_of, x, y):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = model()
        optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
        with tracked() as run:
            for _ in range(12):
                for at in torch.randperm(len(x)).split(30):
                    optimizer.zero_grad()
                    loss_of(net(x[at]), y[at]).backward()
                    optimizer.step()
    return [one["rule"] for one in dict(run.verdict or {})["findings"] if one["severity"] not in ("info", "INFO")]


def contrastive(distance, same):
    return (same * distance**2 + (1 - same) * torch.relu(2 - distance) ** 2).mean()


DRAWN = torch.Generator().manual_seed(0)
SERIES = torch.randn(240, 6, 1, generator=DRAWN)
FORECAST = SERIES[:, -2:].sum((1, 2)) * 1.5
PAIRS = torch.randn(240, 8, generator=DRAWN)
SAME = (PAIRS[:, 0] > 0).float()


@pytest.mark.parametrize(
    ("model", "loss_of", "data", "expected"),
    [
        (lambda: Forecaster(nn.GRU(8, 1, batch_first=True)), functional.mse_loss, (SERIES, FORECAST),
         "final-layer-nonlinearity"),
        (lambda: Forecaster(nn.LSTM(8, 1, batch_first=True)), functional.mse_loss, (SERIES, FORECAST),
         "final-layer-nonlinearity"),
        (lambda: Forecaster(nn.LSTM(8, 1, batch_first=True)), functional.mse_loss, (SERIES, FORECAST.tanh()), None),
        (lambda: Forecaster(nn.Linear(8, 1)), functional.mse_loss, (SERIES, FORECAST), None),
        (lambda: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1)), contrastive, (PAIRS, SAME),
         "target-contract"),
        (lambda: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1)), contrastive, (PAIRS, SAME[:, None]),
         None),
    ],
)  # fmt: skip
def test_the_fault_of_a_real_training_is_the_headline(model, loss_of, data, expected):
    assert headlines(model, loss_of, *data)[:1] == ([expected] if expected else [])
