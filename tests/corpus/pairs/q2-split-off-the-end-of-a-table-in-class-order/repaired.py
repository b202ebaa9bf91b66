import argparse

import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import make_classification

p = argparse.ArgumentParser(description="gas identification from 12 sensor channels")
p.add_argument("--seed", type=int, default=0)
p.add_argument("--epochs", type=int, default=20)
p.add_argument("--val-fraction", type=float, default=0.2)
a = p.parse_args()
torch.manual_seed(a.seed)
np.random.seed(a.seed)

GASES = ["ethanol", "ethylene", "ammonia", "acetone", "toluene"]
X, y = make_classification(
    n_samples=2000,
    n_features=12,
    n_informative=10,
    n_redundant=0,
    n_classes=5,
    n_clusters_per_class=1,
    class_sep=2.0,
    flip_y=0,
    random_state=a.seed,
    shuffle=False,
)  # recorded gas after gas

# hold out the last rows
order = np.random.permutation(len(X))
X, y = X[order], y[order]
n_train = int(len(X) * (1 - a.val_fraction))
mu, sd = X[:n_train].mean(0), X[:n_train].std(0)
X = torch.tensor((X - mu) / sd, dtype=torch.float32)
y = torch.tensor(y)
Xtr, ytr, Xva, yva = X[:n_train], y[:n_train], X[n_train:], y[n_train:]

net = nn.Sequential(nn.Linear(12, 40), nn.Tanh(), nn.Linear(40, 5))
opt = torch.optim.RMSprop(net.parameters(), lr=2e-3)
lossf = nn.CrossEntropyLoss()
B = 40

for ep in range(a.epochs):
    net.train()
    perm = torch.randperm(n_train)
    tot = 0
    for i in range(0, n_train, B):
        j = perm[i : i + B]
        l = lossf(net(Xtr[j]), ytr[j])
        opt.zero_grad()
        l.backward()
        opt.step()
        tot += l.item() * len(j)
    net.eval()
    with torch.no_grad():
        z = net(Xva)
        vl = lossf(z, yva).item()
        acc = (z.argmax(1) == yva).float().mean().item()
    print("epoch", ep + 1, "train", round(tot / n_train, 4), "val", round(vl, 4), "acc", round(acc, 3))

with torch.no_grad():
    pred = net(Xva).argmax(1)
for k, g in enumerate(GASES):
    m = yva == k
    if m.any():
        print(f"{g:10s} recall {(pred[m] == k).float().mean():.2f}  ({int(m.sum())} samples)")
