"""Rare-event detection (about 3% positives) with a focal loss, judged by average precision."""

import argparse
import math

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.metrics import average_precision_score, recall_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, TensorDataset


class FocalLoss(nn.Module):
    def __init__(self, gamma=2.0, alpha=0.75):
        super().__init__()
        self.gamma, self.alpha = gamma, alpha

    def forward(self, logits, y):
        ce = F.binary_cross_entropy_with_logits(logits, y, reduction="none")
        p_t = torch.exp(-ce)
        a_t = self.alpha * y + (1 - self.alpha) * (1 - y)
        return (a_t * (1 - p_t) ** self.gamma * ce).mean()


def make_readings(n, rng):
    """Ten sensors; an alarm happens when a mix of three of them is exceptionally high."""
    X = rng.normal(size=(n, 10)) * rng.uniform(0.5, 20, size=10) + rng.uniform(-5, 50, size=10)
    z = (X - X.mean(0)) / X.std(0)
    risk = z[:, 0] + 0.8 * z[:, 1] + 0.6 * z[:, 2] + 0.4 * z[:, 0] * z[:, 1]
    risk = risk + 0.05 * rng.normal(size=n)
    return X, (risk > np.quantile(risk, 0.97)).astype(int)


def build(d_in, prior):
    net = nn.Sequential(nn.Linear(d_in, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))
    nn.init.constant_(net[-1].bias, math.log(prior / (1 - prior)))
    return net


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=8)
    ap.add_argument("--lr", type=float, default=2e-3)
    ap.add_argument("--gamma", type=float, default=2.0)
    args = ap.parse_args()
    torch.manual_seed(args.seed)

    X, y = make_readings(14000, np.random.default_rng(args.seed))
    Xt, Xv, yt, yv = train_test_split(X, y, test_size=0.3, stratify=y, random_state=args.seed)
    sc = StandardScaler().fit(Xt)
    Xt, Xv = (torch.tensor(sc.transform(a), dtype=torch.float32) for a in (Xt, Xv))
    yt, yv = (torch.tensor(a, dtype=torch.float32) for a in (yt, yv))
    loader = DataLoader(TensorDataset(Xt, yt), batch_size=64, shuffle=True)

    net = build(10, prior=float(yt.mean()))
    criterion = FocalLoss(args.gamma)
    opt = torch.optim.AdamW(net.parameters(), lr=args.lr, weight_decay=0.01)
    sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, T_max=args.epochs)
    for epoch in range(1, args.epochs + 1):
        net.train()
        s = 0.0
        for xb, yb in loader:
            loss = criterion(net(xb).squeeze(-1), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
            s += loss.item()
        sched.step()
        net.eval()
        with torch.no_grad():
            logits = net(Xv).squeeze(-1)
            vloss = criterion(logits, yv).item()
        ap_score = average_precision_score(yv, logits)
        rec = recall_score(yv, logits > 0)
        print(f"epoch {epoch:2d} focal {s / len(loader):.5f} val {vloss:.5f} AP {ap_score:.3f} recall@0.5 {rec:.3f}")


if __name__ == "__main__":
    main()
