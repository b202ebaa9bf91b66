"""Approximate kernel regression: fixed random Fourier features, linear read-out by SGD with momentum."""

import argparse
import math

import torch
import torch.nn as nn
from sklearn.datasets import make_friedman2
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset


class RandomFourier(nn.Module):
    def __init__(self, d_in, n_features, bandwidth):
        super().__init__()
        self.register_buffer("omega", torch.randn(d_in, n_features) / bandwidth)
        self.register_buffer("phase", torch.rand(n_features) * 2 * math.pi)
        self.gain = math.sqrt(2.0)

    def forward(self, x):
        return self.gain * torch.cos(x @ self.omega + self.phase)


class KernelRegressor(nn.Module):
    def __init__(self, d_in, n_features=300, bandwidth=3.0):
        super().__init__()
        self.features = RandomFourier(d_in, n_features, bandwidth)
        self.readout = nn.Linear(n_features, 1)

    def forward(self, x):
        return self.readout(self.features(x)).squeeze(-1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--lr", type=float, default=1e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    X, y = make_friedman2(n_samples=2500, noise=20.0, random_state=args.seed)
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
    n = 2000
    X = (X - X[:n].mean(0)) / X[:n].std(0)
    y = (y - y[:n].mean()) / y[:n].std()
    train_set = TensorDataset(X[:n], y[:n])
    sampler = BatchSampler(RandomSampler(train_set), batch_size=args.batch_size, drop_last=False)
    train_loader = DataLoader(train_set, batch_sampler=sampler)
    X_val, y_val = X[n:], y[n:]

    model = KernelRegressor(X.size(1))
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, total_iters=args.epochs)
    mse = nn.MSELoss()
    for epoch in range(1, args.epochs + 1):
        model.train()
        total = 0.0
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = mse(model(xb), yb)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(yb)
        scheduler.step()
        model.eval()
        with torch.no_grad():
            val = mse(model(X_val), y_val).item()
        print(f"epoch {epoch:2d} train mse {total / n:.4f} val mse {val:.4f} r2 {1 - val / y_val.var().item():.4f}")


if __name__ == "__main__":
    main()
