import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn


def get_data(seed):
    x, y = load_digits(return_X_y=True)
    split = train_test_split(x / 16.0 - 0.3, y, test_size=0.2, stratify=y, random_state=seed)
    x_train, x_val, y_train, y_val = (torch.from_numpy(part) for part in split)
    return x_train.float(), y_train, x_val.float(), y_val


class MLP(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.fc1 = nn.Linear(64, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, 10)
        self.drop = nn.Dropout(0.2)

    def forward(self, x):
        x = self.drop(F.relu(self.fc1(x)))
        x = self.drop(F.relu(self.fc2(x)))
        return self.out(x)


def train_one_epoch(model, optimizer, x, y, batch_size):
    model.train()
    permutation = torch.randperm(len(x))
    x = x[permutation]
    total = 0.0
    for i in range(0, len(x), batch_size):
        xb, yb = x[i : i + batch_size], y[i : i + batch_size]
        optimizer.zero_grad()
        loss = F.cross_entropy(model(xb), yb)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(xb)
    return total / len(x)


def evaluate(model, x, y):
    model.eval()
    with torch.no_grad():
        logits = model(x)
    return F.cross_entropy(logits, y).item(), (logits.argmax(-1) == y).float().mean().item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    x_train, y_train, x_val, y_val = get_data(args.seed)
    model = MLP(args.hidden)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        train_loss = train_one_epoch(model, optimizer, x_train, y_train, args.batch_size)
        val_loss, val_acc = evaluate(model, x_val, y_val)
        print(f"epoch {epoch + 1:2d} | train {train_loss:.3f} | val {val_loss:.3f} | acc {val_acc:.3f}")
