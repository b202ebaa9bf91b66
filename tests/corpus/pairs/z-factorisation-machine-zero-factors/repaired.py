"""Factorisation machine for click prediction on categorical fields."""

import argparse

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

FIELDS = [30, 25, 12, 8]  # user group, advert, hour block, device


def simulate_clicks(n, rng):
    k = 3
    offsets = np.cumsum([0] + FIELDS[:-1])
    lin = 0.2 * rng.standard_normal(sum(FIELDS))
    vec = rng.standard_normal((sum(FIELDS), k))
    cols = np.stack([rng.integers(0, f, n) for f in FIELDS], 1) + offsets
    v = vec[cols]
    pairs = 0.5 * ((v.sum(1) ** 2).sum(1) - (v**2).sum((1, 2)))
    score = lin[cols].sum(1) + 0.9 * pairs
    clicks = rng.random(n) < 1 / (1 + np.exp(-score))
    return torch.from_numpy(cols), torch.from_numpy(clicks.astype("float32"))


class FactorisationMachine(nn.Module):
    def __init__(self, n_values, k):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1))
        self.linear = nn.Embedding(n_values, 1)
        self.factors = nn.Embedding(n_values, k)
        nn.init.zeros_(self.linear.weight)
        nn.init.normal_(self.factors.weight, std=0.1)

    def forward(self, cols):
        v = self.factors(cols)
        interaction = 0.5 * (v.sum(1).pow(2) - v.pow(2).sum(1)).sum(1)
        return self.bias + self.linear(cols).sum((1, 2)) + interaction


def fit(args):
    torch.manual_seed(args.seed)
    cols, clicks = simulate_clicks(8000, np.random.default_rng(args.seed))
    train = DataLoader(TensorDataset(cols[:6500], clicks[:6500]), batch_size=args.batch_size, shuffle=True)
    model = FactorisationMachine(sum(FIELDS), args.factors)
    loss_fn = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, weight_decay=1e-5)
    for epoch in range(1, args.epochs + 1):
        total = 0.0
        for cb, yb in train:
            optimizer.zero_grad()
            loss = loss_fn(model(cb), yb)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(yb)
        with torch.no_grad():
            z = model(cols[6500:])
            logloss = loss_fn(z, clicks[6500:]).item()
        auc = roc_auc_score(clicks[6500:].numpy(), z.numpy())
        print(f"epoch {epoch:2d}: train logloss {total / 6500:.4f}, held-out logloss {logloss:.4f}, AUC {auc:.4f}")


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--factors", type=int, default=4)
    ap.add_argument("--epochs", type=int, default=10)
    ap.add_argument("--lr", type=float, default=0.01)
    ap.add_argument("--batch-size", type=int, default=100)
    fit(ap.parse_args())
