import argparse

import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--folds", type=int, default=4)
parser.add_argument("--epochs", type=int, default=12)
args = parser.parse_args()
torch.manual_seed(args.seed)

data = load_breast_cancer()
X, Y = data.data, data.target


def build_model():
    return nn.Sequential(
        nn.Linear(30, 16),
        nn.ELU(),
        nn.Linear(16, 8),
        nn.ELU(),
        nn.Linear(8, 1),
    )


def as_tensors(x, y):
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32).view(-1, 1)


model = build_model()
optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3, weight_decay=1e-4)
criterion = nn.BCEWithLogitsLoss()
scores = []

kfold = StratifiedKFold(n_splits=args.folds, shuffle=True, random_state=args.seed)
for fold, (train_idx, val_idx) in enumerate(kfold.split(X, Y)):
    model = build_model()
    scaler = StandardScaler().fit(X[train_idx])
    x_tr, y_tr = as_tensors(scaler.transform(X[train_idx]), Y[train_idx])
    x_va, y_va = as_tensors(scaler.transform(X[val_idx]), Y[val_idx])

    for epoch in range(args.epochs):
        model.train()
        perm = torch.randperm(len(x_tr))
        epoch_loss = 0.0
        for i in range(0, len(perm), 16):
            idx = perm[i : i + 16]
            optimizer.zero_grad()
            loss = criterion(model(x_tr[idx]), y_tr[idx])
            loss.backward()
            optimizer.step()
            epoch_loss += loss.item() * len(idx)
        if epoch % 3 == 2:
            model.eval()
            with torch.no_grad():
                val_logits = model(x_va)
            val_loss = criterion(val_logits, y_va).item()
            print(f"fold {fold} epoch {epoch + 1}: train {epoch_loss / len(perm):.4f} val {val_loss:.4f}")

    accuracy = ((val_logits > 0).float() == y_va).float().mean().item()
    auc = roc_auc_score(y_va.numpy().ravel(), val_logits.numpy().ravel())
    scores.append(accuracy)
    print(f"fold {fold}: accuracy {accuracy:.3f} auc {auc:.3f}")

print(f"mean accuracy over {args.folds} folds: {np.mean(scores):.3f} +- {np.std(scores):.3f}")
