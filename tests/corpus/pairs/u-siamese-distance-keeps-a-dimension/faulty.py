import argparse

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.utils.data import DataLoader, Dataset


class DigitPairs(Dataset):
    """Random pairs, half of them of the same class."""

    def __init__(self, images, labels, n_pairs, seed):
        rng = np.random.default_rng(seed)
        by_class = [np.flatnonzero(labels == c) for c in range(10)]
        first = rng.integers(0, len(labels), n_pairs)
        same = rng.random(n_pairs) < 0.5
        second = np.empty(n_pairs, dtype=int)
        for i, (a, s) in enumerate(zip(first, same)):
            c = labels[a] if s else (labels[a] + rng.integers(1, 10)) % 10
            second[i] = rng.choice(by_class[c])
        self.a = torch.from_numpy(images[first])
        self.b = torch.from_numpy(images[second])
        self.same = torch.from_numpy(same.astype(np.float32))

    def __len__(self):
        return len(self.same)

    def __getitem__(self, i):
        return self.a[i], self.b[i], self.same[i]


class Embedder(nn.Module):
    def __init__(self, dim=16):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, dim))

    def forward(self, a, b):
        za, zb = self.net(a), self.net(b)
        return ((za - zb).pow(2).sum(dim=1, keepdim=True) + 1e-8).sqrt()


def contrastive(dist, same, margin=2.0):
    pull = same * dist.pow(2)
    push = (1 - same) * torch.relu(margin - dist).pow(2)
    return (pull + push).mean()


def evaluate(model, loader):
    model.eval()
    loss, n, dists, sames = 0.0, 0, [], []
    with torch.no_grad():
        for a, b, same in loader:
            d = model(a, b)
            loss += contrastive(d, same).item() * len(same)
            n += len(same)
            dists.append(d.flatten())
            sames.append(same)
    auc = roc_auc_score(torch.cat(sames).numpy(), -torch.cat(dists).numpy())
    return loss / n, auc


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=10)
    ap.add_argument("--lr", type=float, default=1e-3)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    digits = load_digits()
    x = ((digits.data - 4.9) / 6.0).astype(np.float32)
    y = digits.target
    perm = np.random.default_rng(args.seed).permutation(len(y))
    tr, va = perm[:1300], perm[1300:]
    train = DataLoader(DigitPairs(x[tr], y[tr], 4000, 1), batch_size=64, shuffle=True)
    val = DataLoader(DigitPairs(x[va], y[va], 1000, 2), batch_size=250)
    model = Embedder()
    opt = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        model.train()
        seen = 0.0
        for a, b, same in train:
            opt.zero_grad()
            loss = contrastive(model(a, b), same)
            loss.backward()
            opt.step()
            seen += loss.item()
        vl, auc = evaluate(model, val)
        print(f"[{epoch + 1:02d}] train {seen / len(train):.4f}  val {vl:.4f}  val AUC {auc:.4f}")


if __name__ == "__main__":
    main()
