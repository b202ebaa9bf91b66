"""Triplet loss with an embedding net on digits, semi-hard later on."""

import argparse

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=8)
args = parser.parse_args()
torch.manual_seed(args.seed)
rng = np.random.default_rng(args.seed)

X, y = load_digits(return_X_y=True)
X = torch.tensor(X / 16.0, dtype=torch.float32)
order = rng.permutation(len(X))
train_idx, test_idx = order[:1400], order[1400:]
by_class = {c: train_idx[y[train_idx] == c] for c in range(10)}

net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 16))
loss_fn = nn.TripletMarginLoss(margin=0.5)
opt = torch.optim.Adam(net.parameters(), lr=1e-3)


def embed(x):
    return nn.functional.normalize(net(x), dim=1)


def triplets(batch):
    pos = [rng.choice(by_class[y[i]]) for i in batch]
    neg = []
    for i in batch:
        c = rng.choice([k for k in range(10) if k != y[i]])
        neg.append(rng.choice(by_class[c]))
    return X[batch], X[pos], X[neg]


for epoch in range(args.epochs):
    net.train()
    rng.shuffle(train_idx)
    losses = []
    for start in range(0, len(train_idx), 64):
        a, p, n = triplets(train_idx[start : start + 64])
        loss = loss_fn(embed(a), embed(p), embed(n))
        opt.zero_grad()
        loss.backward()
        opt.step()
        losses.append(loss.item())
    net.eval()
    with torch.no_grad():
        gallery, query = embed(X[train_idx]), embed(X[test_idx])
        nearest = torch.cdist(query, gallery).argmin(1).numpy()
    acc = (y[train_idx][nearest] == y[test_idx]).mean()
    print(f"epoch {epoch} triplet loss {np.mean(losses):.4f} recall@1 {acc:.3f}")
