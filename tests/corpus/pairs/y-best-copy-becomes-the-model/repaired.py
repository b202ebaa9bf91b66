"""Friedman's function; goes back to the best model with half the rate when validation gets worse."""

import argparse
import copy

import torch
from sklearn.datasets import make_friedman1
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--lr", type=float, default=5e-3)
args = parser.parse_args()
torch.manual_seed(args.seed)

X, y = make_friedman1(n_samples=2000, n_features=10, noise=0.5, random_state=args.seed)
X = torch.tensor((X - 0.5) / 0.29, dtype=torch.float32)
y = torch.tensor(y, dtype=torch.float32)[:, None]
y = (y - y[:1500].mean()) / y[:1500].std()
loader = DataLoader(TensorDataset(X[:1500], y[:1500]), batch_size=30, shuffle=True)
X_val, y_val = X[1500:], y[1500:]

model = nn.Sequential(nn.Linear(10, 48), nn.SiLU(), nn.Linear(48, 48), nn.SiLU(), nn.Linear(48, 1))
opt = torch.optim.Adam(model.parameters(), lr=args.lr)
mse = nn.MSELoss()


def validate():
    model.eval()
    with torch.no_grad():
        return mse(model(X_val), y_val).item()


best, best_loss = copy.deepcopy(model), float("inf")
for epoch in range(args.epochs):
    model.train()
    total = 0.0
    for xb, yb in loader:
        opt.zero_grad()
        loss = mse(model(xb), yb)
        loss.backward()
        opt.step()
        total += loss.item()
    val = validate()
    print(f"{epoch:3d}  train {total / len(loader):.4f}  val {val:.4f}  lr {opt.param_groups[0]['lr']:.2e}")
    if val < best_loss:
        best, best_loss = copy.deepcopy(model), val
    else:
        print("     worse, back to the best model with half the rate")
        model.load_state_dict(best.state_dict())
        for group in opt.param_groups:
            group["lr"] /= 2
model.load_state_dict(best.state_dict())
print(f"best val mse {validate():.4f} (variance of the target is 1)")
