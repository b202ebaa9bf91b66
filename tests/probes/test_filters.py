"""The filters of a first convolution, as they are kept, against its weights."""

from __future__ import annotations

import base64
import gc

import numpy as np
import pytest
import torch
from torch import nn

from tests.trainings import fault_parts, records, tracked
from tracker.probes.filters import MOST_FILTERS, MOST_PIXELS, pictures
from tracker.rules.engine.records import Fact


def filters(run):
    """(step, fact) of the filters that were kept."""
    return [(r.step, r.value) for r in records(run) if isinstance(r, Fact) and r.name == "filters"]


def net(channels=1, out=6, kernel=3):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, out, kernel), nn.ReLU(), nn.Conv2d(out, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 3)
    )  # fmt: skip


def train(model, channels=1, epochs=1, size=12, **options):
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked(**options) as run:
        for _ in run.epochs(epochs):
            optimizer.zero_grad()
            images = torch.randn(4, channels, size, size)
            nn.functional.cross_entropy(model(images), torch.tensor([0, 1, 2, 0])).backward()
            optimizer.step()
    assert fault_parts(run) == []
    return run


def weights_of(fact):
    """The filters (kept, channels, height, width) that a fact shows."""
    shape = (fact["kept"], fact["height"], fact["width"], fact["channels"])
    levels = np.frombuffer(base64.b64decode(fact["pixels"]), np.uint8).reshape(shape).transpose(0, 3, 1, 2)
    return torch.from_numpy(levels / 255.0 * (fact["high"] - fact["low"]) + fact["low"])


@pytest.mark.parametrize("channels", [1, 3])
def test_the_pictures_are_the_weights_ahead_of_training_and_behind_it(channels):
    model = net(channels)
    before = model[0].weight.detach().clone()
    run = train(model, channels)

    (start, first), (_, last) = filters(run)[0], filters(run)[-1]
    names = {"parameter": "0.weight", "layer": "0", "count": 6, "kept": 6, "height": 3, "width": 3}
    assert start == 0
    assert {key: first[key] for key in names} == names
    for fact, weight in ((first, before), (last, model[0].weight.detach())):
        half_a_level = (fact["high"] - fact["low"]) / 255 / 2
        assert fact["channels"] == channels
        assert (weights_of(fact) - weight).abs().max().item() <= half_a_level * 1.001


def test_other_channels_are_shown_by_their_mean():
    model = net(5)
    mean = model[0].weight.detach().mean(1, keepdim=True)
    _, fact = filters(train(model, 5))[0]

    assert fact["channels"] == 1
    assert torch.allclose(weights_of(fact).float(), mean, atol=(fact["high"] - fact["low"]) / 255)


def test_they_are_kept_ever_more_rarely():
    steps = [step for step, _ in filters(train(net(), epochs=11))]

    assert steps == [0, 0, 1, 3, 7, 10]


def test_where_the_model_is_gone_by_the_end_the_latest_are_told():
    def main():
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for _ in range(30):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(torch.randn(4, 1, 12, 12)), torch.tensor([0, 1, 2, 0])).backward()
            optimizer.step()

    with tracked() as run:
        main()
        gc.collect()

    assert [step for step, _ in filters(run)] == [0, 20]


def test_of_many_large_filters_some_are_kept():
    torch.manual_seed(0)
    _, fact = filters(train(nn.Sequential(nn.Conv2d(3, 64, 16, 16), nn.Flatten(), nn.Linear(64, 3)), 3, size=16))[0]

    assert fact["count"] == 64
    assert 1 < fact["kept"] <= MOST_FILTERS
    assert fact["kept"] * fact["height"] * fact["width"] * fact["channels"] <= MOST_PIXELS


def test_a_convolution_behind_a_trained_layer_is_not_the_first():
    class Late(nn.Module):
        def __init__(self):
            super().__init__()
            self.lift, self.conv, self.head = nn.Linear(12, 12), nn.Conv2d(1, 4, 3), nn.Linear(4, 3)

        def forward(self, x):
            return self.head(self.conv(self.lift(x)).mean((2, 3)))

    assert filters(train(Late())) == []


def test_a_filter_of_one_pixel_is_not_shown():
    assert filters(train(net(1, kernel=1))) == []


@pytest.mark.parametrize("settings", [{"report": {"histograms": False}}, {"observe": "light"}])
def test_there_are_none_where_they_are_switched_off(settings):
    assert filters(train(net(), settings=settings)) == []


def test_filters_of_one_value_are_pictures_and_what_is_not_finite_is_none():
    flat = pictures(torch.full((1, 1, 2, 2), -3.0))

    assert (flat["low"], flat["high"], base64.b64decode(flat["pixels"])) == (-3.0, -3.0, bytes(4))
    assert pictures(torch.tensor([[[[1.0, float("nan")]]]])) is None
