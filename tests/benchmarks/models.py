"""The trainings whose steps are timed: Adam, cross-entropy, and one random batch that stays in memory.

======  =======================================================================================  ==================
mlp     784-256-256-10 with ReLU, batch 64                                                       below 2 ms
cnn     ResNet-8 (16, 32 and 64 channels), 3x32x32, batch 32                                     some 45 ms
tfm     a transformer: width 256, 4 layers, 4 heads, 64 tokens of 1000, batch 16                 some 280 ms
deep    a thousand linear layers of width 16, batch 8: two thousand parameters to be told apart  some 80 ms
======  =======================================================================================  ==================

The figures on the right are for one thread of one of this decade's servers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional


class Residual(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        stride = n_out // n_in
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(n_out)
        self.around: nn.Module = nn.Identity()
        if n_in != n_out:
            self.around = nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x)))))
        return functional.relu(y + self.around(x))


class ResNet8(nn.Module):
    """One convolution, three residual blocks, one linear layer: 78,042 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(Residual(16, 16), Residual(16, 32), Residual(32, 64))
        self.head = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.blocks(self.stem(x)).mean((2, 3))
        logits: torch.Tensor = self.head(features)
        return logits


class Transformer(nn.Module):
    """A small language model, without a mask: 3,688,936 parameters. Logits are (batch, class, token)."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(1000, 256)
        self.places = nn.Embedding(64, 256)
        layer = nn.TransformerEncoderLayer(256, 4, 1024, dropout=0.0, activation="gelu", batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 4, nn.LayerNorm(256), enable_nested_tensor=False)
        self.head = nn.Linear(256, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        at: torch.Tensor = self.tokens(x) + self.places(torch.arange(x.shape[1]))
        logits: torch.Tensor = self.head(self.layers(at))
        return logits.transpose(1, 2)


class Training(NamedTuple):
    """One model with its optimizer and its batch."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    x: torch.Tensor
    y: torch.Tensor

    def step(self) -> torch.Tensor:
        """One usual training step; the loss."""
        self.optimizer.zero_grad()
        loss = functional.cross_entropy(self.model(self.x), self.y)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss


def mlp() -> Training:
    layers = nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
    return _training(nn.Sequential(*layers), torch.randn(64, 784), torch.randint(0, 10, (64,)))


def cnn() -> Training:
    return _training(ResNet8(), torch.randn(32, 3, 32, 32), torch.randint(0, 10, (32,)))


def tfm() -> Training:
    return _training(Transformer(), torch.randint(0, 1000, (16, 64)), torch.randint(0, 1000, (16, 64)))


def deep(n_layers: int = 1000) -> Training:
    """`n_layers` linear layers of width 16: as many parameters as a model has layers, and hardly any arithmetic."""
    layers = [nn.Linear(16, 16) for _ in range(n_layers)]
    for layer in layers:
        nn.init.eye_(layer.weight)
    return _training(nn.Sequential(*layers), torch.randn(8, 16), torch.randint(0, 16, (8,)))


def tiny() -> Training:
    """A step of some 100 us."""
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    return Training(model, optimizer, torch.randn(8, 4), torch.randint(0, 2, (8,)))


def _training(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Training:
    return Training(model, torch.optim.Adam(model.parameters(), 1e-4), x, y)


class Plan(NamedTuple):
    """How a model is measured: steps in a block, first steps of it that do not count, steps of a usual epoch."""

    make: Callable[[], Training]
    block: int
    skip: int
    epoch: int
    seconds: float
    """Time for it in the full benchmark, all conditions together."""
    has_peers: bool = True


PLANS = {
    "mlp": Plan(mlp, 4, 1, 938, 70.0),
    "cnn": Plan(cnn, 1, 0, 1563, 110.0),
    "tfm": Plan(tfm, 1, 0, 500, 170.0),
    "deep": Plan(deep, 1, 0, 500, 40.0, has_peers=False),
}
"""An epoch is that of MNIST and CIFAR-10 at these batch sizes."""


def budget(seconds: float, observe: str = "standard") -> float:
    """Share of a step of `seconds` that may be spent on observing it: +1 %, +2 %, or 5 % but 50 us at least."""
    share = 0.01 if seconds >= 0.045 else 0.02 if seconds >= 0.002 else max(0.05, 50e-6 / seconds)
    return share * (3 if observe == "full" else 1)
