# Wine classification with a small neural net
import argparse

import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=25)
args = parser.parse_args()
torch.manual_seed(args.seed)

# ---- load data
wine = load_wine()
X, y = wine.data.astype(np.float32), wine.target
print("data:", X.shape, "classes:", np.bincount(y))

X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=args.seed)
scaler = StandardScaler()
X_train = scaler.fit_transform(X_train)
X_test = scaler.transform(X_test)

train_ds = TensorDataset(torch.tensor(X_train), torch.tensor(y_train))
test_ds = TensorDataset(torch.tensor(X_test), torch.tensor(y_test))
train_loader = DataLoader(train_ds, batch_size=16, shuffle=True)
test_loader = DataLoader(test_ds, batch_size=64)

# ---- model
model = nn.Sequential(
    nn.Linear(13, 32),
    nn.ReLU(),
    nn.Linear(32, 16),
    nn.ReLU(),
    nn.Linear(16, 3),
)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, weight_decay=1e-3)

# ---- training
for epoch in range(args.epochs):
    model.train()
    running, correct, seen = 0.0, 0, 0
    for xb, yb in train_loader:
        optimizer.zero_grad()
        out = model(xb)
        loss = criterion(out, yb)
        loss.backward()
        optimizer.step()
        running += loss.item() * len(xb)
        correct += (out.argmax(1) == yb).sum().item()
        seen += len(xb)

    model.eval()
    v_loss, v_correct = 0.0, 0
    with torch.no_grad():
        for xb, yb in test_loader:
            out = model(xb)
            v_loss += criterion(out, yb).item() * len(xb)
            v_correct += (out.argmax(1) == yb).sum().item()
    print(
        f"epoch {epoch + 1:2d}  loss {running / seen:.4f}  acc {correct / seen:.3f}  "
        f"test loss {v_loss / len(test_ds):.4f}  test acc {v_correct / len(test_ds):.3f}"
    )
