"""Five-fold cross-validation of a small network on a noisy questionnaire table."""

import argparse

import numpy as np
import torch
from sklearn.datasets import make_classification
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def build_model(n_in):
    return nn.Sequential(nn.Linear(n_in, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 1))


def train_fold(model, optimizer, xtr, ytr, xva, yva, epochs, batch_size):
    loss_fn = nn.BCEWithLogitsLoss()
    loader = DataLoader(TensorDataset(xtr, ytr), batch_size=batch_size, shuffle=True)
    for epoch in range(epochs):
        model.train()
        total = 0.0
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = loss_fn(model(xb).squeeze(1), yb)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(yb)
        model.eval()
        with torch.no_grad():
            z = model(xva).squeeze(1)
            val_loss = loss_fn(z, yva).item()
            acc = ((z > 0).float() == yva).float().mean().item()
        print(f"   epoch {epoch + 1}: loss {total / len(ytr):.4f} val_loss {val_loss:.4f} val_acc {acc:.4f}")
    return acc


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--folds", type=int, default=5)
    ap.add_argument("--epochs", type=int, default=6)
    ap.add_argument("--batch-size", type=int, default=32)
    ap.add_argument("--lr", type=float, default=2e-3)
    args = ap.parse_args()
    torch.manual_seed(args.seed)

    X, y = make_classification(
        1500, n_features=24, n_informative=8, n_redundant=4, class_sep=1.3, flip_y=0.1, random_state=args.seed
    )
    X, y = X.astype(np.float32), y.astype(np.float32)
    scores = []
    for fold, (tr, va) in enumerate(StratifiedKFold(args.folds, shuffle=True, random_state=args.seed).split(X, y)):
        model = build_model(X.shape[1])
        optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
        scaler = StandardScaler().fit(X[tr])
        t = lambda a: torch.from_numpy(a)
        print(f"fold {fold + 1}")
        scores.append(
            train_fold(
                model,
                optimizer,
                t(scaler.transform(X[tr])),
                t(y[tr]),
                t(scaler.transform(X[va])),
                t(y[va]),
                args.epochs,
                args.batch_size,
            )
        )
    print(f"cross-validated accuracy {np.mean(scores):.4f} +- {np.std(scores):.4f}")


if __name__ == "__main__":
    main()
