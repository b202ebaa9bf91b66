import argparse

import numpy as np
import torch
from sklearn.datasets import make_regression
from sklearn.preprocessing import StandardScaler
from torch import nn, optim

# sensor table: 4 % of the rows have a gap somewhere
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--bs", type=int, default=32)
args = parser.parse_args()
torch.manual_seed(args.seed)
rng = np.random.default_rng(args.seed)

X, y = make_regression(2500, n_features=12, n_informative=8, noise=8.0, random_state=args.seed)
y = y + 0.15 * np.abs(X[:, 0] * X[:, 1]) * y.std()
gaps = rng.random(len(X)) < 0.04
X[gaps, rng.integers(0, 12, gaps.sum())] = np.nan

# drop incomplete rows
complete = ~np.isnan(X).any(axis=1)
X = X[complete]
y = y[complete]
print("rows:", X.shape, y.shape)

n_train = int(0.8 * len(X))
sx, sy = StandardScaler(), StandardScaler()
x_train = torch.tensor(sx.fit_transform(X[:n_train]), dtype=torch.float32)
x_val = torch.tensor(sx.transform(X[n_train:]), dtype=torch.float32)
y_train = torch.tensor(sy.fit_transform(y[:n_train, None]), dtype=torch.float32)
y_val = torch.tensor(sy.transform(y[n_train:, None]), dtype=torch.float32)

model = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
opt = optim.Adam(model.parameters(), lr=2e-3)
loss_fn = nn.SmoothL1Loss()

for epoch in range(args.epochs):
    perm = torch.randperm(n_train)
    running = 0.0
    for start in range(0, n_train, args.bs):
        batch = perm[start : start + args.bs]
        loss = loss_fn(model(x_train[batch]), y_train[batch])
        opt.zero_grad()
        loss.backward()
        opt.step()
        running += loss.item() * len(batch)
    with torch.no_grad():
        pred = model(x_val)
        val = loss_fn(pred, y_val).item()
        r2 = 1 - ((pred - y_val) ** 2).sum().item() / ((y_val - y_val.mean()) ** 2).sum().item()
    print(f"epoch {epoch + 1} train {running / n_train:.4f} val {val:.4f} R2 {r2:.3f}")
