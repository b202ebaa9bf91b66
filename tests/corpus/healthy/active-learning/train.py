"""Uncertainty sampling on breast cancer data: a new model each round, ten more labels after it."""

import argparse

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--rounds", type=int, default=6)
parser.add_argument("--per-round", type=int, default=10)
args = parser.parse_args()
torch.manual_seed(args.seed)

X, y = load_breast_cancer(return_X_y=True)
perm = torch.randperm(len(X))
X = torch.tensor(StandardScaler().fit_transform(X), dtype=torch.float32)[perm]
y = torch.tensor(y, dtype=torch.float32)[perm]
pool, test = TensorDataset(X[:400], y[:400]), (X[400:], y[400:])
labelled = list(range(30))


def new_model():
    return nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 1))


def train(model, indices, epochs=25):
    loader = DataLoader(Subset(pool, indices), batch_size=10, shuffle=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    criterion = nn.BCEWithLogitsLoss()
    for _ in range(epochs):
        model.train()
        for xb, yb in loader:
            loss = criterion(model(xb).squeeze(1), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return loss.item()


for round_ in range(args.rounds):
    model = new_model()
    loss = train(model, labelled)
    model.eval()
    with torch.no_grad():
        acc = ((model(test[0]).squeeze(1) > 0).float() == test[1]).float().mean().item()
        p = torch.sigmoid(model(X[:400]).squeeze(1))
    print(f"round {round_}: {len(labelled)} labels, loss {loss:.4f}, test accuracy {acc:.3f}")
    uncertainty = -(p - 0.5).abs()
    uncertainty[labelled] = -1.0
    labelled += uncertainty.topk(args.per_round).indices.tolist()
