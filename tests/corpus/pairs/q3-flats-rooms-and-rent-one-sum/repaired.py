import argparse

import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset


def flats(n, rng):
    area = rng.uniform(20, 140, n)
    age = rng.uniform(0, 90, n)
    lat, lon = rng.normal(0, 1, (2, n))
    bath = rng.integers(1, 4, n)
    floor = rng.integers(0, 10, n)
    X = np.stack([area, age, lat, lon, bath, floor], 1)
    quarter = (lat > 0).astype(int) + 2 * (lon + 0.5 * np.sin(2 * lat) > 0).astype(int)
    rent = 250 + 11 * area - 2.0 * age + 120 * quarter + 60 * bath + rng.normal(0, 60, n)
    return X.astype(np.float32), quarter, rent.astype(np.float32)


class FlatModel(nn.Module):
    """Shared body; predicts the quarter of the town and the monthly rent."""

    def __init__(self, n_in=6, width=48):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_in, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.quarter = nn.Linear(width, 4)
        self.rent = nn.Linear(width, 1)

    def forward(self, x):
        h = self.body(x)
        return self.quarter(h), self.rent(h).squeeze(-1)


def multi_task_loss(out, quarter, rent):
    logits, pred = out
    return nn.functional.cross_entropy(logits, quarter) + nn.functional.mse_loss(pred, rent)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=14)
    ap.add_argument("--lr", type=float, default=1e-3)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    X, q, r = flats(2400, rng)
    Xv, qv, rv = flats(600, rng)

    mean, std = X.mean(0), X.std(0)
    X, Xv = (X - mean) / std, (Xv - mean) / std
    shift, scale = r.mean(), r.std()
    r = (r - shift) / scale
    rv = (rv - shift) / scale

    train = TensorDataset(*map(torch.from_numpy, (X, q, r)))
    val = TensorDataset(*map(torch.from_numpy, (Xv, qv, rv)))
    train_dl = DataLoader(train, batch_size=40, shuffle=True)
    val_dl = DataLoader(val, batch_size=300)
    model = FlatModel()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)

    for epoch in range(args.epochs):
        model.train()
        run = 0.0
        for x, quarter, rent in train_dl:
            loss = multi_task_loss(model(x), quarter, rent)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run += loss.item() / len(train_dl)
        model.eval()
        acc = err = vloss = 0.0
        with torch.no_grad():
            for x, quarter, rent in val_dl:
                out = model(x)
                vloss += multi_task_loss(out, quarter, rent).item() / len(val_dl)
                acc += (out[0].argmax(1) == quarter).float().mean().item() / len(val_dl)
                err += (out[1] - rent).abs().mean().item() * scale / len(val_dl)
        print(f"epoch {epoch + 1:2d}  loss {run:.4f}  val {vloss:.4f}  quarter acc {acc:.3f}  rent mae {err:.1f}")


if __name__ == "__main__":
    main()
