"""5-fold cross-validation of a small network on the breast cancer data."""

import argparse

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import StratifiedKFold
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def build_model():
    return nn.Sequential(nn.Linear(30, 24), nn.ReLU(), nn.Dropout(0.2), nn.Linear(24, 12), nn.ReLU(), nn.Linear(12, 2))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--folds", type=int, default=5)
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--lr", type=float, default=2e-3)
args = parser.parse_args()
torch.manual_seed(args.seed)

X, y = load_breast_cancer(return_X_y=True)
criterion = nn.CrossEntropyLoss()
folds = StratifiedKFold(n_splits=args.folds, shuffle=True, random_state=args.seed)
scores = []

model = build_model()
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)

for fold, (train_idx, val_idx) in enumerate(folds.split(X, y)):
    mean, std = X[train_idx].mean(0), X[train_idx].std(0)
    features = torch.tensor((X - mean) / std, dtype=torch.float32)
    labels = torch.tensor(y)
    loader = DataLoader(TensorDataset(features[train_idx], labels[train_idx]), batch_size=16, shuffle=True)

    model = build_model()
    for _epoch in range(args.epochs):
        model.train()
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            optimizer.step()

    model.eval()
    with torch.no_grad():
        logits = model(features[val_idx])
        accuracy = (logits.argmax(1) == labels[val_idx]).float().mean().item()
    scores.append(accuracy)
    print(f"fold {fold}: last loss {loss.item():.4f}  accuracy {accuracy:.3f}")

print(f"mean accuracy {np.mean(scores):.3f} +- {np.std(scores):.3f}")
