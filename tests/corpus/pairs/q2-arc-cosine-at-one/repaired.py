"""Heading of a buoy (unit vector) from noisy magnetometer channels, trained on the angular error."""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def readings(n, gen):
    heading = torch.rand(n, generator=gen) * 2 * math.pi
    tilt = 0.3 * torch.randn(n, generator=gen)
    direction = torch.stack([heading.cos(), heading.sin()], dim=1)
    x = torch.stack(
        [
            heading.cos() + 0.2 * tilt,
            heading.sin() - 0.2 * tilt,
            (heading + 0.8).cos() * (1 + 0.1 * tilt),
            (2 * heading).sin(),
            tilt * 3,
        ],
        dim=1,
    )
    return x + 0.01 * torch.randn(x.shape, generator=gen), direction


class Compass(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(5, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh(), nn.Linear(48, 2))

    def forward(self, x):
        return F.normalize(self.net(x), dim=-1)


def angular_loss(pred, true):
    cosine = (pred * true).sum(dim=-1).clamp(-1 + 1e-6, 1 - 1e-6)
    return torch.acos(cosine).mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--lr", type=float, default=2e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    gen = torch.Generator().manual_seed(args.seed)
    loader = DataLoader(TensorDataset(*readings(3000, gen)), batch_size=60, shuffle=True)
    xv, dv = readings(600, gen)
    model = Compass()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=args.epochs * len(loader))

    for epoch in range(args.epochs):
        total = 0.0
        for x, d in loader:
            optimizer.zero_grad()
            loss = angular_loss(model(x), d)
            loss.backward()
            optimizer.step()
            scheduler.step()
            total += loss.item()
        with torch.no_grad():
            error = math.degrees(angular_loss(model(xv), dv).item())
        print(f"epoch {epoch + 1:2d}: train {math.degrees(total / len(loader)):.2f} deg, validation {error:.2f} deg")


if __name__ == "__main__":
    main()
