"""Yacht resistance style regression: predict a smooth response of seven design parameters."""

import argparse

import torch
from torch import nn


def make_design(n, gen):
    d = torch.rand(n, 7, generator=gen) * 2 - 1
    y = (
        torch.sin(2 * d[:, 0])
        + d[:, 1] * d[:, 2]
        + 0.8 * d[:, 3] ** 2
        - 0.6 * d[:, 4]
        + 0.05 * torch.randn(n, generator=gen)
    )
    return d * 3**0.5, y.unsqueeze(1)


class Block(nn.Module):
    def __init__(self, n_in, n_out, p, activation=True):
        super().__init__()
        self.linear = nn.Linear(n_in, n_out)
        self.act = nn.SiLU() if activation else nn.Identity()
        self.drop = nn.Dropout(p)

    def forward(self, x):
        return self.drop(self.act(self.linear(x)))


def network(p):
    return nn.Sequential(
        Block(7, 64, 0.0),
        Block(64, 64, 0.0),
        Block(64, 1, 0.0, activation=False),
    )


def minibatches(x, y, size):
    p = torch.randperm(len(x))
    for i in range(0, len(x), size):
        yield x[p[i : i + size]], y[p[i : i + size]]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--dropout", type=float, default=0.5)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    gen = torch.Generator().manual_seed(args.seed)
    x, y = make_design(2000, gen)
    mean, std = y.mean(), y.std()
    y = (y - mean) / std
    xv, yv = make_design(500, gen)
    yv = (yv - mean) / std

    model = network(args.dropout)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
    for epoch in range(args.epochs):
        model.train()
        sse = 0.0
        for xb, yb in minibatches(x, y, 40):
            loss = nn.functional.mse_loss(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            sse += loss.item() * len(xb)
        scheduler.step()
        model.eval()
        with torch.no_grad():
            val = nn.functional.mse_loss(model(xv), yv).item()
        r2 = 1 - val / yv.var().item()
        print(f"epoch {epoch + 1:2d}  train mse {sse / len(x):.4f}  val mse {val:.4f}  val R2 {r2:.4f}")


if __name__ == "__main__":
    main()
