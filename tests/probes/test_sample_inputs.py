"""A sample is shown as what it is: a picture, tokens, a series, numbers."""

from __future__ import annotations

import base64
import json
import math

import pytest
import torch

from tracker.probes.sample_inputs import MOST_NUMBERS, MOST_TIMES, MOST_TOKENS, form_of, picture_in


@pytest.fixture(autouse=True)
def always_the_same():
    torch.manual_seed(0)


def shown(rows, picture=None):
    form = form_of("x", rows)
    return form.told(form.cut(rows)[0], picture)


def pixels(value):
    found = torch.tensor(list(base64.b64decode(value["pixels"])), dtype=torch.float64)
    found = found.reshape(value["height"], value["width"], value["channels"])
    return value["low"] + found / 255 * (value["high"] - value["low"])


PICTURES = {
    "channels first": ((3, 12, 10), lambda row: row.movedim(0, -1)),
    "channels last": ((12, 10, 3), lambda row: row),
    "one channel": ((1, 8, 8), lambda row: row.movedim(0, -1)),
    "no dimension of channels": ((9, 12), lambda row: row.unsqueeze(-1)),
    "the mean of many channels": ((6, 12, 10), lambda row: row.mean(0).unsqueeze(-1)),
    "every third pixel of a large one": ((1, 150, 140), lambda row: row.movedim(0, -1)[::3, ::3]),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_keeps_its_pixels(name):
    shape, expected = PICTURES[name]
    rows = torch.randn(2, *shape)

    kind, value = shown(rows)

    assert kind == "image"
    assert (pixels(value) - expected(rows[0])).abs().max() <= 0.51 * (value["high"] - value["low"]) / 255


def test_bytes_of_a_picture_are_kept_as_they_are():
    rows = torch.randint(0, 256, (2, 8, 8, 3), dtype=torch.uint8)

    _, value = shown(rows)

    assert list(base64.b64decode(value["pixels"])) == rows[0].reshape(-1).tolist()
    assert (value["low"], value["high"]) == (0, 255)


def test_a_picture_of_one_value_or_none_that_is_finite_is_shown_all_the_same():
    for value in (2.5, math.nan, math.inf):
        _, found = shown(torch.full((1, 1, 8, 8), value))

        assert set(base64.b64decode(found["pixels"])) == {0}
        json.dumps(found, allow_nan=False)


def blurred(n, side):
    noise = torch.randn(n, 1, side + 4, side + 4)
    return torch.nn.functional.avg_pool2d(noise, 5, 1).reshape(n, side * side)


def test_a_picture_laid_flat_is_told_from_a_table_and_from_a_series():
    waves = torch.sin(torch.arange(64) * 0.3 * torch.rand(24, 1) + torch.rand(24, 1))
    drifting = torch.nn.functional.avg_pool1d(torch.randn(24, 72), 9, 1)

    assert picture_in(blurred(24, 8)) == (1, 8, 8)
    assert picture_in(blurred(24, 28)) == (1, 28, 28)
    assert picture_in(blurred(72, 8).reshape(24, 192)) == (3, 8, 8)
    walk = torch.randn(24, 64).cumsum(1)
    for others in (torch.randn(24, 64), torch.randn(24, 784), waves, drifting, walk, torch.ones(4, 64)):
        assert picture_in(others) is None


def test_numbers_that_are_a_picture_laid_flat_are_shown_as_one():
    rows = blurred(3, 8)

    kind, value = shown(rows, (1, 8, 8))

    assert kind == "image"
    assert (pixels(value) - rows[0].reshape(8, 8, 1)).abs().max() < 0.01
    assert shown(rows)[0] == "numbers"


def test_tokens_numbers_and_series_are_kept_up_to_their_bounds():
    tokens, table = torch.randint(0, 99, (2, 200)), torch.randn(2, 90)
    steps = torch.randn(2, 300, 2)

    assert shown(tokens) == ("tokens", {"tokens": tokens[0, :MOST_TOKENS].tolist()})
    assert shown(tokens[:, :5]) == ("tokens", {"tokens": tokens[0, :5].tolist()})
    kind, value = shown(table)
    assert (kind, value["name"]) == ("numbers", "x")
    assert value["values"] == pytest.approx(table[0, :MOST_NUMBERS].tolist(), rel=1e-5)
    kind, value = shown(steps)
    assert kind == "series"
    assert [len(channel) for channel in value["values"]] == [MOST_TIMES] * 2
    assert value["values"][1] == pytest.approx(steps[0, :MOST_TIMES, 1].tolist(), rel=1e-5)
    assert shown(torch.randn(2))[1]["values"] != []


def test_series_of_other_lengths_are_kept_beside_each_other():
    long, short = torch.randn(2, 30, 2), torch.randn(2, 1, 2)
    first = form_of("x", long)
    second = form_of("x", short, first)

    assert first.cut(long).shape == second.cut(short).shape
    assert [len(channel) for channel in second.told(second.cut(short)[0])[1]["values"]] == [1, 1]
