"""Ordinal regression: five severity grades from a table, cumulative-link model on top of an MLP."""

import argparse

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler
from torch import nn


class CumulativeLink(nn.Module):
    def __init__(self, n_in, grades):
        super().__init__()
        self.score = nn.Sequential(nn.Linear(n_in, 32), nn.SiLU(), nn.Linear(32, 1))
        self.first = nn.Parameter(torch.tensor(-1.5))
        self.gaps = nn.Parameter(torch.zeros(grades - 2))

    def thresholds(self):
        return torch.cat([self.first.view(1), self.first + F.softplus(self.gaps).cumsum(0)])

    def forward(self, x):
        return self.score(x) - self.thresholds()


def levels(y, grades):
    return (y[:, None] > torch.arange(grades - 1)).float()


def make_table(n, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 9)) * rng.uniform(0.5, 20, 9) + rng.uniform(-30, 30, 9)
    z = (x - x.mean(0)) / x.std(0)
    s = 1.6 * z[:, 0] - z[:, 1] + 0.8 * np.abs(z[:, 2]) + 0.9 * z[:, 3] * z[:, 4] + 0.4 * rng.normal(size=n)
    return x, np.digitize(s, np.quantile(s, [0.15, 0.4, 0.65, 0.88]))


def train_fold(xt, yt, xv, yv, args):
    model = CumulativeLink(xt.shape[1], 5)
    opt = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=1e-3)
    for epoch in range(1, args.epochs + 1):
        model.train()
        total = 0.0
        for b in torch.randperm(len(xt)).split(40):
            loss = F.binary_cross_entropy_with_logits(model(xt[b]), levels(yt[b], 5))
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item() * len(b)
        model.eval()
        with torch.no_grad():
            out = model(xv)
            val = F.binary_cross_entropy_with_logits(out, levels(yv, 5)).item()
            grade = (out > 0).sum(1)
        if epoch % 6 == 0:
            print(f"   epoch {epoch:2d} train {total / len(xt):.4f} val {val:.4f}")
    return (grade - yv).abs().float().mean().item(), (grade == yv).float().mean().item()


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--folds", type=int, default=3)
    p.add_argument("--epochs", type=int, default=18)
    p.add_argument("--lr", type=float, default=4e-3)
    args = p.parse_args()
    torch.manual_seed(args.seed)
    x, y = make_table(2100, args.seed)
    scores = []
    for k, (tr, te) in enumerate(KFold(args.folds, shuffle=True, random_state=args.seed).split(x)):
        sc = StandardScaler().fit(x[tr])
        f = lambda i: torch.tensor(sc.transform(x[i]), dtype=torch.float32)
        mae, acc = train_fold(f(tr), torch.tensor(y[tr]), f(te), torch.tensor(y[te]), args)
        print(f"fold {k}: grade MAE {mae:.3f}, exact {acc:.3f}")
        scores.append(mae)
    print(f"mean MAE {np.mean(scores):.3f}")
