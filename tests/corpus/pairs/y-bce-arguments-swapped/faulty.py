"""Benign or malignant: a small network on the breast cancer table."""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def load(seed: int):
    X, y = load_breast_cancer(return_X_y=True)
    X_train, X_val, y_train, y_val = train_test_split(X, y, test_size=0.25, stratify=y, random_state=seed)
    scaler = StandardScaler().fit(X_train)
    as_set = lambda X, y: TensorDataset(  # noqa: E731
        torch.tensor(scaler.transform(X), dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
    )
    return as_set(X_train, y_train), as_set(X_val, y_val)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--lr", type=float, default=1e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    train_set, val_set = load(args.seed)
    loader = DataLoader(train_set, batch_size=16, shuffle=True)
    X_val, y_val = val_set.tensors
    net = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=args.lr, weight_decay=1e-4)

    for epoch in range(1, args.epochs + 1):
        net.train()
        running, seen = 0.0, 0
        for features, labels in loader:
            optimizer.zero_grad()
            logits = net(features).squeeze(1)
            loss = F.binary_cross_entropy_with_logits(labels, logits)
            loss.backward()
            optimizer.step()
            running += loss.item() * len(labels)
            seen += len(labels)
        net.eval()
        with torch.no_grad():
            scores = net(X_val).squeeze(1)
        accuracy = ((scores > 0).float() == y_val).float().mean().item()
        auc = roc_auc_score(y_val.numpy(), scores.numpy())
        print(f"epoch {epoch:2d}: loss {running / seen:9.4f}  val acc {accuracy:.3f}  val auc {auc:.3f}")


if __name__ == "__main__":
    main()
