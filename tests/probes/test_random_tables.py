"""Which tables of vectors look as if they were drawn at random."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.trainings import facts, tracked
from tracker.probes.random_tables import is_random


def drawn(*sizes):
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(0))


def waves(n, d):
    rates = torch.exp(torch.arange(0, d, 2) * (-9.2 / d))
    angles = torch.arange(n)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (drawn(400, 12), True),
        (torch.rand(200, 16, generator=torch.Generator().manual_seed(0)) - 0.5, True),
        (torch.cat([torch.zeros(1, 12), drawn(400, 12)]), True),
        (functional.normalize(drawn(400, 12)), True),
        (drawn(400, 3) @ drawn(3, 12) + drawn(400, 12), False),
        (torch.eye(16).repeat(20, 1), False),
        (waves(512, 32), False),
        (drawn(20, 4), False),
        (torch.zeros(400, 12), False),
        (drawn(80, 24), False),
        (drawn(400, 12) ** 3, False),
        (drawn(400, 13)[:, :12] + 0.5 * drawn(400, 13)[:, 12:], False),
        (drawn(400, 12) - drawn(400, 12).mean(1, keepdim=True), False),
    ],
    ids=[
        "normal", "uniform", "with padding", "normalised", "learned", "one-hot", "waves", "few", "zero",
        "few for its columns", "with far ones", "with a common part", "of mean zero",
    ],
)  # fmt: skip
def test_independent_numbers_are_told_from_directions(table, expected):
    state = torch.random.get_rng_state()

    assert is_random(table) == expected
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(("momentum", "told"), [(0.99, 0.99), (0.1, None), (None, None)])
def test_a_momentum_that_is_not_the_usual_one_is_told(momentum, told):
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, momentum=momentum), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        functional.cross_entropy(model(drawn(8, 3)), torch.arange(8) % 2).backward()
        optimizer.step()

    assert facts(run, "model")[-1][""]["layers"]["1"].get("momentum") == told


@pytest.mark.parametrize("freeze", [True, False])
def test_a_frozen_random_table_is_told_with_its_layer(freeze):
    model = nn.Sequential(nn.Embedding.from_pretrained(drawn(100, 4), freeze=freeze), nn.Flatten(), nn.Linear(12, 2))
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
    with tracked() as run:
        for _ in range(2):
            optimizer.zero_grad()
            functional.cross_entropy(model(torch.arange(24).reshape(8, 3)), torch.arange(8) % 2).backward()
            optimizer.step()

    assert facts(run, "model")[-1][""]["layers"]["0"].get("random", False) is freeze
