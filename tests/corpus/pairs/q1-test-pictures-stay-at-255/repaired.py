import argparse

import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset

SHAPES = ["disc", "ring", "square", "cross"]


def draw(kind, rng):
    yy, xx = np.mgrid[0:20, 0:20]
    cx, cy, r = rng.integers(7, 13), rng.integers(7, 13), rng.integers(4, 7)
    d = np.hypot(xx - cx, yy - cy)
    box = np.maximum(abs(xx - cx), abs(yy - cy))
    mask = [d < r, (d < r) & (d > r - 2.5), box < r, (box < r) & ((abs(xx - cx) < 2) | (abs(yy - cy) < 2))][kind]
    picture = rng.normal(60, 25, (20, 20)) + mask * rng.uniform(70, 130)
    return picture.clip(0, 255).astype(np.uint8)


class ShapeDataset(Dataset):
    def __init__(self, n, rng, transform):
        self.labels = rng.integers(0, len(SHAPES), n)
        self.pictures = [draw(k, rng) for k in self.labels]
        self.transform = transform

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return self.transform(self.pictures[i]), int(self.labels[i])


def train_transform(picture):
    if np.random.rand() < 0.5:
        picture = picture[:, ::-1].copy()
    x = torch.from_numpy(picture).float().unsqueeze(0) / 255.0
    return (x - 0.32) / 0.19


def test_transform(picture):
    x = torch.from_numpy(picture).float().unsqueeze(0) / 255.0
    return (x - 0.32) / 0.19


def make_net():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 25, 32),
        nn.ReLU(),
        nn.Linear(32, len(SHAPES)),
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=3e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    np.random.seed(args.seed)
    rng = np.random.default_rng(args.seed)

    train_loader = DataLoader(ShapeDataset(1600, rng, train_transform), batch_size=32, shuffle=True)
    test_loader = DataLoader(ShapeDataset(400, rng, test_transform), batch_size=100)
    net = make_net()
    optimizer = torch.optim.Adam(net.parameters(), lr=args.lr)
    criterion = nn.CrossEntropyLoss()

    for epoch in range(args.epochs):
        net.train()
        train_loss = train_acc = 0.0
        for x, y in train_loader:
            out = net(x)
            loss = criterion(out, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            train_loss += loss.item() * len(y) / 1600
            train_acc += (out.argmax(1) == y).sum().item() / 1600
        net.eval()
        test_loss = test_acc = 0.0
        with torch.no_grad():
            for x, y in test_loader:
                out = net(x)
                test_loss += criterion(out, y).item() * len(y) / 400
                test_acc += (out.argmax(1) == y).sum().item() / 400
        print(f"epoch {epoch + 1}: train {train_loss:.3f} ({train_acc:.3f})  test {test_loss:.3f} ({test_acc:.3f})")


if __name__ == "__main__":
    main()
