"""A transformer's MLP by hand against another, layer by layer: which is the first that differs, and by how much?

    python examples/compare_models.py

The other one was ported from code in which GELU is the approximation by tanh.
"""

import torch
from torch import Tensor, nn

from tracker import compare_models


class Mine(nn.Module):
    """Written by hand, with names of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.act, self.down = nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 16)
        self.norm = nn.LayerNorm(16)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + self.down(self.act(self.up(x))))


class Theirs(nn.Module):
    """The same from elsewhere: its weights need not be copied, and its names are found out."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(16, 64), nn.GELU("tanh"), nn.Linear(64, 16))
        self.ln = nn.LayerNorm(16)

    def forward(self, x: Tensor) -> Tensor:
        return self.ln(x + self.mlp(x))


if __name__ == "__main__":
    result = compare_models(Mine(), Theirs(), torch.randn(8, 16))
    print(result)
