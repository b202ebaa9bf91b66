"""Segments noisy blobs with a small U-Net and a soft dice loss."""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


def make_blobs(n, size=24):
    yy, xx = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    images, masks = [], []
    for _ in range(n):
        mask = torch.zeros(size, size)
        for _ in range(int(torch.randint(1, 3, (1,)))):
            cx, cy = torch.randint(4, size - 4, (2,))
            r = torch.randint(3, 6, (1,))
            mask[(xx - cx) ** 2 + (yy - cy) ** 2 < r**2] = 1.0
        images.append(mask + 0.5 * torch.randn(size, size))
        masks.append(mask)
    return torch.stack(images).unsqueeze(1), torch.stack(masks).unsqueeze(1)


def block(n_in, n_out):
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU(),
        nn.Conv2d(n_out, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU(),
    )  # fmt: skip


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down1, self.down2 = block(1, 8), block(8, 16)
        self.bottom = block(16, 16)
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.merge = block(16, 8)
        self.head = nn.Conv2d(8, 1, 1)

    def forward(self, x):
        a = self.down1(x)
        b = self.bottom(self.down2(F.max_pool2d(a, 2)))
        return self.head(self.merge(torch.cat([self.up(b), a], dim=1)))


def dice_loss(logits, target, smooth=1.0):
    p = torch.sigmoid(logits).flatten(1)
    t = target.flatten(1)
    overlap = (p * t).sum(1)
    return 1 - ((2 * overlap + smooth) / (p.sum(1) + t.sum(1) + smooth)).mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=6)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    x, m = make_blobs(360)
    train = DataLoader(TensorDataset(x[:300], m[:300]), batch_size=12, shuffle=True)
    val = DataLoader(TensorDataset(x[300:], m[300:]), batch_size=60)
    net = UNet()
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for epoch in range(args.epochs):
        net.train()
        running = 0.0
        for image, mask in train:
            logits = net(image)
            loss = dice_loss(logits, mask) + 0.5 * F.binary_cross_entropy_with_logits(logits, mask)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            running += loss.item()
        net.eval()
        with torch.no_grad():
            inter = union = 0.0
            for image, mask in val:
                pred = net(image) > 0
                inter += (pred & (mask > 0)).sum().item()
                union += (pred | (mask > 0)).sum().item()
        print(f"epoch {epoch + 1}: loss {running / len(train):.4f}  val IoU {inter / union:.4f}")


if __name__ == "__main__":
    main()
