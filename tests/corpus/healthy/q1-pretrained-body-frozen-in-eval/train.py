import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset


class Body(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 12, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(12)
        self.conv2 = nn.Conv2d(12, 24, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(24)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        return x.flatten(1)


class Transfer(nn.Module):
    """A trained body with a fresh head for a new task."""

    def __init__(self, body, n_out):
        super().__init__()
        self.body = body
        self.head = nn.Linear(96, n_out)
        for p in self.body.parameters():
            p.requires_grad_(False)

    def train(self, mode=True):
        super().train(mode)
        self.body.eval()
        return self

    def forward(self, x):
        with torch.no_grad():
            features = self.body(x)
        return self.head(features)


def loop(model, optimizer, train, val, epochs, name):
    for epoch in range(1, epochs + 1):
        model.train()
        losses = []
        for x, y in train:
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            outs = [(model(x), y) for x, y in val]
        vloss = sum(F.cross_entropy(o, y, reduction="sum").item() for o, y in outs) / len(val.dataset)
        acc = sum((o.argmax(1) == y).sum().item() for o, y in outs) / len(val.dataset)
        print(f"{name} {epoch}: train {sum(losses) / len(losses):.4f} val {vloss:.4f} acc {acc:.3f}")


def split(x, y, n_val):
    order = torch.randperm(len(y))
    tr, va = order[n_val:], order[:n_val]
    return (
        DataLoader(TensorDataset(x[tr], y[tr]), batch_size=32, shuffle=True),
        DataLoader(TensorDataset(x[va], y[va]), batch_size=256),
    )


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=6)
    args = ap.parse_args()
    torch.manual_seed(args.seed)

    digits = load_digits()
    x = (torch.tensor(digits.images).float().unsqueeze(1) / 16 - 0.305) / 0.376
    y = torch.tensor(digits.target)
    old, new = y < 6, y >= 6

    # the body learns on the digits 0-5 ...
    body = Body()
    source = nn.Sequential(body, nn.Linear(96, 6))
    loop(source, torch.optim.Adam(source.parameters(), lr=2e-3), *split(x[old], y[old], 200), 5, "source")

    # ... and serves the digits 6-9 unchanged
    model = Transfer(body, 4)
    optimizer = torch.optim.Adam(model.head.parameters(), lr=1e-2)
    loop(model, optimizer, *split(x[new], y[new] - 6, 180), args.epochs, "target")


if __name__ == "__main__":
    main()
