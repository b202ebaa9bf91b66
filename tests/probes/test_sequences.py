"""Recurrent layers that run on behind the end of their sequences, and what of them is used."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

from tests.trainings import facts, fault_parts, tracked
from tracker.probes.sequences import padding

LENGTHS = torch.tensor([2, 3, 4, 5, 3, 2, 4, 5])


class Reader(nn.Module):
    """A layer over tokens, and what `take` makes of (its output, its final state, lengths)."""

    def __init__(self, kind, take, packs=False, **options):
        super().__init__()
        self.embed = nn.Embedding(9, 6)
        self.drop = nn.Dropout(0.2)
        self.layer = kind(6, 5, **options)
        self.head = nn.Linear(5 * (1 + self.layer.bidirectional), 3)
        self.take, self.packs = take, packs

    def forward(self, tokens, lengths):
        x = self.drop(self.embed(tokens))
        if not self.layer.batch_first:
            x = x.transpose(0, 1)
        if self.packs:
            x = pack_padded_sequence(x, lengths, self.layer.batch_first, enforce_sorted=False)
        output, state = self.layer(x)
        return self.head(self.take(output, state[0] if isinstance(state, tuple) else state, lengths))


def told(model, filler_first=False):
    """The fact of a training of a few steps, with ten positions in each row."""
    tokens = torch.zeros(8, 10, dtype=torch.long)
    for row, n in enumerate(LENGTHS.tolist()):
        real = torch.arange(n) % 7 + 1
        tokens[row, 10 - n if filler_first else 0 :][:n] = real
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        for _ in range(3):
            optimizer.zero_grad()
            functional.cross_entropy(model(tokens, LENGTHS), LENGTHS % 3).backward()
            optimizer.step()
    assert fault_parts(run) == []
    return next(iter(facts(run, "final_states")[-1:]), [])


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("batch_first", [False, True])
def test_the_last_position_and_the_final_state_are_told(kind, batch_first):
    last = told(Reader(kind, lambda y, h, n: y[:, -1] if batch_first else y[-1], batch_first=batch_first))
    state = told(Reader(kind, lambda y, h, n: h[-1], batch_first=batch_first, num_layers=2))

    assert [(one["layer"], one["used"], one["padding"]) for one in last] == [("layer", "last output", 0.65)]
    assert [(one["used"], one["padding"]) for one in state] == [("final state", 0.65)]


@pytest.mark.parametrize(
    ("take", "options"),
    [
        (lambda y, h, n: y.mean(1), {}),
        (lambda y, h, n: y[torch.arange(8), n - 1], {}),
        (lambda y, h, n: y[:, -1] + y.amax(1), {}),
        (lambda y, h, n: y[:, 0], {}),
        (lambda y, h, n: torch.cat([h[-2], h[-1]], 1), {"bidirectional": True}),
        (lambda y, h, n: h[-1], {"packs": True}),
    ],
)
def test_what_knows_of_the_end_is_not_told(take, options):
    assert told(Reader(nn.GRU, take, batch_first=True, **options)) == []


def test_filler_in_front_is_no_filler_behind():
    (one,) = told(Reader(nn.GRU, lambda y, h, n: h[-1], batch_first=True), filler_first=True)

    assert one["padding"] < 0.1


def test_only_what_rows_end_with_counts():
    rows = torch.tensor([[1.0, 2, 3, 3], [3, 3, 1, 3], [3, 3, 3, 3], [1, 2, 4, 5]])[..., None]

    assert padding(rows) == 3 / 16
    assert padding(rows[3:]) == 0.0
    assert padding(rows[:, :2]) == 0.0
