"""Segment circles in noisy images with a small U-Net."""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

SIZE = 24


class Circles(Dataset):
    """Noisy grey images with one bright disc, masks as an image file would hold them (uint8)."""

    def __init__(self, count, generator):
        yy, xx = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
        centre = torch.randint(7, SIZE - 7, (count, 2, 1, 1), generator=generator)
        radius = torch.randint(3, 7, (count, 1, 1), generator=generator)
        inside = (yy - centre[:, 0]) ** 2 + (xx - centre[:, 1]) ** 2 <= radius**2
        noise = 0.35 * torch.randn(count, SIZE, SIZE, generator=generator)
        self.images = inside.float() - 0.5 + noise
        self.masks = (inside * 255).to(torch.uint8)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.images[i].unsqueeze(0), self.masks[i].unsqueeze(0).float() / 255.0


def block(cin, cout):
    return nn.Sequential(
        nn.Conv2d(cin, cout, 3, padding=1),
        nn.BatchNorm2d(cout),
        nn.ReLU(inplace=True),
    )


class SmallUNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down1 = block(1, 8)
        self.down2 = block(8, 16)
        self.bottom = block(16, 32)
        self.up2 = block(32 + 16, 16)
        self.up1 = block(16 + 8, 8)
        self.out = nn.Conv2d(8, 1, 1)

    def forward(self, x):
        d1 = self.down1(x)
        d2 = self.down2(F.max_pool2d(d1, 2))
        b = self.bottom(F.max_pool2d(d2, 2))
        u2 = self.up2(torch.cat([F.interpolate(b, scale_factor=2), d2], dim=1))
        u1 = self.up1(torch.cat([F.interpolate(u2, scale_factor=2), d1], dim=1))
        return self.out(u1)


def iou(logits, masks):
    guess, truth = logits > 0, masks > 0.5
    return ((guess & truth).sum() / (guess | truth).sum().clamp(min=1)).item()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--lr", type=float, default=3e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    train_loader = DataLoader(Circles(480, generator), batch_size=16, shuffle=True)
    val_loader = DataLoader(Circles(96, generator), batch_size=32)

    model = SmallUNet()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        model.train()
        for images, masks in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(images), masks)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            scores = [iou(model(images), masks) for images, masks in val_loader]
        print(f"epoch {epoch}  last batch loss {loss.item():.4f}  val IoU {sum(scores) / len(scores):.3f}")


if __name__ == "__main__":
    main()
