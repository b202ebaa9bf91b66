import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn


def series(n, length):
    """Mixtures of two waves and noise; the target is the next value."""
    t = torch.arange(length + 1)
    phase = torch.rand(n, 2, 1) * 2 * math.pi
    period = torch.rand(n, 2, 1) * 12 + 8
    waves = torch.sin(2 * math.pi * t / period + phase).sum(1) + 0.1 * torch.randn(n, length + 1)
    return waves[:, :-1].unsqueeze(-1), waves[:, -1:]


class Forecaster(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.gru = nn.GRU(1, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, 1)

    def forward(self, x):
        _, h = self.gru(x)
        return self.fc(h[-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    x_train, y_train = series(1600, 24)
    x_val, y_val = series(400, 24)
    model = Forecaster()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=2, factor=0.5)
    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        order = torch.randperm(len(x_train))
        for start in range(0, len(order), args.batch_size):
            rows = order[start : start + args.batch_size]
            loss = F.mse_loss(model(x_train[rows]), y_train[rows])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total += loss.item() * len(rows)
        model.eval()
        with torch.no_grad():
            val_loss = F.mse_loss(model(x_val), y_val).item()
        scheduler.step(val_loss)
        print(f"epoch {epoch}: train {total / len(x_train):.4f} val {val_loss:.4f} naive {y_val.var():.4f}")


if __name__ == "__main__":
    main()
