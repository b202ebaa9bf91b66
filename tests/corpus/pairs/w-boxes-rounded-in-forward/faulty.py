import argparse

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

SIZE = 20


def draw(n, rng):
    """One filled, hollow or crossed rectangle on a noisy background."""
    imgs = rng.normal(0, 0.15, (n, 1, SIZE, SIZE)).astype(np.float32)
    labels = rng.integers(0, 3, n)
    boxes = np.zeros((n, 4), np.float32)
    for i in range(n):
        w, h = rng.integers(6, 12, 2)
        x0, y0 = rng.integers(0, SIZE - w), rng.integers(0, SIZE - h)
        patch = imgs[i, 0, y0 : y0 + h, x0 : x0 + w]
        if labels[i] == 0:
            patch += 1.0
        elif labels[i] == 1:
            patch[[0, -1]] += 1.0
            patch[:, [0, -1]] += 1.0
        else:
            patch[h // 2] += 1.0
            patch[:, w // 2] += 1.0
        boxes[i] = x0, y0, x0 + w, y0 + h
    return torch.from_numpy(imgs), torch.from_numpy(labels), torch.from_numpy(boxes)


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 25, 96),
            nn.ReLU(),
        )
        self.cls = nn.Linear(96, 3)
        self.box = nn.Linear(96, 4)

    def forward(self, x):
        h = self.body(x)
        box = torch.sigmoid(self.box(h)) * SIZE
        return self.cls(h), box.round()


def iou(a, b):
    lt = torch.maximum(a[:, :2], b[:, :2])
    rb = torch.minimum(a[:, 2:], b[:, 2:])
    inter = (rb - lt).clamp(min=0).prod(1)
    area = lambda t: (t[:, 2:] - t[:, :2]).clamp(min=0).prod(1)
    return inter / (area(a) + area(b) - inter).clamp(min=1e-6)


def train_epoch(model, loader, opt):
    model.train()
    sums = torch.zeros(2)
    for x, y, b in loader:
        logits, box = model(x)
        l_cls = F.cross_entropy(logits, y)
        l_box = F.smooth_l1_loss(box / SIZE, b / SIZE, beta=0.1)
        opt.zero_grad()
        (l_cls + 5.0 * l_box).backward()
        opt.step()
        sums += torch.stack([l_cls.detach(), l_box.detach()])
    return (sums / len(loader)).tolist()


@torch.no_grad()
def evaluate(model, x, y, b):
    model.eval()
    logits, box = model(x)
    return (logits.argmax(1) == y).float().mean().item(), iou(box, b).mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    train, val = draw(1600, rng), draw(400, rng)
    loader = DataLoader(TensorDataset(*train), batch_size=32, shuffle=True)
    model = Detector()
    opt = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(args.epochs):
        c, b = train_epoch(model, loader, opt)
        acc, miou = evaluate(model, *val)
        print(f"[{epoch + 1:2d}] cls {c:.3f} box {b:.4f} | val acc {acc:.3f} mean IoU {miou:.3f}")


if __name__ == "__main__":
    main()
