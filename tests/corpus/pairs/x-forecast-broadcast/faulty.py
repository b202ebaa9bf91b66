import argparse
import math

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Windows(Dataset):
    """Windows of 24 past values and the value after them."""

    def __init__(self, series, width=24):
        self.series, self.width = series, width

    def __len__(self):
        return len(self.series) - self.width

    def __getitem__(self, i):
        return self.series[i : i + self.width], self.series[i + self.width]


def make_series(n):
    t = torch.arange(n, dtype=torch.float32)
    raw = torch.sin(2 * math.pi * t / 12) + 0.6 * torch.sin(2 * math.pi * t / 30 + 1) + 0.15 * torch.randn(n)
    return (raw - raw[:1500].mean()) / raw[:1500].std()


def mean_absolute_error(prediction, target):
    return (prediction - target).abs().mean()


parser = argparse.ArgumentParser(description="forecast")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=12)
parser.add_argument("--lr", type=float, default=2e-3)
args = parser.parse_args()
torch.manual_seed(args.seed)

series = make_series(2000)
train_loader = DataLoader(Windows(series[:1500]), batch_size=32, shuffle=True)
valid_loader = DataLoader(Windows(series[1500:]), batch_size=128)

net = nn.Sequential(
    nn.Unflatten(1, (1, 24)),
    nn.Conv1d(1, 12, 5, padding=2),
    nn.ReLU(),
    nn.Conv1d(12, 12, 5, padding=2),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(12 * 24, 1),
)
opt = torch.optim.Adam(net.parameters(), lr=args.lr)

for epoch in range(args.epochs):
    net.train()
    train_mae = []
    for past, nxt in train_loader:
        pred = net(past)
        loss = mean_absolute_error(pred, nxt)
        opt.zero_grad()
        loss.backward()
        opt.step()
        train_mae.append(loss.item())
    net.eval()
    with torch.no_grad():
        valid_mae = [mean_absolute_error(net(past), nxt).item() for past, nxt in valid_loader]
    print(
        f"epoch {epoch + 1:02d} mae {sum(train_mae) / len(train_mae):.3f} val mae {sum(valid_mae) / len(valid_mae):.3f}"
    )
