import argparse

import torch
import torch.nn as nn
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, TensorDataset


def to_dataset(X, y):
    return TensorDataset(torch.tensor(X, dtype=torch.float32), torch.tensor(y, dtype=torch.float32))


class Classifier(nn.Module):
    def __init__(self, in_features):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(in_features, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1))

    def forward(self, x):
        return self.net(x).squeeze(-1)


def validate(model, loader, criterion):
    model.eval()
    losses, scores, truth = [], [], []
    with torch.no_grad():
        for X, y in loader:
            logits = model(X)
            losses.append(criterion(logits, y).item())
            scores.extend(logits.sigmoid().tolist())
            truth.extend(y.tolist())
    acc = accuracy_score(truth, [s > 0.5 for s in scores])
    return sum(losses) / len(losses), acc, roc_auc_score(truth, scores)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=15)
args = parser.parse_args()
torch.manual_seed(args.seed)

X, y = load_breast_cancer(return_X_y=True)
X_train, X_val, y_train, y_val = train_test_split(X, y, test_size=0.3, random_state=args.seed, stratify=y)
scaler = StandardScaler().fit(X_train)

train_loader = DataLoader(to_dataset(scaler.transform(X_train), y_train), batch_size=16, shuffle=True)
val_loader = DataLoader(to_dataset(scaler.transform(X), y), batch_size=64)

model = Classifier(X.shape[1])
criterion = nn.BCEWithLogitsLoss()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)

for epoch in range(args.epochs):
    model.train()
    train_loss = 0.0
    for xb, yb in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(xb), yb)
        loss.backward()
        optimizer.step()
        train_loss += loss.item()
    val_loss, val_acc, val_auc = validate(model, val_loader, criterion)
    print(
        f"epoch {epoch + 1:2d} train_loss {train_loss / len(train_loader):.4f} "
        f"val_loss {val_loss:.4f} val_acc {val_acc:.4f} val_auc {val_auc:.4f}"
    )
