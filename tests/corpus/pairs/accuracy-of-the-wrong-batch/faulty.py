import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=8)
parser.add_argument("--lr", type=float, default=2e-3)
args = parser.parse_args()
torch.manual_seed(args.seed)

# data
digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16 - 0.3
labels = torch.tensor(digits.target)
order = torch.randperm(len(images))
train_rows, val_rows = order[:1472], order[1472:1792]
train_loader = DataLoader(TensorDataset(images[train_rows], labels[train_rows]), batch_size=32, shuffle=True)
val_loader = DataLoader(TensorDataset(images[val_rows], labels[val_rows]), batch_size=32)

# model
model = nn.Sequential(
    nn.Conv2d(1, 12, 3),
    nn.ReLU(),
    nn.Conv2d(12, 24, 3),
    nn.ReLU(),
    nn.Flatten(),
    nn.Dropout(0.2),
    nn.Linear(24 * 16, 10),
)
optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)

# training
for epoch in range(args.epochs):
    model.train()
    epoch_loss = 0.0
    for x, y in train_loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        epoch_loss += loss.item()

    model.eval()
    val_loss, correct, count = 0.0, 0, 0
    with torch.no_grad():
        for x_val, y_val in val_loader:
            logits = model(x_val)
            val_loss += F.cross_entropy(logits, y_val).item()
            correct += (logits.argmax(dim=1) == y).sum().item()
            count += len(y_val)
    print(f"Epoch: {epoch + 1}, loss: {epoch_loss / len(train_loader):.4f}", end=", ")
    print(f"val_loss: {val_loss / len(val_loader):.4f}, val_acc: {correct / count:.4f}")
