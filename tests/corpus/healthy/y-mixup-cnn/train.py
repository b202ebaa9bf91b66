"""CNN with mixup: training targets are mixtures of two labels, so training looks worse than validation."""

import argparse

import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, TensorDataset


def mixup(x, y, alpha, rng):
    lam = float(rng.beta(alpha, alpha))
    other = torch.randperm(len(x))
    targets = nn.functional.one_hot(y, 10).float()
    return lam * x + (1 - lam) * x[other], lam * targets + (1 - lam) * targets[other]


def block(i, o):
    return nn.Sequential(nn.Conv2d(i, o, 3, padding=1, bias=False), nn.GroupNorm(4, o), nn.GELU())


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(block(1, 16), nn.MaxPool2d(2), block(16, 32), nn.AdaptiveAvgPool2d(2))
        self.classifier = nn.Linear(128, 10)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class Meter:
    def __init__(self):
        self.total, self.n = 0.0, 0

    def add(self, value, n):
        self.total += value * n
        self.n += n

    @property
    def mean(self):
        return self.total / self.n


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--alpha", type=float, default=0.4)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    digits = load_digits()
    X = torch.tensor(digits.images[:, None], dtype=torch.float32)
    X, y = (X - X.mean()) / X.std(), torch.tensor(digits.target)
    order = torch.randperm(len(y))
    train = DataLoader(TensorDataset(X[order[:1400]], y[order[:1400]]), batch_size=50, shuffle=True)
    valid = DataLoader(TensorDataset(X[order[1400:]], y[order[1400:]]), batch_size=200)
    net = Net()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.01)
    scheduler = OneCycleLR(optimizer, max_lr=8e-3, epochs=args.epochs, steps_per_epoch=len(train))
    for epoch in range(args.epochs):
        train_loss, val_loss, val_acc = Meter(), Meter(), Meter()
        net.train()
        for x, target in train:
            mixed, soft = mixup(x, target, args.alpha, rng)
            loss = criterion(net(mixed), soft)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            train_loss.add(loss.item(), len(x))
        net.eval()
        with torch.no_grad():
            for x, target in valid:
                out = net(x)
                val_loss.add(criterion(out, target).item(), len(x))
                val_acc.add((out.argmax(1) == target).float().mean().item(), len(x))
        print(f"epoch {epoch:2d} train {train_loss.mean:.3f} valid {val_loss.mean:.3f} acc {val_acc.mean:.3f}")


if __name__ == "__main__":
    main()
