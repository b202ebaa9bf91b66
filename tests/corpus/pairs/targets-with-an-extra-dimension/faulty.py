"""Remaining battery life from six summary features; full-data epochs, Huber loss."""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


def batteries(n):
    x = torch.randn(n, 6)
    life = 1.5 * x[:, 0] - x[:, 1] * x[:, 2] + torch.sin(2 * x[:, 3]) + 0.3 * x[:, 4] ** 2
    return x, (life + 0.2 * torch.randn(n)).view(-1, 1)


class LifeModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(6, 64)
        self.fc2 = nn.Linear(64, 64)
        self.fc3 = nn.Linear(64, 1)

    def forward(self, x):
        x = F.silu(self.fc1(x))
        x = F.silu(self.fc2(x))
        return self.fc3(x).flatten()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--lr", type=float, default=2e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    x, y = batteries(2000)
    mean, std = y.mean(), y.std()
    y = (y - mean) / std
    x_test, y_test = batteries(500)

    model = LifeModel()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        model.train()
        order, total = torch.randperm(len(x)), 0.0
        for k in range(0, len(x), args.batch_size):
            rows = order[k : k + args.batch_size]
            loss = F.huber_loss(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        model.eval()
        with torch.no_grad():
            mae = (model(x_test) * std + mean - y_test.flatten()).abs().mean().item()
        print(f"epoch {epoch + 1:2d}  train huber {total / len(x):.4f}  test mae {mae:.3f}")


if __name__ == "__main__":
    main()
