"""Small VGG-like network on noisy pictures of shapes."""

import argparse

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset


def shapes(n, size=12):
    """Crosses, frames, discs and stripes of random place on a noisy ground."""
    rows, cols = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    labels = torch.randint(4, (n,))
    pictures = 0.5 * torch.randn(n, 1, size, size)
    for i, k in enumerate(labels.tolist()):
        r, c = (4 + torch.randint(size - 8, (2,))).tolist()
        dr, dc = (rows - r).abs(), (cols - c).abs()
        if k == 0:
            mask = ((dr == 0) & (dc <= 3)) | ((dc == 0) & (dr <= 3))
        elif k == 1:
            mask = torch.maximum(dr, dc) == 3
        elif k == 2:
            mask = dr**2 + dc**2 <= 6
        else:
            mask = ((rows - r) % 2 == 0) & (torch.maximum(dr, dc) <= 3)
        pictures[i, 0][mask] += 1.5
    return TensorDataset(pictures - 0.2, labels)


def conv_block(i, o):
    return nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(), nn.MaxPool2d(2))


class MiniVGG(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(conv_block(1, 12), conv_block(12, 24))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(24 * 9, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 4))

    def forward(self, x):
        return self.head(self.body(x))


def accuracy(net, loader):
    net.eval()
    hits = total = 0
    with torch.no_grad():
        for x, y in loader:
            hits += (net(x).argmax(1) == y).sum().item()
            total += len(y)
    return hits / total


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=6)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    train = DataLoader(shapes(1600), batch_size=40, shuffle=True)
    valid = DataLoader(shapes(400), batch_size=80)
    net = MiniVGG()
    optim = torch.optim.AdamW(net.parameters(), lr=2e-3)
    loss_fn = nn.CrossEntropyLoss()
    for epoch in range(args.epochs):
        net.train()
        running = 0.0
        for x, y in train:
            optim.zero_grad()
            loss = loss_fn(net(x), y)
            loss.backward()
            optim.step()
            running += loss.item()
        print(f"epoch {epoch}  loss {running / len(train):.4f}  valid accuracy {accuracy(net, valid):.4f}")


if __name__ == "__main__":
    main()
