import argparse

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def cells(n, generator, size=24):
    """Noisy images with two discs each, and their masks."""
    axis = torch.arange(size).float()
    mask = torch.zeros(n, size, size)
    for _ in range(2):
        centre = torch.rand(n, 2, 1, 1, generator=generator) * (size - 8) + 4
        radius = torch.rand(n, 1, 1, generator=generator) * 1.5 + 2.0
        distance = (axis[None, :, None] - centre[:, 0]) ** 2 + (axis[None, None, :] - centre[:, 1]) ** 2
        mask = torch.maximum(mask, (distance < radius**2).float())
    image = mask + 0.5 * torch.randn(n, size, size, generator=generator)
    return TensorDataset(image.unsqueeze(1), mask.unsqueeze(1))


def double_conv(c_in, c_out):
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(c_out),
        nn.ReLU(inplace=True),
        nn.Conv2d(c_out, c_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(c_out),
        nn.ReLU(inplace=True),
    )


class UNet(nn.Module):
    def __init__(self, base=6):
        super().__init__()
        self.down1 = double_conv(1, base)
        self.down2 = double_conv(base, 2 * base)
        self.up = nn.ConvTranspose2d(2 * base, base, 2, stride=2)
        self.merge = double_conv(2 * base, base)
        self.out = nn.Conv2d(base, 1, 1)

    def forward(self, x):
        fine = self.down1(x)
        coarse = self.down2(F.max_pool2d(fine, 2))
        return self.out(self.merge(torch.cat([fine, self.up(coarse)], dim=1)))


def dice(probability, mask, smooth=1.0):
    overlap = (probability * mask).sum(dim=(1, 2, 3))
    total = probability.sum(dim=(1, 2, 3)) + mask.sum(dim=(1, 2, 3))
    return (2 * overlap + smooth) / (total + smooth)


def segmentation_loss(logits, mask):
    return F.binary_cross_entropy_with_logits(logits, mask) + (1 - dice(logits.sigmoid(), mask)).mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--lr", type=float, default=5e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    train_loader = DataLoader(cells(480, generator), batch_size=12, shuffle=True)
    val_loader = DataLoader(cells(96, generator), batch_size=48)
    model = UNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=args.epochs * len(train_loader))
    for epoch in range(1, args.epochs + 1):
        model.train()
        train_loss = 0.0
        for image, mask in train_loader:
            optimizer.zero_grad()
            loss = segmentation_loss(model(image), mask)
            loss.backward()
            optimizer.step()
            scheduler.step()
            train_loss += loss.item() / len(train_loader)
        model.eval()
        val_loss, val_dice = 0.0, 0.0
        with torch.no_grad():
            for image, mask in val_loader:
                logits = model(image)
                val_loss += segmentation_loss(logits, mask).item() / len(val_loader)
                val_dice += dice((logits > 0).float(), mask).mean().item() / len(val_loader)
        print(f"epoch {epoch}: train {train_loss:.4f} val {val_loss:.4f} dice {val_dice:.4f}")


if __name__ == "__main__":
    main()
