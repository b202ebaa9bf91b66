"""Hourly bicycle rentals at a station: Poisson regression with a small network."""

import argparse
import math

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def simulate(n, gen):
    hour = torch.rand(n, generator=gen) * 24
    temp = torch.randn(n, generator=gen)
    weekend = (torch.rand(n, generator=gen) < 2 / 7).float()
    rush = torch.exp(-(((hour - 8) / 2) ** 2)) + torch.exp(-(((hour - 17.5) / 2.5) ** 2))
    rate = torch.exp(1.2 + 0.35 * temp + 1.6 * rush * (1 - weekend) + 0.7 * weekend)
    count = torch.poisson(rate, generator=gen)
    angle = hour / 24 * 2 * math.pi
    x = torch.stack([angle.sin(), angle.cos(), (2 * angle).sin(), (2 * angle).cos(), temp, weekend - 2 / 7], dim=1)
    return x, count


class RateNet(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(d, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 1))
        self.positive = nn.Softplus()

    def forward(self, x):
        return self.positive(self.layers(x)).squeeze(-1)


class Trainer:
    def __init__(self, args):
        gen = torch.Generator().manual_seed(args.seed + 1)
        self.train_loader = DataLoader(TensorDataset(*simulate(4000, gen)), batch_size=64, shuffle=True)
        self.val = simulate(1000, gen)
        self.model = RateNet(6)
        self.criterion = nn.PoissonNLLLoss()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=args.lr)
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=args.epochs)
        self.epochs = args.epochs

    def run_epoch(self):
        self.model.train()
        total = 0.0
        for x, count in self.train_loader:
            self.optimizer.zero_grad()
            loss = self.criterion(self.model(x), count)
            loss.backward()
            self.optimizer.step()
            total += loss.item()
        return total / len(self.train_loader)

    @torch.no_grad()
    def validate(self):
        self.model.eval()
        x, count = self.val
        rate = self.model(x)
        mae = (rate - count).abs().mean().item()
        naive = (count - count.median()).abs().mean().item()
        return self.criterion(rate, count).item(), mae, naive

    def fit(self):
        for epoch in range(1, self.epochs + 1):
            train_loss = self.run_epoch()
            val_loss, mae, naive = self.validate()
            self.scheduler.step()
            print(f"{epoch:3d}  train {train_loss:8.3f}  val {val_loss:8.3f}  MAE {mae:.2f} (median guess {naive:.2f})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--lr", type=float, default=3e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    Trainer(args).fit()
