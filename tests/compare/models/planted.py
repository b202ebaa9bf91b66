"""Small models written twice, with one difference planted at a time."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Causal self-attention by hand."""

    def __init__(self, width: int, heads: int, fault: str = "") -> None:
        super().__init__()
        self.heads, self.fault = heads, fault
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, t, width = x.shape
        q, k, v = (one(x).view(n, t, self.heads, -1).transpose(1, 2) for one in (self.q, self.k, self.v))
        scores = q @ k.transpose(-2, -1)
        if self.fault != "no scale":
            scores = scores / math.sqrt(width // self.heads)
        if self.fault != "no mask":
            scores = scores.masked_fill(
                torch.ones(t, t, dtype=torch.bool).triu(1), -1e9 if self.fault == "1e9" else -math.inf
            )
        weights = scores.softmax(-2 if self.fault == "softmax dim" else -1)
        if self.fault == "softmax dim":
            weights = weights.nan_to_num()
        mixed = (weights @ v).transpose(1, 2).reshape(n, t, width)
        return self.out(mixed.detach() if self.fault == "stop gradient" else mixed)


class Mlp(nn.Module):
    """Widens, bends, narrows."""

    def __init__(self, width: int, fault: str = "") -> None:
        super().__init__()
        self.fault = fault
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.act = nn.GELU("tanh" if fault == "gelu" else "none")
        self.drop = nn.Dropout(0.2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(x)
        if self.fault == "dropout":
            return self.down(self.act(self.drop(x)))
        return self.down(self.drop(self.act(x)))


class Block(nn.Module):
    """One layer of a transformer, pre-norm."""

    def __init__(self, width: int, heads: int, fault: str = "") -> None:
        super().__init__()
        self.fault = fault
        self.norm1 = nn.LayerNorm(width, eps=1e-6 if fault == "eps" else 1e-5)
        self.attn = Attention(width, heads, fault)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, fault)

    def forward(self, x: Tensor) -> Tensor:
        if self.fault == "post-norm":
            x = self.norm1(x + self.attn(x))
            return self.norm2(x + self.mlp(x))
        a = self.attn(self.norm1(x))
        x = a if self.fault == "no residual" else x.detach() + a if self.fault == "detached residual" else x + a
        return x + self.mlp(self.norm2(x))


class Lm(nn.Module):
    """A language model of two layers; the fault is in the second."""

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.fault = fault
        self.embed = nn.Embedding(50, 32)
        self.place = nn.Embedding(12, 32)
        self.blocks = nn.ModuleList([Block(32, 4), Block(32, 4, fault)])
        self.norm = nn.LayerNorm(32)
        self.head = nn.Linear(32, 50, bias=False)
        if fault != "untied":
            self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1])
        x = self.embed(tokens) + self.place(places + 1 if self.fault == "places" else places)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class Net(nn.Module):
    """A residual network of two stages."""

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.fault = fault
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8, momentum=0.01 if fault == "momentum" else 0.1)
        self.relu1 = nn.ReLU()
        mode = "reflect" if fault == "padding mode" else "zeros"
        self.conv2 = nn.Conv2d(8, 8, 3, padding=0 if fault == "padding" else 1, padding_mode=mode, bias=False)
        self.bn2 = nn.BatchNorm2d(8, affine=True)
        self.relu2 = nn.ReLU(inplace=fault == "in place")
        self.pool = nn.MaxPool2d(2) if fault != "pool" else nn.AvgPool2d(2)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(x))
        z = self.relu2(y)
        x = z + 0.1 * y
        return self.fc(self.pool(x).mean((2, 3)))


class HandLSTM(nn.Module):
    """An LSTM by hand, batch first, with the tensors of torch's."""

    def __init__(self, n_in: int, n: int, order: str = "ifgo") -> None:
        super().__init__()
        self.n, self.order = n, order
        self.x2h, self.h2h = nn.Linear(n_in, 4 * n), nn.Linear(n, 4 * n)

    def forward(self, x: Tensor) -> Tensor:
        h = c = x.new_zeros(len(x), self.n)
        steps = []
        for step in x.unbind(1):
            gates = dict(zip(self.order, (self.x2h(step) + self.h2h(h)).chunk(4, 1), strict=True))
            c = gates["f"].sigmoid() * c + gates["i"].sigmoid() * gates["g"].tanh()
            h = gates["o"].sigmoid() * c.tanh()
            steps.append(h)
        return torch.stack(steps, 1)


