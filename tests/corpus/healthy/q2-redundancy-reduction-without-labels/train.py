import argparse

import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression


def distort(images):
    """Random shift by at most one pixel, noise, a little erasing."""
    n = len(images)
    padded = nn.functional.pad(images, (1, 1, 1, 1), value=-0.8)
    dy, dx = torch.randint(0, 3, (2, n))
    rows = dy[:, None] + torch.arange(8)
    cols = dx[:, None] + torch.arange(8)
    out = padded[torch.arange(n)[:, None, None], 0, rows[:, :, None], cols[:, None, :]].unsqueeze(1)
    out = out + 0.2 * torch.randn_like(out)
    return out * (torch.rand_like(out) > 0.1)


def cross_correlation_loss(za, zb, weight):
    za = (za - za.mean(0)) / (za.std(0) + 1e-6)
    zb = (zb - zb.mean(0)) / (zb.std(0) + 1e-6)
    c = za.T @ zb / len(za)
    on_diagonal = (torch.diagonal(c) - 1).pow(2).sum()
    off_diagonal = c.pow(2).sum() - torch.diagonal(c).pow(2).sum()
    return on_diagonal + weight * off_diagonal


class Twin(nn.Module):
    def __init__(self, features=48, projection=64):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 16, features),
        )
        self.projector = nn.Sequential(nn.BatchNorm1d(features), nn.ReLU(), nn.Linear(features, projection))

    def forward(self, x):
        return self.projector(self.encoder(x))


def probe(model, train, test):
    model.eval()
    with torch.no_grad():
        ftr, fte = (model.encoder(x).numpy() for x in (train[0], test[0]))
    model.train()
    mu, sd = ftr.mean(0), ftr.std(0) + 1e-6
    clf = LogisticRegression(max_iter=300).fit((ftr - mu) / sd, train[1])
    return clf.score((fte - mu) / sd, test[1])


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=20)
    ap.add_argument("--batch", type=int, default=128)
    ap.add_argument("--off-weight", type=float, default=0.02)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    d = load_digits()
    images = (torch.tensor(d.images, dtype=torch.float32) - 4.9).div(6.0).unsqueeze(1)
    order = np.random.RandomState(args.seed).permutation(len(images))
    tr, te = order[:1400], order[1400:]
    pool = images[tr]
    model = Twin()
    opt = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4)
    for epoch in range(1, args.epochs + 1):
        total, n = 0.0, 0
        for idx in torch.randperm(len(pool)).split(args.batch):
            if len(idx) < args.batch:
                continue
            x = pool[idx]
            loss = cross_correlation_loss(model(distort(x)), model(distort(x)), args.off_weight)
            opt.zero_grad()
            loss.backward()
            opt.step()
            total, n = total + loss.item(), n + 1
        line = f"epoch {epoch:2d}  loss {total / n:.2f}"
        if epoch % 5 == 0:
            line += f"  linear probe {probe(model, (images[tr], d.target[tr]), (images[te], d.target[te])):.3f}"
        print(line)
