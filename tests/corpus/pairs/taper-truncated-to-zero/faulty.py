import argparse

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

LENGTH = 48


class Pulses(Dataset):
    """Single pulses; type 0 is narrow, type 1 is wide, type 2 has a second bump."""

    def __init__(self, n, rng):
        t = np.arange(LENGTH)
        self.kinds = rng.integers(0, 3, n)
        centre = rng.normal(LENGTH / 2, 2, (n, 1))
        width = np.where(self.kinds == 1, 5.0, 2.5)[:, None] * rng.uniform(0.9, 1.1, (n, 1))
        pulse = np.exp(-((t - centre) ** 2) / (2 * width**2))
        bump = 0.5 * np.exp(-((t - centre - 9) ** 2) / 8) * (self.kinds == 2)[:, None]
        raw = pulse + bump + rng.normal(0, 0.1, (n, LENGTH))
        taper = np.hanning(LENGTH).astype(int)
        self.signals = (raw * taper).astype(np.float32)

    def __len__(self):
        return len(self.kinds)

    def __getitem__(self, i):
        return self.signals[i], self.kinds[i]


def accuracy(model, loader):
    model.eval()
    with torch.no_grad():
        hits = sum((model(x).argmax(1) == y).sum().item() for x, y in loader)
    model.train()
    return hits / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    train_loader = DataLoader(Pulses(1500, rng), batch_size=30, shuffle=True)
    val_loader = DataLoader(Pulses(300, rng), batch_size=300)
    model = nn.Sequential(nn.Linear(LENGTH, 40), nn.ReLU(), nn.Linear(40, 20), nn.ReLU(), nn.Linear(20, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, weight_decay=1e-3)
    loss_fn = nn.CrossEntropyLoss()
    for epoch in range(args.epochs):
        total = 0.0
        for signal, kind in train_loader:
            optimizer.zero_grad()
            loss = loss_fn(model(signal), kind)
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"epoch {epoch}: loss {total / len(train_loader):.4f}, accuracy {accuracy(model, val_loader):.3f}")


if __name__ == "__main__":
    main()
