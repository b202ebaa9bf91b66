"""Which tables of vectors look as if they were drawn at random."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.trainings import events, facts, fault_parts, tracked
from tracker.probes.random_tables import is_as_constructed, is_random, was_trained_before


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


def changed(how, layer=None):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = (layer or (lambda: nn.Linear(24, 32)))()
        with torch.no_grad():
            how(layer.weight)
    return layer


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (changed(lambda w: w), True),
        (changed(lambda w: w, lambda: nn.Conv2d(12, 12, 3)), True),
        (changed(lambda w: w, lambda: nn.Linear(8, 4)), False),
        (changed(lambda w: w.mul_(0.9)), False),
        (changed(lambda w: w.add_(0.01 * torch.randn(32, 24))), False),
        (changed(lambda w: w.add_(0.002 * torch.randn(32, 24).sign())), False),
        (changed(lambda w: w.mul_(w.abs() * 24**0.5)), False),
        (changed(nn.init.xavier_normal_), False),
        (changed(nn.init.zeros_), False),
        (nn.LayerNorm(128), False),
    ],
    ids=[
        "linear", "convolution", "few", "decayed", "trained", "trained a little", "uneven", "own", "zero", "norm",
    ],
)  # fmt: skip
def test_a_weight_as_torch_constructs_it_is_told_from_one_that_was_trained(layer, expected):
    state = torch.random.get_rng_state()
    trained, frozen = (is_as_constructed(layer.requires_grad_(is_trained)) for is_trained in (True, False))

    assert frozen == expected
    assert not trained
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("make", [nn.LayerNorm, nn.BatchNorm1d, lambda n: nn.GroupNorm(2, n), nn.RMSNorm])
def test_the_scales_of_a_norm_layer_tell_whether_it_was_trained(make):
    fresh, zero, trained, live = (make(8) for _ in range(4))
    with torch.no_grad():
        zero.weight.zero_()
        trained.weight[3] += 0.01
        live.weight[3] += 0.01
    for layer in (fresh, zero, trained):
        layer.requires_grad_(False)

    assert [was_trained_before(layer) for layer in (fresh, zero, trained, live)] == [False, False, True, False]
    assert not was_trained_before(nn.Linear(8, 8).requires_grad_(False))


@pytest.mark.slow
def test_of_a_hundred_layers_as_constructed_nearly_all_are_known_as_such():
    known = 0
    with torch.random.fork_rng():
        for seed in range(100):
            torch.manual_seed(seed)
            known += is_as_constructed(nn.Linear(40, 60).requires_grad_(False))

    assert known > 95


@pytest.mark.parametrize("is_loaded", [True, False])
def test_a_body_that_is_frozen_ahead_of_its_weights_is_the_first_headline(is_loaded):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(160, 8, generator=generator)
    y = ((x[:, 0] > 0) ^ (x[:, 1] > 0)).long()

    def built():
        return nn.Sequential(
            nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 2)
        )

    def fit(model, rate):
        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], rate)
        for _ in range(15):
            for rows in torch.randperm(160, generator=generator).split(16):
                optimizer.zero_grad()
                functional.cross_entropy(model(x[rows]), y[rows]).backward()
                optimizer.step()

    with torch.random.fork_rng():
        torch.manual_seed(0)
        source, target = built(), built()
        with tracked() as run:
            fit(source, 1e-2)
            if is_loaded:
                target.load_state_dict(source.state_dict())
            target[:6].requires_grad_(False)
            target[6].reset_parameters()
            fit(target, 1e-2)

    assert fault_parts(run) == []
    headlines = [one["rule"] for one in events(run, "verdict")[-1].data["findings"] if one["severity"] != "info"]
    assert headlines[:1] == ([] if is_loaded else ["frozen-random-layers"])