class TorchLSTM(nn.Module):
    """The same by torch."""

    def __init__(self, n_in: int, n: int) -> None:
        super().__init__()
        self.rnn = nn.LSTM(n_in, n, batch_first=True)
        self.head = nn.Linear(n, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


class WrappedLSTM(nn.Module):
    """A head on the one by hand."""

    def __init__(self, n_in: int, n: int, order: str = "ifgo") -> None:
        super().__init__()
        self.cell = HandLSTM(n_in, n, order)
        self.classify = nn.Linear(n, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.cell(x)[:, -1])


class TorchAttention(nn.Module):
    """Attention of torch, causal, with a norm behind."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(32, 4, batch_first=True)
        self.norm = nn.LayerNorm(32)

    def forward(self, x: Tensor) -> Tensor:
        mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        return self.norm(self.attn(x, x, x, attn_mask=mask, need_weights=False)[0])


class OwnAttention(nn.Module):
    """The same by hand, under other names."""

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.mix = Attention(32, 4, fault)
        self.ln = OwnNorm(32)

    def forward(self, x: Tensor) -> Tensor:
        return self.ln(self.mix(x))


class OwnNorm(nn.Module):
    """LayerNorm by hand."""

    def __init__(self, width: int, eps: float = 1e-5, unbiased: bool = False) -> None:
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.eps, self.unbiased = eps, unbiased

    def forward(self, x: Tensor) -> Tensor:
        var = x.var(-1, keepdim=True, unbiased=self.unbiased)
        return (x - x.mean(-1, keepdim=True)) / (var + self.eps).sqrt() * self.gamma + self.beta


class Square(nn.Module):
    """A linear layer by hand that may forget to transpose."""

    def __init__(self, width: int, transposes: bool) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(width, width) / 4), nn.Parameter(torch.zeros(width))
        self.transposes = transposes

    def forward(self, x: Tensor) -> Tensor:
        return x @ (self.weight.T if self.transposes else self.weight) + self.bias


class Bent(torch.autograd.Function):
    """ReLU, and a backward that lets everything through."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.relu()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient


class Act(nn.Module):
    """ReLU with or without its true gradient."""

    def __init__(self, is_true: bool) -> None:
        super().__init__()
        self.is_true = is_true

    def forward(self, x: Tensor) -> Tensor:
        return x.relu() if self.is_true else Bent.apply(x)


def stacked(*layers: nn.Module) -> nn.Module:
    """Three layers by name."""
    model = nn.Sequential()
    for name, layer in zip(("first", "middle", "last"), layers, strict=True):
        model.add_module(name, layer)
    return model


class Functional(nn.Module):
    """Three linear layers, with functions between them."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(F.relu(self.b(F.relu(self.a(x)))))


class Conv1D(nn.Module):
    """A linear layer with its weight the other way round, as GPT-2 has it."""

    def __init__(self, n_out: int, n_in: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(n_in, n_out) / 8), nn.Parameter(torch.zeros(n_out))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


class FusedAttention(nn.Module):
    """Causal attention with one layer for queries, keys and values."""

    def __init__(self) -> None:
        super().__init__()
        self.c_attn, self.c_proj = Conv1D(96, 32), Conv1D(32, 32)

    def forward(self, x: Tensor) -> Tensor:
        n, t, width = x.shape
        q, k, v = (part.view(n, t, 4, 8).transpose(1, 2) for part in self.c_attn(x).split(width, 2))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(mixed.transpose(1, 2).reshape(n, t, width))


class Folded(nn.Module):
    """A convolution as a linear layer on patches."""

    def __init__(self) -> None:
        super().__init__()
        self.k, self.f = nn.Linear(27, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.f(self.k(F.unfold(x, 3, padding=1).transpose(1, 2)).mean(1))


class Convolved(nn.Module):
    """The same as a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.c, self.f = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.f(self.c(x).mean((2, 3)))
