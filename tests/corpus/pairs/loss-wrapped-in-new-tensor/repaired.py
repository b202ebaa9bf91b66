import argparse

import torch
import torch.nn as nn
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 3))

    def forward(self, x):
        return self.layers(x)


def weighted_loss(logits, targets, sample_weight):
    per_sample = nn.functional.cross_entropy(logits, targets, reduction="none")
    value = (per_sample * sample_weight).mean()
    return value


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=18)
parser.add_argument("--lr", type=float, default=3e-3)
args = parser.parse_args()
torch.manual_seed(args.seed)

wine = load_wine()
x_train, x_val, y_train, y_val = train_test_split(
    wine.data, wine.target, test_size=0.3, stratify=wine.target, random_state=args.seed
)
scaler = StandardScaler()
x_train = torch.tensor(scaler.fit_transform(x_train), dtype=torch.float32)
x_val = torch.tensor(scaler.transform(x_val), dtype=torch.float32)
y_train, y_val = torch.tensor(y_train), torch.tensor(y_val)
weights = torch.where(y_train == 2, 1.2, 1.0)

model = MLP()
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
for epoch in range(1, args.epochs + 1):
    model.train()
    epoch_loss = 0.0
    for idx in torch.randperm(len(x_train)).split(8):
        logits = model(x_train[idx])
        loss = weighted_loss(logits, y_train[idx], weights[idx])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        epoch_loss += loss.item() * len(idx)
    model.eval()
    with torch.no_grad():
        val_acc = (model(x_val).argmax(1) == y_val).float().mean().item()
    if epoch % 3 == 0:
        print(f"epoch {epoch}: loss {epoch_loss / len(x_train):.4f}, val acc {val_acc:.3f}")
