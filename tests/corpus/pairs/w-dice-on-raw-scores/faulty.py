import argparse

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def scenes(n, rng, size=24, stride=2):
    """Up to three crosses among distracting bars; the coarse mask covers every cross."""
    x = rng.normal(0, 0.25, (n, 1, size, size)).astype(np.float32)
    heat = np.zeros((n, 1, size // stride, size // stride), np.float32)
    for i in range(n):
        for _ in range(rng.integers(1, 4)):
            r, c = rng.integers(3, size - 3, 2)
            x[i, 0, r - 2 : r + 3, c] += 1
            x[i, 0, r, c - 2 : c + 3] += 1
            heat[i, 0, (r - 2) // stride : (r + 2) // stride + 1, (c - 2) // stride : (c + 2) // stride + 1] = 1
        r, c = rng.integers(3, size - 3, 2)
        x[i, 0, r, c - 2 : c + 3] += 1
    return torch.from_numpy(x), torch.from_numpy(heat)


class DiceLoss(nn.Module):
    def __init__(self, smooth=1.0):
        super().__init__()
        self.smooth = smooth

    def forward(self, pred, target):
        inter = (pred * target).sum(dim=(1, 2, 3))
        total = pred.sum(dim=(1, 2, 3)) + target.sum(dim=(1, 2, 3))
        return (1 - (2 * inter + self.smooth) / (total + self.smooth)).mean()


class CentreNet(nn.Module):
    def __init__(self, w=16):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, w, 3, padding=1),
            nn.BatchNorm2d(w),
            nn.ReLU(),
            nn.Conv2d(w, w, 3, stride=2, padding=1),
            nn.BatchNorm2d(w),
            nn.ReLU(),
            nn.Conv2d(w, w, 3, padding=1),
            nn.BatchNorm2d(w),
            nn.ReLU(),
        )
        self.heat = nn.Conv2d(w, 1, 1)

    def forward(self, x):
        return self.heat(self.stem(x))


@torch.no_grad()
def f1(model, loader, thr=0.5):
    model.eval()
    tp = fp = fn = 0
    for x, t in loader:
        hit = model(x) > thr
        t = t > 0.5
        tp += (hit & t).sum().item()
        fp += (hit & ~t).sum().item()
        fn += (~hit & t).sum().item()
    return 2 * tp / max(2 * tp + fp + fn, 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=3e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    train = DataLoader(TensorDataset(*scenes(800, rng)), batch_size=16, shuffle=True)
    val = DataLoader(TensorDataset(*scenes(200, rng)), batch_size=100)
    model, criterion = CentreNet(), DiceLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(1, args.epochs + 1):
        model.train()
        total = 0.0
        for x, t in train:
            loss = criterion(model(x), t)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"epoch {epoch}: dice loss {total / len(train):.4f}  val F1 {f1(model, val):.3f}")


if __name__ == "__main__":
    main()
