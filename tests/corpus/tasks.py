"""Small data sets and models that train in about a second."""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass, replace

import torch
from sklearn.datasets import load_diabetes, load_digits
from torch import Tensor, nn


@dataclass(frozen=True)
class Data:
    """A train and a validation split."""

    x: Tensor
    y: Tensor
    x_val: Tensor
    y_val: Tensor


def _split(x: Tensor, y: Tensor, n_val: int) -> Data:
    # One split for all seeds: a checkpoint must not have seen what the run that goes on from it is validated on.
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    held, rest = order[:n_val], order[n_val:]
    return Data(x[rest], y[rest], x[held], y[held])


def digits() -> Data:
    """1797 images of 8 x 8 pixels, ten classes, standardised."""
    x, y = load_digits(return_X_y=True)
    return _split(torch.tensor((x - x.mean()) / x.std(), dtype=torch.float32), torch.tensor(y), 360)


def images() -> Data:
    """The digits as (n, 1, 8, 8)."""
    flat = digits()
    return replace(flat, x=flat.x.view(-1, 1, 8, 8), x_val=flat.x_val.view(-1, 1, 8, 8))


def raw_digits() -> Data:
    """The digits as stored, 0 to 16, times 40: what is read when the scaling is forgotten."""
    flat = digits()
    return replace(flat, x=(flat.x + 1) * 250, x_val=(flat.x_val + 1) * 250)


def few_digits() -> Data:
    """Sixty training images, every third label wrong: there is nothing to do but to learn them by heart."""
    flat = digits()
    y = flat.y[:60].clone()
    y[:20] = (y[:20] + 1 + torch.randint(0, 9, (20,))) % 10
    return replace(flat, x=flat.x[:60], y=y)


def noisy_digits() -> Data:
    """One label in ten is wrong, in both splits."""
    flat = digits()

    def spoil(y: Tensor) -> Tensor:
        return torch.where(torch.rand(len(y)) < 0.1, torch.randint(0, 10, (len(y),)), y)

    return replace(flat, y=spoil(flat.y), y_val=spoil(flat.y_val))


def shuffled_digits() -> Data:
    """Labels in another order than the images."""
    flat = digits()
    return replace(flat, y=flat.y[torch.randperm(len(flat.y))])


def broken_digits() -> Data:
    """One pixel of one image is NaN."""
    flat = digits()
    x = flat.x.clone()
    x[700, 3] = float("nan")
    return replace(flat, x=x)


def rare_digit() -> Data:
    """Is it an eight? One in twenty is."""
    flat = digits()

    def thin(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        eight = (y == 8).nonzero().flatten()
        keep = torch.cat([(y != 8).nonzero().flatten(), eight[: len(y) // 20]])
        return x[keep], (y[keep] == 8).long()

    return Data(*thin(flat.x, flat.y), *thin(flat.x_val, flat.y_val))


def rare_and_hidden() -> Data:
    """One sample in fifty is positive, and little in the inputs tells which."""
    x = torch.randn(3000, 20)
    chance = torch.sigmoid(0.8 * x[:, 0] - 4.2)
    return _split(x, (torch.rand(3000) < chance).long(), 600)


def weak_signal() -> Data:
    """Two classes of which the inputs explain little: an accuracy of about 0.65 is all there is."""
    x = torch.randn(3000, 20)
    return _split(x, (torch.rand(3000) < torch.sigmoid(0.9 * x[:, 0])).long(), 600)


def diabetes() -> Data:
    """442 patients, ten measurements, one number to predict, all standardised."""
    x, y = load_diabetes(return_X_y=True)
    x, y = (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()
    return _split(torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)[:, None], 90)


def sine() -> Data:
    """y = sin(3 x) with noise, 600 points."""
    x = torch.rand(600, 1) * 4 - 2
    return _split(x, torch.sin(3 * x) + 0.1 * torch.randn(600, 1), 120)


def sequences() -> Data:
    """Token sequences of 24 out of a Markov chain of 16 symbols; the target is the next token."""
    chain = torch.softmax(3 * torch.randn(16, 16), dim=1)
    rows = [torch.randint(0, 16, (700,))]
    for _ in range(24):
        rows.append(torch.multinomial(chain[rows[-1]], 1).flatten())
    tokens = torch.stack(rows, dim=1)
    return _split(tokens[:, :-1], tokens[:, 1:].contiguous(), 100)


def mlp(n_in: int = 64, n_out: int = 10, width: int = 64, depth: int = 2, act: type[nn.Module] = nn.ReLU) -> nn.Module:
    layers: list[nn.Module] = [nn.Linear(n_in, width), act()]
    for _ in range(depth - 1):
        layers += [nn.Linear(width, width), act()]
    return nn.Sequential(*layers, nn.Linear(width, n_out))


def dropout_mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(128, 128), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(128, 10),
    )  # fmt: skip


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(32, 10),
    )  # fmt: skip


class Residual(nn.Module):
    """A deep residual network; the last layer of each branch and the head start at zero."""

    def __init__(self, depth: int = 6, width: int = 64) -> None:
        super().__init__()
        self.stem = nn.Linear(64, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
            for _ in range(depth)
        )
        self.head = nn.Linear(width, 10)
        for layer in (self.head, *(block[-1] for block in self.blocks)):  # type: ignore[index]
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)  # type: ignore[no-any-return]


class Transformer(nn.Module):
    """A causal language model of two layers."""

    def __init__(self, n_symbols: int = 16, width: int = 32) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_symbols, width)
        self.position = nn.Parameter(0.02 * torch.randn(24, width))
        layer = nn.TransformerEncoderLayer(width, 4, 64, dropout=0.1, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, n_symbols)

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        return self.head(self.body(self.embedding(x) + self.position, mask=mask, is_causal=True))  # type: ignore[no-any-return]


class Recurrent(nn.Module):
    """A GRU language model."""

    def __init__(self, n_symbols: int = 16, width: int = 32) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_symbols, width)
        self.body = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, n_symbols)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.embedding(x))[0])  # type: ignore[no-any-return]


@functools.cache
def _checkpoint(classes: int, steps: int) -> nn.Module:
    """A network that was trained on the first classes of the digits; the same for all seeds."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, data = mlp(), digits()
        optimizer = torch.optim.Adam(model.parameters(), 3e-3)
        known = data.y < classes
        for _ in range(steps):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(data.x[known]), data.y[known]).backward()
            optimizer.step()
    return model


def make_checkpoints() -> None:
    """Trains the checkpoints now: they are to come from elsewhere, not from the run that goes on from them."""
    _checkpoint(5, 60), _checkpoint(10, 150)


def pretrained() -> nn.Module:
    """A network that already knows the digits from zero to four, with a new head for all ten."""
    model = copy.deepcopy(_checkpoint(5, 60))
    model[-1] = nn.Linear(64, 10)  # type: ignore[operator]
    return model


def trained() -> nn.Module:
    """A network that has learned the digits already: the run goes on from a checkpoint."""
    return copy.deepcopy(_checkpoint(10, 150))
