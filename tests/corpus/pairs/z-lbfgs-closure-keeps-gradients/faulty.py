"""Full-batch regression of the Friedman function with L-BFGS."""

import argparse

import numpy as np
import torch
from sklearn.datasets import make_friedman1
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn


def load(seed):
    X, y = make_friedman1(n_samples=900, n_features=10, noise=0.5, random_state=seed)
    Xtr, Xte, ytr, yte = train_test_split(X, y, test_size=0.3, random_state=seed)
    sx = StandardScaler().fit(Xtr)
    sy = StandardScaler().fit(ytr[:, None])
    as_t = lambda a: torch.from_numpy(np.asarray(a, dtype=np.float32))
    return (
        as_t(sx.transform(Xtr)),
        as_t(sy.transform(ytr[:, None])),
        as_t(sx.transform(Xte)),
        as_t(sy.transform(yte[:, None])),
    )


def main(args):
    torch.manual_seed(args.seed)
    Xtr, ytr, Xte, yte = load(args.seed)
    model = nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 1))
    criterion = nn.MSELoss()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=args.lr, max_iter=4, history_size=10)

    def closure():
        loss = criterion(model(Xtr), ytr) + args.l2 * sum((p**2).sum() for p in model.parameters())
        loss.backward()
        return loss

    for it in range(1, args.iterations + 1):
        loss = optimizer.step(closure)
        if it % 5 == 0:
            with torch.no_grad():
                test_mse = criterion(model(Xte), yte).item()
            print(
                f"iteration {it:3d}  objective {loss.item():.4f}  "
                f"test mse {test_mse:.4f}  R2 {1 - test_mse / yte.var().item():.3f}"
            )


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--iterations", type=int, default=60)
    p.add_argument("--lr", type=float, default=0.3)
    p.add_argument("--l2", type=float, default=1e-4)
    main(p.parse_args())
