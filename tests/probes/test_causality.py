"""Whether a position of a language model sees the token it is to give."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.trainings import events, facts, fault_parts, tracked

WORDS, LENGTH, WIDTH = 9, 7, 8
TOKENS = torch.randint(0, WORDS, (12, LENGTH + 1), generator=torch.Generator().manual_seed(0))
NOW, NEXT = TOKENS[:, :-1], TOKENS[:, 1:]
HIDDEN = nn.Transformer.generate_square_subsequent_mask(LENGTH)


class Language(nn.Module):
    """Tokens (N, T) to logits (N, T, words), with `between` in the middle."""

    def __init__(self, between, width=WIDTH):
        super().__init__()
        self.words, self.between, self.head = nn.Embedding(WORDS, WIDTH), between, nn.Linear(width, WORDS)

    def forward(self, tokens):
        return self.head(self.between(self.words(tokens)))


class Encoder(nn.Module):
    def __init__(self, mask, drop=0.0, batch_first=True):
        super().__init__()
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, dropout=drop, batch_first=batch_first)
        self.layers, self.mask = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), mask

    def forward(self, x):
        return self.layers(x, mask=self.mask)


class Handmade(nn.Module):
    def __init__(self, mask):
        super().__init__()
        self.query, self.key, self.mask = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH), mask

    def forward(self, x):
        scores = self.query(x) @ self.key(x).transpose(1, 2) / math.sqrt(WIDTH)
        return torch.softmax(scores if self.mask is None else scores.masked_fill(self.mask < 0, -1e9), -1) @ x


class Fused(nn.Module):
    def __init__(self, is_causal):
        super().__init__()
        self.query, self.key, self.is_causal = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH), is_causal

    def forward(self, x):
        query, key, value = (one.unsqueeze(1) for one in (self.query(x), self.key(x), x))
        return functional.scaled_dot_product_attention(query, key, value, is_causal=self.is_causal).squeeze(1)


class Recurrent(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0]


class Convolved(nn.Module):
    def __init__(self, padding):
        super().__init__()
        self.layer = nn.Conv1d(WIDTH, WIDTH, 3, padding=padding)

    def forward(self, x):
        return self.layer(x.transpose(1, 2))[:, :, :LENGTH].transpose(1, 2)


def loss(logits, labels):
    return functional.cross_entropy(logits.reshape(-1, WORDS), labels.reshape(-1))


def trained(model, loss_of):
    """The run, and the last fact `ahead`, of twenty-four steps."""
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with tracked() as run:
        for _ in range(24):
            optimizer.zero_grad()
            loss_of(model).backward()
            optimizer.step()
    assert fault_parts(run) == []
    return run, facts(run, "graph")[-1]["ahead"]


def ahead(model, loss_of=lambda model: loss(model(NOW), NEXT)):
    return [one["how"] for one in trained(model, loss_of)[1]]


SEEING = {
    "encoder": (lambda mask: Encoder(mask), WIDTH, "attention"),
    "encoder with dropout": (lambda mask: Encoder(mask, 0.1), WIDTH, "attention"),
    "by hand": (Handmade, WIDTH, "attention"),
    "lstm": (
        lambda mask: Recurrent(nn.LSTM(WIDTH, 4 if mask is None else 8, batch_first=True, bidirectional=mask is None)),
        WIDTH, "recurrence",
    ),
    "gru": (
        lambda mask: Recurrent(nn.GRU(WIDTH, 4 if mask is None else 8, batch_first=True, bidirectional=mask is None)),
        WIDTH, "recurrence",
    ),
    "convolution": (lambda mask: Convolved(1 if mask is None else 2), WIDTH, "convolution"),
}  # fmt: skip


@pytest.mark.parametrize("kind", SEEING)
def test_a_layer_that_sees_later_tokens_is_told_and_its_masked_twin_is_not(kind):
    make, width, how = SEEING[kind]

    assert ahead(Language(make(None), width)) == [how]
    assert ahead(Language(make(HIDDEN), width)) == []


@pytest.mark.parametrize(("is_causal", "how"), [(False, ["attention"]), (True, [])])
def test_fused_attention_that_is_told_to_be_causal_needs_no_mask(is_causal, how):
    assert ahead(Language(Fused(is_causal))) == how


def test_positions_may_come_first():
    found = ahead(Language(Encoder(None, batch_first=False)), lambda model: loss(model(NOW.t()), NEXT.t()))

    assert found == ["attention"]


def test_labels_may_be_cut_by_the_loss():
    found = ahead(Language(Handmade(None)), lambda model: loss(model(NOW)[:, :-1], NOW[:, 1:]))

    assert found == ["attention"]


def test_labels_of_another_kind_may_hang_on_the_whole_sequence():
    labels = NEXT.flip(0)

    assert ahead(Language(Handmade(None)), lambda model: loss(model(NOW), labels)) == []


def test_a_masked_language_model_sees_both_sides():
    hidden = torch.arange(LENGTH) % 3 == 0
    given, labels = NOW.masked_fill(hidden, WORDS - 1), NOW.masked_fill(~hidden, -100)

    assert ahead(Language(Handmade(None)), lambda model: loss(model(given), labels)) == []


class Translator(nn.Module):
    """Reads one sequence both ways, and attends to all of it while it writes another."""

    def __init__(self):
        super().__init__()
        self.source, self.target = nn.Embedding(WORDS, WIDTH), nn.Embedding(WORDS, WIDTH)
        self.reader = nn.GRU(WIDTH, WIDTH // 2, batch_first=True, bidirectional=True)
        self.writer, self.head = nn.GRU(WIDTH, WIDTH, batch_first=True), nn.Linear(WIDTH, WORDS)

    def forward(self, source, written):
        memory, _ = self.reader(self.source(source))
        state, _ = self.writer(self.target(written))
        return self.head(state + torch.softmax(state @ memory.transpose(1, 2), -1) @ memory)


def test_what_is_translated_may_be_read_in_both_directions():
    source = NEXT.clone()

    assert ahead(Translator(), lambda model: loss(model(source, NOW), NEXT)) == []


def test_a_missing_mask_is_the_first_headline():
    run, _ = trained(Language(Encoder(None)), lambda model: loss(model(NOW), NEXT))
    findings = events(run, "verdict")[-1].data["findings"]

    assert findings[0]["rule"] == "future-leak"
    assert "attention to later positions is not masked" in findings[0]["message"]
