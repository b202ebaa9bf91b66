"""Snapshot ensemble on a table: the rate restarts three times, the net at the end of every cycle is kept."""

import argparse
import copy

import numpy as np
import torch
from sklearn.datasets import make_classification
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts
from torch.utils.data import DataLoader, TensorDataset


def prepare(seed):
    X, y = make_classification(
        3000,
        n_features=20,
        n_informative=12,
        n_redundant=2,
        n_classes=5,
        n_clusters_per_class=2,
        class_sep=2.2,
        flip_y=0.02,
        random_state=seed,
    )
    Xa, Xb, ya, yb = train_test_split(X, y, test_size=0.3, random_state=seed, stratify=y)
    sc = StandardScaler().fit(Xa)
    f = lambda a: torch.tensor(sc.transform(a), dtype=torch.float32)
    return f(Xa), torch.tensor(ya), f(Xb), torch.tensor(yb)


def probabilities(model, x):
    model.eval()
    with torch.no_grad():
        return torch.softmax(model(x).double(), dim=1).numpy()


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--cycles", type=int, default=3)
    ap.add_argument("--epochs-per-cycle", type=int, default=6)
    ap.add_argument("--lr", type=float, default=0.1)
    ap.add_argument("--batch-size", type=int, default=50)
    args = ap.parse_args()
    torch.manual_seed(args.seed)

    xtr, ytr, xva, yva = prepare(args.seed)
    loader = DataLoader(TensorDataset(xtr, ytr), batch_size=args.batch_size, shuffle=True)
    model = nn.Sequential(
        nn.Linear(20, 48),
        nn.BatchNorm1d(48),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(48, 24),
        nn.BatchNorm1d(24),
        nn.ReLU(),
        nn.Linear(24, 5),
    )
    criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, nesterov=True, weight_decay=5e-4)
    scheduler = CosineAnnealingWarmRestarts(optimizer, T_0=args.epochs_per_cycle * len(loader))

    snapshots = []
    for epoch in range(args.cycles * args.epochs_per_cycle):
        model.train()
        losses = []
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            optimizer.step()
            scheduler.step()
            losses.append(loss.item())
        p = probabilities(model, xva)
        print(
            f"epoch {epoch + 1:2d} train {np.mean(losses):.4f} val logloss {log_loss(yva, p):.4f} "
            f"val acc {accuracy_score(yva, p.argmax(1)):.4f}"
        )
        if (epoch + 1) % args.epochs_per_cycle == 0:
            snapshots.append(copy.deepcopy(model))

    singles = [probabilities(m, xva) for m in snapshots]
    for k, p in enumerate(singles):
        print(f"snapshot {k + 1}: acc {accuracy_score(yva, p.argmax(1)):.4f}")
    mean = np.mean(singles, axis=0)
    print(f"ensemble: acc {accuracy_score(yva, mean.argmax(1)):.4f} logloss {log_loss(yva, mean):.4f}")


if __name__ == "__main__":
    main()
