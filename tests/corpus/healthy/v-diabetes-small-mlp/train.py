"""Predict diabetes progression from ten measurements."""

import argparse
import copy

import torch
from sklearn.datasets import load_diabetes
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn


def get_data(seed):
    X, y = load_diabetes(return_X_y=True)
    X_tr, X_va, y_tr, y_va = train_test_split(X, y, test_size=0.25, random_state=seed)
    xs, ys = StandardScaler(), StandardScaler()
    X_tr, X_va = xs.fit_transform(X_tr), xs.transform(X_va)
    y_tr = ys.fit_transform(y_tr.reshape(-1, 1))
    y_va = ys.transform(y_va.reshape(-1, 1))
    f = lambda a: torch.as_tensor(a, dtype=torch.float32)
    return f(X_tr), f(y_tr), f(X_va), f(y_va), ys


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--lr", type=float, default=1e-3)
    ap.add_argument("--batch", type=int, default=32)
    ap.add_argument("--max-epochs", type=int, default=60)
    ap.add_argument("--patience", type=int, default=8)
    args = ap.parse_args()
    torch.manual_seed(args.seed)

    X_tr, y_tr, X_va, y_va, ys = get_data(args.seed)
    net = nn.Sequential(nn.Linear(10, 24), nn.Tanh(), nn.Dropout(0.1), nn.Linear(24, 1))
    opt = torch.optim.AdamW(net.parameters(), lr=args.lr, weight_decay=1e-2)
    mse = nn.MSELoss()

    best, best_state, bad = float("inf"), None, 0
    for epoch in range(args.max_epochs):
        net.train()
        perm = torch.randperm(len(X_tr))
        total = 0.0
        for i in range(0, len(perm), args.batch):
            idx = perm[i : i + args.batch]
            pred = net(X_tr[idx])
            loss = mse(pred, y_tr[idx])
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item() * len(idx)

        net.eval()
        with torch.no_grad():
            val = mse(net(X_va), y_va).item()
        print(f"epoch {epoch:3d} train mse {total / len(X_tr):.4f} val mse {val:.4f}")
        if val < best - 1e-4:
            best, best_state, bad = val, copy.deepcopy(net.state_dict()), 0
        else:
            bad += 1
            if bad >= args.patience:
                print("stopping early")
                break

    net.load_state_dict(best_state)
    net.eval()
    with torch.no_grad():
        pred = ys.inverse_transform(net(X_va).numpy())
    true = ys.inverse_transform(y_va.numpy())
    print(f"best val mse {best:.4f}  r2 {r2_score(true, pred):.3f}  mae {mean_absolute_error(true, pred):.1f}")


if __name__ == "__main__":
    main()
