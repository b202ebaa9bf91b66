"""Digits with a two-layer perceptron."""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=8)
parser.add_argument("--lr", type=float, default=0.03)
args = parser.parse_args()

torch.manual_seed(args.seed)
digits = load_digits()
x = torch.tensor(digits.data, dtype=torch.float32) / 16
y = torch.tensor(digits.target)
perm = torch.randperm(len(x))
x, y = x[perm], y[perm]
mean, std = x[:1400].mean(), x[:1400].std()
x = (x - mean) / std

train_dl = DataLoader(TensorDataset(x[:1400], y[:1400]), batch_size=25, shuffle=True)
val_dl = DataLoader(TensorDataset(x[1400:], y[1400:]), batch_size=100)

model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)

for epoch in range(args.epochs):
    model.train()
    total_loss = 0
    for xb, yb in train_dl:
        optimizer.zero_grad()
        out = model(xb)
        loss = loss_fn(out, yb)
        loss.backward()
        optimizer.step()
        total_loss += loss.item()

    model.eval()
    val_loss, val_hits = 0, 0
    with torch.no_grad():
        for xb, yb in val_dl:
            out = model(xb)
            val_loss += loss_fn(out, yb).item()
            val_hits += (out.argmax(1) == yb).sum().item()
    print(
        f"Epoch {epoch + 1}/{args.epochs} - loss: {total_loss / len(train_dl):.4f}"
        f" - val_loss: {val_loss / len(val_dl):.4f} - val_acc: {val_hits / 397:.4f}"
    )
