import argparse
import math

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset


def tide_series(n):
    t = torch.arange(n, dtype=torch.float32)
    level = 1.5 * torch.sin(2 * math.pi * t / 12.4) + 0.6 * torch.sin(2 * math.pi * t / 24.8 + 1)
    level = level * (1 + 0.3 * torch.sin(2 * math.pi * t / 350))
    return level + 0.15 * torch.randn(n)


class Windows(Dataset):
    def __init__(self, series, history):
        self.series, self.history = series, history

    def __len__(self):
        return len(self.series) - self.history

    def __getitem__(self, i):
        return self.series[i : i + self.history, None], self.series[i + self.history]


class Forecaster(nn.Module):
    def __init__(self, hidden=24):
        super().__init__()
        self.rnn = nn.GRU(1, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 1)

    def forward(self, x):
        states, _ = self.rnn(x)
        return self.out(states[:, -1]).squeeze(-1)


def epoch_loss(model, loader, criterion):
    model.eval()
    with torch.no_grad():
        parts = [(criterion(model(x), y).item(), len(y)) for x, y in loader]
    return sum(l * n for l, n in parts) / sum(n for _, n in parts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--history", type=int, default=26)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    series = tide_series(2000)
    cut = 1600
    mean, std = series[:cut].mean(), series[:cut].std()
    series = (series - mean) / std
    train_loader = DataLoader(Windows(series[:cut], args.history), batch_size=32, shuffle=True)
    test_loader = DataLoader(Windows(series[cut:], args.history), batch_size=200)

    model = Forecaster()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    tail = series[cut:]
    print(f"persistence mse {((tail[args.history :] - tail[args.history - 1 : -1]) ** 2).mean():.4f}")
    for epoch in range(args.epochs):
        model.train()
        acc = 0.0
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            acc += loss.item()
        print(
            f"epoch {epoch + 1}: train mse {acc / len(train_loader):.4f}  test mse {epoch_loss(model, test_loader, criterion):.4f}"
        )
