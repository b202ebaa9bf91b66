"""Run with `pytest`, once the plug-in is installed."""

import torch
from sparse_gradients.rules import SparseGradient
from torch import nn

from tracker import Run, track
from tracker.rules.testing import check_rule


def test_the_rule_passes_the_battery():
    check_rule(SparseGradient)


def train(bias):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))
    nn.init.constant_(model[0].bias, bias)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with track(Run("sparse", quiet=True)) as run:
        for _ in range(40):
            x = torch.randn(30, 8)
            optimizer.zero_grad()
            (model(x) - x.sum(1, keepdim=True)).pow(2).mean().backward()
            optimizer.step()
    return {one.subject for one in run.findings if one.rule == "sparse-gradient"}


def test_units_that_never_fire_are_found():
    assert train(bias=-10.0) == {"0.weight", "2.weight"}  # the layer behind them gets nothing but zeros


def test_a_healthy_layer_is_not():
    assert train(bias=0.0) == set()
