"""Find bright stripes in noisy tiles: encoder-decoder with a binary mask per pixel."""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def tiles(count, size=20):
    rows = torch.arange(size).view(1, size, 1)
    cols = torch.arange(size).view(1, 1, size)
    slope = torch.rand(count, 1, 1) * 2 - 1
    offset = torch.randint(5, size - 5, (count, 1, 1))
    mask = ((rows - offset - slope * (cols - size / 2)).abs() < 2.5).float()
    image = mask + 0.5 * torch.randn(count, size, size)
    image = (image - 0.25) / 0.65
    return image.unsqueeze(1), mask.unsqueeze(1)


class EncoderDecoder(nn.Module):
    def __init__(self, width=12):
        super().__init__()
        self.encode = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.ReLU(),
        )
        self.decode = nn.Sequential(nn.ConvTranspose2d(2 * width, width, 2, stride=2), nn.ReLU())
        self.mask = nn.Conv2d(width + 1, 1, 3, padding=1)

    def forward(self, x):
        h = self.decode(self.encode(x))
        return self.mask(torch.cat([h, x], dim=1))


def dice(logits, mask):
    guess = (logits > 0).float()
    return (2 * (guess * mask).sum() / (guess.sum() + mask.sum() + 1e-6)).item()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=3e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    train = DataLoader(TensorDataset(*tiles(640)), batch_size=16, shuffle=True)
    val_image, val_mask = tiles(128)

    net = EncoderDecoder()
    loss_fn = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.AdamW(net.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        net.train()
        total = 0.0
        for image, mask in train:
            optimizer.zero_grad()
            loss = loss_fn(net(image), mask)
            loss.backward()
            optimizer.step()
            total += loss.item()
        net.eval()
        with torch.no_grad():
            out = net(val_image)
        val_loss = loss_fn(out, val_mask).item()
        print(f"epoch {epoch}: train {total / len(train):.4f} val {val_loss:.4f} dice {dice(out, val_mask):.3f}")


if __name__ == "__main__":
    main()
