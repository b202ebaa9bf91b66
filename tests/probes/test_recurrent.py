"""Hidden states of recurrent layers as outputs, told from everything that only comes near."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tracker.probes.recurrent import is_hidden_state

X = torch.linspace(-1, 1, 4 * 5 * 3).reshape(4, 5, 3)


@pytest.mark.parametrize(
    ("layer", "output"),
    [
        (nn.LSTM(3, 1, batch_first=True), lambda layer: layer(X)[0][:, -1, 0]),
        (nn.LSTM(3, 2), lambda layer: layer(X)[1][0][-1]),
        (nn.LSTM(3, 2, 2, bidirectional=True), lambda layer: layer(X)[0][-1]),
        (nn.GRU(3, 1, batch_first=True), lambda layer: layer(X)[0].squeeze(-1)),
        (nn.GRU(3, 2), lambda layer: layer(X)[1][0]),
        (nn.RNN(3, 2, batch_first=True), lambda layer: layer(X)[0][:, -1]),
        (nn.LSTMCell(3, 2), lambda layer: layer(X[:, 0])[0]),
        (nn.GRUCell(3, 2), lambda layer: torch.stack([layer(X[:, 0]), layer(X[:, 1])], 1)),
    ],
)
def test_a_hidden_state_is_told(layer, output):
    assert is_hidden_state(output(layer).grad_fn)


LSTM, GRU = nn.LSTM(3, 2, batch_first=True), nn.GRU(3, 2, batch_first=True)


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize(
    "output",
    [
        lambda: nn.Linear(2, 1)(LSTM(X)[0]),
        lambda: LSTM(X)[0] * 5,
        lambda: LSTM(X)[0] + 20,
        lambda: LSTM(X)[1][1][-1],
        lambda: nn.LSTMCell(3, 2)(X[:, 0])[1],
        lambda: nn.LSTM(3, 4, proj_size=2)(X)[0][-1],
        lambda: nn.RNN(3, 2, nonlinearity="relu")(X)[0][-1],
        lambda: GRU(X)[0] + GRU(X)[0],
        lambda: torch.cat([LSTM(X)[0], nn.Linear(3, 2)(X)], -1),
        lambda: torch.cat([nn.Linear(3, 2)(X), LSTM(X)[0]], -1),
        lambda: torch.tanh(nn.Linear(3, 2)(X)),
        lambda: LSTM(X)[0].mean(1),
    ],
)
def test_what_is_made_of_it_or_is_not_bounded_is_none(output):
    assert not is_hidden_state(output().grad_fn)
