"""What the tables of vectors of real trainings are asked for."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.trainings import facts, fault_parts, records, tracked
from tracker.rules import Severity
from tracker.rules.engine.replay import replay


class Reader(nn.Module):
    """Means of word vectors, with or without those of their positions."""

    def __init__(self, rows=30, kind="sequence"):
        super().__init__()
        self.kind = kind
        self.emb = nn.EmbeddingBag(rows, 8) if kind == "bag" else nn.Embedding(rows, 8)
        self.pos = nn.Embedding(12, 8)
        self.fc = nn.Linear(8, 3)

    def forward(self, ids):
        if self.kind == "bag":
            return self.fc(self.emb(ids))
        x = self.emb(ids.t()).transpose(0, 1) if self.kind == "time first" else self.emb(ids)
        if self.kind == "positions":
            x = x + self.pos(torch.arange(ids.shape[1]))
        return self.fc(x.mean(1))


def unknown(generator, y):
    """A start, then nothing but the unknown word, and a filler behind the end."""
    length = torch.randint(4, 12, (16, 1), generator=generator)
    ids = torch.where(torch.arange(11) < length, 1, 0)
    ids[:, 0] = 2
    return ids


def trained(kind="sequence", texts=unknown, steps=40):
    """The part `lookups` of the last fact `graph`, and the rules that warn, the headline first."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Reader(kind=kind)
        optimizer = torch.optim.Adam(model.parameters(), 1e-2)
        with tracked() as run:
            for _ in range(steps):
                y = torch.randint(0, 3, (16,), generator=generator)
                optimizer.zero_grad()
                functional.cross_entropy(model(texts(generator, y)), y).backward()
                optimizer.step()
    assert fault_parts(run) == []
    trace, engine = replay(records(run))
    rules = [one.rule for one in engine.verdict(trace).findings if one.severity >= Severity.WARNING]
    return {one["table"]: one for one in facts(run, "graph")[-1]["lookups"]}, rules


@pytest.mark.parametrize("kind", ["sequence", "time first", "bag", "positions"])
def test_texts_of_unknown_words_are_told_apart_by_length_only(kind):
    tables, rules = trained(kind)

    assert tables["emb.weight"]["ids"] == [0, 1, 2]
    assert tables["emb.weight"]["forms"] == 2
    assert tables["emb.weight"]["looks"] >= 5
    assert rules[:1] == ["constant-input"]
    if kind == "positions":
        assert tables["pos.weight"]["positions"] is True


@pytest.mark.parametrize(
    "texts",
    [
        lambda generator, y: torch.randint(0, 30, (16, 9), generator=generator),
        lambda generator, y: torch.randint(0, 2, (16, 9), generator=generator),
        lambda generator, y: (torch.randint(0, 9, (16, 40), generator=generator) == 0) * (3 + y[:, None]),
    ],
    ids=["words", "zeros and ones", "mostly padding"],
)
def test_texts_that_differ_are_asked_for_only_at_first(texts):
    tables, rules = trained(texts=texts)

    assert tables["emb.weight"]["looks"] <= 4
    assert tables["emb.weight"]["forms"] == 3 or len(tables["emb.weight"]["ids"]) > 4
    assert "constant-input" not in rules


def test_a_text_that_is_different_late_is_taken_in():
    count = iter(range(1000))
    tables, rules = trained(
        texts=lambda generator, y: (
            unknown(generator, y) if next(count) < 20 else torch.randint(0, 30, (16, 9), generator=generator)
        )
    )

    assert len(tables["emb.weight"]["ids"]) > 4
    assert "constant-input" not in rules
