import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset


class Blobs(Dataset):
    """Bright discs on a textured background, pixelwise mask."""

    def __init__(self, n, size=16, seed=0):
        g = torch.Generator().manual_seed(seed)
        yy, xx = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
        mask = torch.zeros(n, size, size, dtype=torch.bool)
        for _ in range(2):
            cy = torch.rand(n, 1, 1, generator=g) * size
            cx = torch.rand(n, 1, 1, generator=g) * size
            r = 2.5 + 2 * torch.rand(n, 1, 1, generator=g)
            mask |= (yy - cy) ** 2 + (xx - cx) ** 2 < r**2
        stripes = torch.sin(xx * (0.6 + torch.rand(n, 1, 1, generator=g)))
        checks = torch.sin(yy * 1.9) * torch.sin(xx * 1.9)
        img = torch.where(mask, 1.2 * checks, stripes) + 0.4 * torch.randn(n, size, size, generator=g)
        self.img, self.mask = img[:, None], mask[:, None].float()

    def __len__(self):
        return len(self.img)

    def __getitem__(self, i):
        return self.img[i], self.mask[i]


def conv(i, o, d=1):
    return nn.Sequential(nn.Conv2d(i, o, 3, padding=d, dilation=d), nn.ReLU())


def build():
    return nn.Sequential(conv(1, 12), conv(12, 12, 2), conv(12, 12, 2), nn.Conv2d(12, 1, 1))


def poly_lr(optimizer, base, it, max_it, power=0.9):
    lr = base * max(0.0, 1 - it / max_it) ** power
    for group in optimizer.param_groups:
        group["lr"] = lr
    return lr


def iou(logits, mask):
    p = logits > 0
    m = mask > 0.5
    return (p & m).sum().item() / max(1, (p | m).sum().item())


def main(a):
    torch.manual_seed(a.seed)
    train = DataLoader(Blobs(640, seed=a.seed + 10), batch_size=a.batch_size, shuffle=True)
    val_set = Blobs(160, seed=a.seed + 20)
    net = build()
    opt = torch.optim.SGD(net.parameters(), lr=a.lr, momentum=0.9, weight_decay=5e-4)
    max_it = a.epochs * len(train)
    it = 0
    for epoch in range(a.epochs):
        net.train()
        loss_sum = 0.0
        for img, mask in train:
            lr = poly_lr(opt, a.lr, it, max_it)
            loss = F.binary_cross_entropy_with_logits(net(img), mask)
            opt.zero_grad()
            loss.backward()
            opt.step()
            it += img.size(0)
            loss_sum += loss.item()
        net.eval()
        with torch.no_grad():
            out = net(val_set.img)
        print(
            f"epoch {epoch + 1} lr {lr:.4f} train {loss_sum / len(train):.4f} "
            f"val {F.binary_cross_entropy_with_logits(out, val_set.mask).item():.4f} "
            f"val IoU {iou(out, val_set.mask):.3f}"
        )


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=10)
    ap.add_argument("--batch-size", type=int, default=16)
    ap.add_argument("--lr", type=float, default=0.1)
    main(ap.parse_args())
