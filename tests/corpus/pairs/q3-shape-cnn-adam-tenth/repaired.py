import argparse

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset


class ShapeDataset(Dataset):
    """Squares, discs, crosses and rings on a noisy 20x20 background."""

    names = ["square", "disc", "cross", "ring"]

    def __init__(self, n, seed):
        rng = np.random.default_rng(seed)
        yy, xx = np.mgrid[0:20, 0:20]
        self.images, self.labels = [], []
        for _ in range(n):
            k = int(rng.integers(4))
            cy, cx = rng.uniform(7, 13, 2)
            r = rng.uniform(3.5, 6)
            d = np.hypot(yy - cy, xx - cx)
            if k == 0:
                m = (abs(yy - cy) < r) & (abs(xx - cx) < r)
            elif k == 1:
                m = d < r
            elif k == 2:
                m = ((abs(yy - cy) < 1.3) | (abs(xx - cx) < 1.3)) & (d < r)
            else:
                m = (d < r) & (d > r - 2)
            img = m.astype(np.float32) + rng.normal(0, 0.2, (20, 20))
            self.images.append((img - 0.2) / 0.5)
            self.labels.append(k)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return torch.tensor(self.images[i], dtype=torch.float32)[None], self.labels[i]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.fc1 = nn.Linear(16 * 5 * 5, 64)
        self.fc2 = nn.Linear(64, 4)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc2(x)


def train(model, loader, optimizer):
    model.train()
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(y)
    return total / len(loader.dataset)


def test(model, loader):
    model.eval()
    loss, correct = 0.0, 0
    with torch.no_grad():
        for x, y in loader:
            out = model(x)
            loss += F.cross_entropy(out, y, reduction="sum").item()
            correct += (out.argmax(1) == y).sum().item()
    n = len(loader.dataset)
    return loss / n, correct / n


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    train_loader = DataLoader(ShapeDataset(1600, args.seed), batch_size=args.batch_size, shuffle=True)
    test_loader = DataLoader(ShapeDataset(500, args.seed + 1000), batch_size=200)
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(1, args.epochs + 1):
        train_loss = train(model, train_loader, optimizer)
        test_loss, acc = test(model, test_loader)
        print(f"Epoch {epoch}: train loss {train_loss:.4f}  test loss {test_loss:.4f}  accuracy {100 * acc:.1f}%")


if __name__ == "__main__":
    main()
