import argparse

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset


def pattern(kind, rng):
    """stripes, checkers, blob or gradient in a 16x16 picture"""
    yy, xx = np.mgrid[0:16, 0:16]
    p = rng.integers(0, 4)
    if kind == 0:
        img = ((xx + p) // 2 % 2).astype(float)
    elif kind == 1:
        img = (((xx + p) // 2 + yy // 2) % 2).astype(float)
    elif kind == 2:
        cy, cx = rng.uniform(4, 12, 2)
        img = np.exp(-((yy - cy) ** 2 + (xx - cx) ** 2) / 14)
    else:
        img = (xx * rng.uniform(0.5, 1) + yy * rng.uniform(0.5, 1)) / 30
    return (img + rng.normal(0, 0.8, img.shape)).astype(np.float32)


class Pictures(Dataset):
    def __init__(self, n, seed, augment):
        rng = np.random.default_rng(seed)
        self.labels = rng.integers(0, 4, n)
        self.data = torch.from_numpy(np.stack([pattern(k, rng) for k in self.labels])).unsqueeze(1)
        self.augment = augment

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        img = (self.data[i] - 0.45) / 0.9
        if self.augment:
            if torch.rand(1) < 0.5:
                img = img.flip(-1)
            dy, dx = torch.randint(0, 5, (2,)).tolist()
            img = F.pad(img, (2, 2, 2, 2), mode="reflect")[:, dy : dy + 16, dx : dx + 16]
        return img, int(self.labels[i])


def conv_bn(i, o):
    return nn.Sequential(nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True))


class SmallNet(nn.Sequential):
    def __init__(self):
        super().__init__(
            conv_bn(1, 8),
            nn.MaxPool2d(2),
            conv_bn(8, 16),
            nn.MaxPool2d(2),
            conv_bn(16, 24),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(24, 4),
        )


def evaluate(model, loader):
    model.eval()
    correct = loss = 0
    with torch.inference_mode():
        for x, y in loader:
            out = model(x)
            loss += F.cross_entropy(out, y, reduction="sum").item()
            correct += (out.argmax(1) == y).sum().item()
    return loss / len(loader.dataset), correct / len(loader.dataset)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=7)
    ap.add_argument("--lr", type=float, default=0.05)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    train_loader = DataLoader(Pictures(1400, args.seed, True), 40, shuffle=True)
    val_loader = DataLoader(Pictures(400, args.seed + 99, False), 200)
    model = SmallNet()
    optimizer = torch.optim.SGD(model.parameters(), args.lr, momentum=0.9, nesterov=True, weight_decay=5e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=args.epochs)
    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y, label_smoothing=0.05)
            loss.backward()
            optimizer.step()
            total += loss.item()
        scheduler.step()
        vl, va = evaluate(model, val_loader)
        print(
            f"epoch {epoch + 1}: train {total / len(train_loader):.3f} val {vl:.3f} acc {va:.3f} "
            f"next lr {scheduler.get_last_lr()[0]:.4f}"
        )


if __name__ == "__main__":
    main()
