import argparse

import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import make_classification
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

# %% arguments
cli = argparse.ArgumentParser()
cli.add_argument("--seed", type=int, default=0)
cli.add_argument("--epochs", type=int, default=8)
cli.add_argument("--lr", type=float, default=1e-3)
cfg = cli.parse_args()
torch.manual_seed(cfg.seed)
rng = np.random.RandomState(cfg.seed)

# %% data
X, y = make_classification(
    n_samples=6000,
    n_features=18,
    n_informative=8,
    n_redundant=4,
    n_clusters_per_class=2,
    weights=[0.94],
    class_sep=1.3,
    flip_y=0.005,
    random_state=cfg.seed,
)
X_train, X_val, y_train, y_val = train_test_split(X, y, test_size=0.3, stratify=y, random_state=cfg.seed)
scaler = StandardScaler().fit(X_train)
X_train, X_val = scaler.transform(X_train), scaler.transform(X_val)
n_neg, n_pos = (y_train == 0).sum(), (y_train == 1).sum()
print(f"train: {n_neg} negative, {n_pos} positive")

# %% even out the classes
extra = rng.choice(np.flatnonzero(y_train == 1), n_neg - n_pos)
X_train = np.concatenate([X_train, X_train[extra]])
y_train = np.concatenate([y_train, y_train[extra]])
X_train = torch.tensor(X_train, dtype=torch.float32)
y_train = torch.tensor(y_train, dtype=torch.float32)
X_val_t = torch.tensor(X_val, dtype=torch.float32)

# %% model
model = nn.Sequential(nn.Linear(18, 48), nn.ReLU(), nn.Dropout(0.1), nn.Linear(48, 24), nn.ReLU(), nn.Linear(24, 1))
criterion = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(n_neg / n_pos, dtype=torch.float32))
optimizer = torch.optim.AdamW(model.parameters(), lr=cfg.lr, weight_decay=1e-2)

# %% training
for epoch in range(cfg.epochs):
    model.train()
    perm = rng.permutation(len(X_train))
    total = 0.0
    for i in range(0, len(perm), 64):
        b = perm[i : i + 64]
        optimizer.zero_grad()
        loss = criterion(model(X_train[b]).squeeze(-1), y_train[b])
        loss.backward()
        optimizer.step()
        total += loss.item() * len(b)
    model.eval()
    with torch.no_grad():
        prob = torch.sigmoid(model(X_val_t).squeeze(-1)).numpy()
    pred = prob > 0.5
    print(
        f"epoch {epoch + 1:2d} loss {total / len(perm):.4f} | precision {precision_score(y_val, pred, zero_division=0):.3f} "
        f"recall {recall_score(y_val, pred):.3f} f1 {f1_score(y_val, pred):.3f} "
        f"AP {average_precision_score(y_val, prob):.3f} flagged {pred.mean():.3f}"
    )
