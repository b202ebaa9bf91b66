"""Yield of a process from standardised sensor readings, some of which are missing."""

import argparse

import numpy as np
import torch
from sklearn.metrics import r2_score
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

MISSING = -999.0


def readings(n, rng):
    """The export of the plant: standardised channels, MISSING where a sensor was silent."""
    X = rng.normal(size=(n, 12))
    y = X[:, 0] + np.sin(2 * X[:, 1]) + 0.8 * X[:, 2] * X[:, 3] - 0.5 * X[:, 4] ** 2 + 0.2 * rng.normal(size=n)
    X[rng.random(X.shape) < 0.03] = MISSING
    return X.astype(np.float32), y.astype(np.float32)


def prepare(X):
    return np.where(X == MISSING, np.float32(0), X)  # channels are standardised: zero is their mean


def get_loaders(seed, batch_size=50):
    rng = np.random.default_rng(seed)
    X, y = readings(2500, rng)
    X = prepare(X)
    mean, std = y[:2000].mean(), y[:2000].std()
    X, y = torch.from_numpy(X), torch.from_numpy((y - mean) / std)
    train, val = TensorDataset(X[:2000], y[:2000]), TensorDataset(X[2000:], y[2000:])
    return DataLoader(train, batch_size, shuffle=True), DataLoader(val, 250)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=14)
    ap.add_argument("--lr", type=float, default=2e-3)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    train_loader, val_loader = get_loaders(args.seed)
    model = nn.Sequential(nn.Linear(12, 48), nn.ReLU(), nn.Linear(48, 24), nn.ReLU(), nn.Linear(24, 1), nn.Flatten(0))
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    loss_fn = nn.MSELoss()
    for epoch in range(1, args.epochs + 1):
        model.train()
        losses = []
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            pred = torch.cat([model(x) for x, _ in val_loader])
        truth = torch.cat([y for _, y in val_loader])
        print(f"epoch {epoch:2d}  train mse {np.mean(losses):10.4f}  val R2 {r2_score(truth, pred):8.3f}")


if __name__ == "__main__":
    main()
