"""Real trainings that learn their samples by heart, and one that keeps its best state."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from tests.trainings import tracked


def samples(n: int, seed: int) -> TensorDataset:
    """Two classes of which the inputs explain a part; every fifth label is wrong."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 12, generator=generator)
    y = (x[:, 0] > 0).long()
    wrong = torch.rand(n, generator=generator) < 0.2
    return TensorDataset(x, torch.where(wrong, 1 - y, y))


def train(n: int, width: int, keep_best: bool = False) -> list[str]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, width), nn.ReLU(), nn.Linear(width, 2))
    loader = DataLoader(samples(n, 1), batch_size=20, shuffle=True)
    held_out = DataLoader(samples(200, 2), batch_size=200)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    best = float("inf")
    with tracked() as run:
        for _ in range(16):
            model.train()
            for x, y in loader:
                optimizer.zero_grad()
                functional.cross_entropy(model(x), y).backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                loss = sum(functional.cross_entropy(model(x), y).item() for x, y in held_out)
            if keep_best and loss < best:
                best, state = loss, copy.deepcopy(model.state_dict())
        if keep_best:
            model.load_state_dict(state)
    return [finding["rule"] for finding in (run.verdict or {})["findings"] if finding["severity"] != "info"]


@pytest.mark.parametrize(("n", "width", "fires"), [(60, 128, True), (800, 4, False)])
def test_few_samples_in_a_wide_network_are_learned_by_heart(n, width, fires):
    assert ("overfitting" in train(n, width)) is fires


def test_a_run_that_puts_its_best_state_back_is_silent():
    assert "overfitting" not in train(60, 128, keep_best=True)
