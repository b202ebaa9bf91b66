"""Siamese network: do two images show the same digit?"""

import argparse
import random

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from torch.utils.data import DataLoader, Dataset


class PairDataset(Dataset):
    """Half of the pairs share the class; the partner is drawn anew each time unless fixed."""

    def __init__(self, images, labels, fixed=False, seed=0):
        self.images, self.labels, self.fixed, self.seed = images, labels, fixed, seed
        self.by_class = {c: [i for i, l in enumerate(labels) if l == c] for c in range(10)}

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        rng = random.Random(self.seed * 100003 + i) if self.fixed else random
        c = self.labels[i]
        same = rng.random() < 0.5
        if same:
            j = rng.choice(self.by_class[c])
        else:
            j = rng.choice(self.by_class[rng.choice([k for k in range(10) if k != c])])
        return self.images[i], self.images[j], torch.tensor(float(same))


class Encoder(nn.Module):
    def __init__(self, dim=16):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU()
        )
        self.fc = nn.Linear(32 * 16, dim)

    def forward(self, x):
        return self.fc(self.conv(x).flatten(1))


def contrastive_loss(d, same, margin):
    return (same * d.pow(2) + (1 - same) * F.relu(margin - d).pow(2)).mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--margin", type=float, default=2.0)
    parser.add_argument("--lr", type=float, default=1e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    random.seed(args.seed)

    d = load_digits()
    x = torch.tensor(d.images / 16.0, dtype=torch.float32).unsqueeze(1) - 0.3
    perm = torch.randperm(len(x)).tolist()
    tr, va = perm[:1400], perm[1400:]
    labels = d.target.tolist()
    train = DataLoader(PairDataset(x[tr], [labels[i] for i in tr]), batch_size=40, shuffle=True)
    valid = DataLoader(PairDataset(x[va], [labels[i] for i in va], fixed=True), batch_size=200)

    net = Encoder()
    opt = torch.optim.Adam(net.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        net.train()
        total = 0.0
        for a, b, same in train:
            dist = F.pairwise_distance(net(a), net(b))
            loss = contrastive_loss(dist, same, args.margin)
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item() * len(same)
        net.eval()
        with torch.no_grad():
            dist = torch.cat([F.pairwise_distance(net(a), net(b)) for a, b, _ in valid])
            same = torch.cat([s for _, _, s in valid])
        acc = ((dist < args.margin / 2) == same.bool()).float().mean().item()
        print(
            f"epoch {epoch + 1:2d} loss {total / len(tr):.4f} val loss "
            f"{contrastive_loss(dist, same, args.margin).item():.4f} "
            f"val acc {acc:.3f} auc {roc_auc_score(same, -dist):.4f}"
        )


if __name__ == "__main__":
    main()
