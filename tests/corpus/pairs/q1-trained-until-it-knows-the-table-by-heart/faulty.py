import argparse

import torch
import torch.nn as nn
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=50)
parser.add_argument("--lr", type=float, default=3e-4)
args = parser.parse_args()
torch.manual_seed(args.seed)

X, y = make_classification(
    n_samples=600,
    n_features=16,
    n_informative=6,
    n_redundant=0,
    n_clusters_per_class=1,
    class_sep=1.2,
    flip_y=0.1,
    random_state=args.seed + 3,
)
X_train, X_val, y_train, y_val = train_test_split(X, y, test_size=0.5, random_state=args.seed)
mean, std = X_train.mean(0), X_train.std(0)
X_train = torch.tensor((X_train - mean) / std).float()
X_val = torch.tensor((X_val - mean) / std).float()
y_train, y_val = torch.tensor(y_train).float(), torch.tensor(y_val).float()

train_loader = DataLoader(TensorDataset(X_train, y_train), batch_size=10, shuffle=True)

model = nn.Sequential(
    nn.Linear(16, 256),
    nn.ReLU(),
    nn.Linear(256, 256),
    nn.ReLU(),
    nn.Linear(256, 1),
    nn.Flatten(0),
)
loss_fn = nn.BCEWithLogitsLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)

for epoch in range(args.epochs):
    model.train()
    train_loss, train_hits = 0.0, 0
    for xb, yb in train_loader:
        logits = model(xb)
        loss = loss_fn(logits, yb)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        train_loss += loss.item() * len(xb)
        train_hits += ((logits > 0) == (yb > 0.5)).sum().item()

    model.eval()
    with torch.no_grad():
        val_logits = model(X_val)
        val_loss = loss_fn(val_logits, y_val).item()
        val_acc = ((val_logits > 0) == (y_val > 0.5)).float().mean().item()
    print(
        f"Epoch {epoch + 1:3d} | train loss {train_loss / len(X_train):.4f} acc {train_hits / len(X_train):.3f} "
        f"| val loss {val_loss:.4f} acc {val_acc:.3f}"
    )

model.eval()
with torch.no_grad():
    final = model(X_val)
print(
    f"validation: loss {loss_fn(final, y_val).item():.4f}, accuracy {((final > 0) == (y_val > 0.5)).float().mean().item():.3f}"
)
