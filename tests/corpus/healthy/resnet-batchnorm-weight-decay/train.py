"""A small residual network on coloured-shape images, per-group weight decay, milestones."""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

CLASSES, SIZE = 5, 16


def render(n):
    """Coloured square, disc, cross, frame or gradient at random places over noise."""
    yy, xx = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    labels = torch.randint(0, CLASSES, (n,))
    cy, cx = torch.randint(5, SIZE - 5, (2, n, 1, 1))
    dy, dx = yy - cy, xx - cx
    square = torch.maximum(dy.abs(), dx.abs()) <= 3
    disc = dy**2 + dx**2 <= 12
    cross = ((dy.abs() <= 3) & (dx.abs() <= 3)) & ((dy == 0) | (dx == 0))
    frame = torch.maximum(dy.abs(), dx.abs()) == 4
    ramp = square * (dx + 3) / 6
    masks = torch.stack([square.float(), disc.float(), cross.float(), frame.float(), ramp], dim=1)
    mask = masks[torch.arange(n), labels].unsqueeze(1)
    colour = 0.5 + torch.rand(n, 3, 1, 1)
    return mask * colour * 2 - 0.5 + 0.3 * torch.randn(n, 3, SIZE, SIZE), labels


class Block(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.skip = nn.Conv2d(cin, cout, 1, stride, bias=False) if cin != cout else nn.Identity()
        nn.init.zeros_(self.bn2.weight)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.skip(x))


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU())
        self.blocks = nn.Sequential(Block(12, 12, 1), Block(12, 24, 2), Block(24, 48, 2))
        self.fc = nn.Linear(48, CLASSES)

    def forward(self, x):
        return self.fc(self.blocks(self.stem(x)).mean(dim=(2, 3)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--lr", type=float, default=0.1)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    loader = DataLoader(TensorDataset(*render(1280)), batch_size=32, shuffle=True)
    val_x, val_y = render(400)
    model = ResNet()
    decay = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decay, "weight_decay": 1e-3}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=args.lr, momentum=0.9, nesterov=True)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[3, 5], gamma=0.1)
    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item()
        scheduler.step()
        model.eval()
        with torch.no_grad():
            accuracy = (model(val_x).argmax(1) == val_y).float().mean().item()
        print(f"epoch {epoch}: loss {total / len(loader):.4f} val accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main()
