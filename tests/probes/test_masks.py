"""What is told of masks that keep the filler of sequences, of normalisation over one value, of answers dropped."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.trainings import facts, fault_parts, tracked

PAD, LENGTH, ROWS = 0, 9, 24
_generator = torch.Generator().manual_seed(0)
TOKENS = torch.randint(1, 20, (ROWS, LENGTH), generator=_generator)
TOKENS[torch.arange(LENGTH) >= torch.randint(3, LENGTH, (ROWS, 1), generator=_generator)] = PAD
Y = torch.randint(0, 2, (ROWS,), generator=_generator)


class Reader(nn.Module):
    """Reads tokens with one of the ways to mask them, the right way round or not."""

    def __init__(self, way, is_right, tokens=TOKENS):
        super().__init__()
        self.way, self.is_right = way, is_right
        self.embed = nn.Embedding(20, 8)
        self.kinds = nn.Embedding(2, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.score, self.out = nn.Linear(8, 1), nn.Linear(8, 2)

    def forward(self, tokens):
        ignored = (tokens == PAD) if self.is_right else (tokens != PAD)
        return self.out(self.way(self, self.embed(tokens), ignored))


def weights(net, x, ignored):
    return net.attention(x[:, :1], x, x, key_padding_mask=ignored)[0][:, 0]


def in_one_piece(net, x, ignored):
    return net.attention(x[:, :1], x, x, key_padding_mask=ignored, need_weights=False)[0][:, 0]


def encoder(net, x, ignored):
    return net.encoder(x, src_key_padding_mask=ignored).mean(1)


def pooled(net, x, ignored):
    scores = net.score(x).squeeze(-1).masked_fill(ignored, float("-inf"))
    return (scores.softmax(-1)[..., None] * x).sum(1)


def large_number(net, x, ignored):
    return ((net.score(x) - 1e9 * ignored[..., None]).softmax(1) * x).sum(1)


def mean(net, x, ignored):
    kept = (~ignored)[..., None].float()
    return (x * kept).sum(1) / kept.sum(1)


def largest(net, x, ignored):
    return x.masked_fill(ignored[..., None], -1e9).amax(1)


def blend(net, x, ignored):
    kept = (~ignored)[..., None].float()
    return (x * kept + net.score(x) * (1 - kept)).mean(1)


def told(model, given=TOKENS, loss_of=functional.cross_entropy, steps=2):
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    with tracked() as run:
        for _ in range(steps):
            optimizer.zero_grad()
            loss_of(model(given), Y).backward()
            optimizer.step()
    assert fault_parts(run) == []
    return facts(run, "graph")[-1]


@pytest.mark.parametrize(
    ("way", "by"),
    [
        (weights, "attention"), (in_one_piece, "attention"), (encoder, "attention"), (pooled, "attention"),
        (large_number, "attention"), (mean, "product"), (largest, "product"),
    ],
)  # fmt: skip
def test_a_mask_that_keeps_the_filler_is_told_from_one_that_leaves_it_out(way, by):
    wrong = told(Reader(way, is_right=False))["upside_down"]

    assert (wrong["by"], wrong["filler"]) == (by, PAD)
    assert wrong["kept"] == pytest.approx(float((TOKENS == PAD).double().mean()), abs=1e-4)
    assert told(Reader(way, is_right=True))["upside_down"] is None


def test_filler_may_stand_in_front():
    assert told(Reader(pooled, is_right=False), TOKENS.flip(1))["upside_down"]["filler"] == PAD
    assert told(Reader(pooled, is_right=True), TOKENS.flip(1))["upside_down"] is None


def flagged(net, x, ignored):
    return pooled(net, x + net.kinds(ignored.long()), ignored)


def first_alone(net, x, ignored):
    return pooled(net, x, torch.arange(LENGTH).expand(ROWS, -1) > 0)


@pytest.mark.parametrize("way", [blend, flagged, first_alone])
def test_masks_that_keep_something_on_purpose_are_none_of_it(way):
    """A blend of two things, the second of two segments (by their types), and the first token."""
    assert told(Reader(way, is_right=True))["upside_down"] is None


def test_attention_to_a_single_token_in_every_row_is_on_purpose():
    tokens = TOKENS.clone()
    tokens[:, 0] = 19  # such as a token for the class

    assert told(Reader(first_alone, is_right=True), tokens)["upside_down"] is None


X = torch.randn(ROWS, 6, generator=_generator)


class Given(nn.Module):
    """A normalisation of an input of this shape, and a linear layer."""

    def __init__(self, norm, *shape):
        super().__init__()
        self.norm, self.shape, self.out = norm, shape, nn.Linear(6, 2)

    def forward(self, x):
        return self.out(self.norm(x.reshape(-1, *self.shape)).flatten(1))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Given(nn.LayerNorm(1), 6, 1), ["norm.weight"]),
        (Given(nn.LayerNorm([6, 1]), 6, 1), []),
        (Given(nn.GroupNorm(6, 6), 6), ["norm.weight"]),
        (Given(nn.GroupNorm(6, 6), 6, 1, 1), ["norm.weight"]),
        (Given(nn.GroupNorm(3, 6), 6), []),
        (Given(nn.GroupNorm(2, 2), 2, 3), []),
        (nn.Sequential(nn.Linear(6, 1), nn.LayerNorm(1, elementwise_affine=False), nn.Linear(1, 2)), [None]),
    ],
)
def test_normalisation_over_one_value_is_told(model, expected):
    assert [one["layer"] for one in told(model, X)["of_one_value"]] == expected


def weighed(outputs, y):
    return functional.mse_loss(outputs * torch.tensor([0.0, 3.0]).expand(ROWS, 2), torch.ones(ROWS, 2))


def chosen(outputs, y):
    mask = 8.0 * (torch.arange(ROWS * 2).reshape(ROWS, 2) % 3 == 0)
    return functional.mse_loss(outputs * mask, torch.ones(ROWS, 2))


@pytest.mark.parametrize(
    ("layers", "loss_of", "expected"),
    [
        ([nn.Linear(6, 2), nn.Dropout(0.25)], functional.cross_entropy, [("cross_entropy", 0.25, "0.weight")]),
        (
            [nn.Linear(6, 2), nn.Dropout(0.5), nn.LogSoftmax(1)],
            functional.nll_loss,
            [("cross_entropy", 0.5, "0.weight")],
        ),
        ([nn.Dropout(0.5), nn.Linear(6, 2)], functional.cross_entropy, []),
        ([nn.Linear(6, 2)], weighed, []),
        ([nn.Linear(6, 2)], chosen, []),
        ([nn.Linear(6, 2), nn.Dropout(0.0)], functional.cross_entropy, []),
    ],
)
def test_a_dropout_of_the_answers_is_told(layers, loss_of, expected):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        graph = told(nn.Sequential(*layers), X, loss_of)

    assert [(one["loss"], one["share"], one["layer"]) for one in graph["thrown_away"]] == expected
