import argparse

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class HouseDataset(Dataset):
    """Area, rooms, age, distance to the centre, floor and energy class of a flat."""

    def __init__(self, features, prices):
        self.x = torch.as_tensor(features, dtype=torch.float32)
        self.y = torch.as_tensor(prices, dtype=torch.float32).unsqueeze(1)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


def make_flats(n, rng):
    area = rng.normal(85, 25, n).clip(25, 220)
    rooms = np.round(area / 28 + rng.normal(0, 0.6, n)).clip(1, 8)
    age = rng.uniform(0, 90, n)
    distance = rng.gamma(2.0, 4.0, n)
    floor = rng.integers(0, 12, n)
    energy = rng.integers(0, 7, n)
    price = 3100 * area + 9000 * rooms - 900 * age + 240000 * np.exp(-distance / 8) + 1500 * floor - 7000 * energy
    price = price * np.exp(rng.normal(0, 0.05, n))
    return np.stack([area, rooms, age, distance, floor, energy], 1), price


def r2(pred, true):
    return 1 - ((pred - true) ** 2).sum().item() / ((true - true.mean()) ** 2).sum().item()


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=20)
    ap.add_argument("--lr", type=float, default=2e-3)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)

    x, price = make_flats(2500, rng)
    n_train = 2000
    mu, sd = x[:n_train].mean(0), x[:n_train].std(0)
    x = (x - mu) / sd
    p_mu, p_sd = price[:n_train].mean(), price[:n_train].std()
    price = (price - p_mu) / p_sd

    train_loader = DataLoader(HouseDataset(x[:n_train], price[:n_train]), batch_size=64, shuffle=True)
    val_loader = DataLoader(HouseDataset(x[n_train:], price[n_train:]), batch_size=250)

    model = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    mse = nn.MSELoss()

    for epoch in range(args.epochs):
        model.train()
        train_loss = 0.0
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = mse(model(xb), yb)
            loss.backward()
            optimizer.step()
            train_loss += loss.item() * len(xb) / n_train
        model.eval()
        with torch.no_grad():
            outs = [(model(xb), yb) for xb, yb in val_loader]
        pred, true = torch.cat([o for o, _ in outs]), torch.cat([t for _, t in outs])
        print(
            f"epoch {epoch + 1:2d} train mse {train_loss:.5g} val mse {mse(pred, true).item():.5g} val R2 {r2(pred, true):.3f}"
        )


if __name__ == "__main__":
    main()
