"""Duration of taxi trips in minutes; what counts is the relative error, so the loss is taken on logarithms."""

import argparse

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def trips(n, rng):
    km = rng.gamma(2.0, 2.0, n) + 0.5
    hour = rng.integers(0, 24, n)
    rain = rng.random(n) < 0.2
    stops = rng.integers(0, 3, n)
    rush = np.exp(-0.3 * (hour - 8) ** 2) + np.exp(-0.2 * (hour - 17.5) ** 2)
    speed = 32 / (1 + 0.9 * rush + 0.25 * rain) + 1.5 * np.minimum(km, 8)
    minutes = (60 * km / speed + 2.5 * stops + 1) * np.exp(0.1 * rng.normal(size=n))
    x = np.stack(
        [
            np.log(km),
            km,
            np.sin(2 * np.pi * hour / 24),
            np.cos(2 * np.pi * hour / 24),
            np.sin(4 * np.pi * hour / 24),
            np.cos(4 * np.pi * hour / 24),
            rain,
            stops,
        ],
        1,
    )
    return x, minutes


class LogError(nn.Module):
    def forward(self, pred, actual):
        return torch.sqrt(torch.mean((torch.log(pred) - torch.log(actual)) ** 2))


class DurationModel(nn.Module):
    def __init__(self, n_in):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_in, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU())
        self.out = nn.Linear(48, 1)

    def forward(self, x):
        return nn.functional.softplus(self.out(self.layers(x))).squeeze(1)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=15)
parser.add_argument("--batch-size", type=int, default=64)
parser.add_argument("--lr", type=float, default=3e-3)
args = parser.parse_args()
torch.manual_seed(args.seed)

x, minutes = trips(3500, np.random.default_rng(args.seed))
x = StandardScaler().fit(x[:2800]).transform(x)
data = TensorDataset(torch.tensor(x, dtype=torch.float32), torch.tensor(minutes, dtype=torch.float32))
train_set = torch.utils.data.Subset(data, range(2800))
val_set = torch.utils.data.Subset(data, range(2800, 3500))
train_loader = DataLoader(train_set, batch_size=args.batch_size, shuffle=True)
val_loader = DataLoader(val_set, batch_size=700)

model = DurationModel(x.shape[1])
criterion = LogError()
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)

for epoch in range(args.epochs):
    model.train()
    train_loss = 0
    for features, target in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(features), target)
        loss.backward()
        optimizer.step()
        train_loss += loss.item()
    model.eval()
    with torch.no_grad():
        features, target = next(iter(val_loader))
        prediction = model(features)
        val_loss = criterion(prediction, target).item()
        mae = (prediction - target).abs().mean().item()
    print(
        f"epoch {epoch + 1:2d}  log error {train_loss / len(train_loader):.4f}  val log error {val_loss:.4f}  val mae {mae:.2f}"
    )
