"""Real trainings: what goes on inside is found in short runs, and named first."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from tests.trainings import tracked


def blobs(n: int = 240) -> TensorDataset:
    """Three classes of points that a small network learns in a second."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, 3, (n,), generator=generator)
    centres = 2 * torch.randn(3, 8, generator=generator)
    return TensorDataset(centres[y] + torch.randn(n, 8, generator=generator), y)


def network(activation: type[nn.Module], depth: int = 2, width: int = 16) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n in range(depth):
        layers += [nn.Linear(width if n else 8, width), activation()]
    return nn.Sequential(*layers, nn.Linear(width, 3))


def train(model: nn.Module, lr: float = 0.1, epochs: int = 4) -> dict:
    torch.manual_seed(0)
    loader = DataLoader(blobs(), batch_size=16, shuffle=True)
    with tracked() as run:
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr)
        for _ in range(epochs):
            for x, y in loader:
                optimizer.zero_grad()
                functional.cross_entropy(model(x), y).backward()
                optimizer.step()
    return dict(run.verdict or {})


def loud(verdict: dict) -> list[str]:
    return [finding["rule"] for finding in verdict["findings"] if finding["severity"] != "info"]


def test_units_that_are_born_dead_are_the_headline():
    torch.manual_seed(1)
    model = network(nn.ReLU)
    with torch.no_grad():
        model[0].bias.fill_(-50.0)
        model[2].bias.fill_(-50.0)
    verdict = train(model)

    assert loud(verdict)[0] == "dead-units"
    assert "loss-not-decreasing" in verdict["findings"][0]["explains"]


def test_a_deep_sigmoid_network_starves_its_first_layers():
    torch.manual_seed(1)
    verdict = train(network(nn.Sigmoid, depth=9))

    assert loud(verdict)[0] == "vanishing-gradient"
    assert verdict["findings"][0]["subject"] == "0.weight"


@pytest.mark.parametrize(("activation", "depth"), [(nn.ReLU, 2), (nn.Tanh, 3), (nn.Sigmoid, 1)])
def test_healthy_networks_are_silent(activation, depth):
    torch.manual_seed(1)
    verdict = train(network(activation, depth))

    assert loud(verdict) == []
    assert verdict["crashed"] == []


def test_a_frozen_body_that_was_never_trained_is_found():
    torch.manual_seed(1)
    model = network(nn.ReLU, depth=3, width=32)
    for parameter in model[:-1].parameters():
        parameter.requires_grad_(False)
    verdict = train(model, lr=0.005)

    assert "frozen-random-layers" in loud(verdict)
