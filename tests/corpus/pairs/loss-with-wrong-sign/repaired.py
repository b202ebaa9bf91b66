"""Probabilistic regression: the network predicts mean and spread, trained by maximum likelihood."""

import argparse
import math

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def toy_data(n):
    x = 4 * torch.rand(n, 1) - 2
    spread = 0.1 + 0.15 * (x + 2)
    return x, torch.sin(2 * x) + spread * torch.randn(n, 1)


class GaussianRegressor(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(1, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())
        self.mean = nn.Linear(hidden, 1)
        self.log_std = nn.Linear(hidden, 1)

    def forward(self, x):
        h = self.trunk(x)
        return self.mean(h), self.log_std(h).clamp(-4, 3)


def log_likelihood(mean, log_std, y):
    return -0.5 * ((y - mean) / log_std.exp()) ** 2 - log_std - 0.5 * math.log(2 * math.pi)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--lr", type=float, default=3e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    loader = DataLoader(TensorDataset(*toy_data(1600)), batch_size=40, shuffle=True)
    x_val, y_val = toy_data(400)

    model = GaussianRegressor()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        for x, y in loader:
            mean, log_std = model(x)
            loss = -log_likelihood(mean, log_std, y).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        model.eval()
        with torch.no_grad():
            mean, log_std = model(x_val)
            score = log_likelihood(mean, log_std, y_val).mean().item()
            rmse = (mean - y_val).pow(2).mean().sqrt().item()
        print(f"epoch {epoch:2d}  loss {total / len(loader):9.4f}  val log-likelihood {score:9.4f}  rmse {rmse:.4f}")


if __name__ == "__main__":
    main()
