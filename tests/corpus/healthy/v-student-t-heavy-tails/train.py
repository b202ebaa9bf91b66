"""Robust regression: Student-t likelihood with learned scale and degrees of freedom."""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.distributions import StudentT
from torch.utils.data import DataLoader, Dataset


class NoisyCurve(Dataset):
    def __init__(self, n, generator):
        self.x = torch.rand(n, 2, generator=generator) * 2 - 1
        self.clean = torch.sin(3 * self.x[:, 0]) + self.x[:, 0] * self.x[:, 1]
        z = torch.randn(n, generator=generator)
        chi2 = torch.randn(n, 2, generator=generator).pow(2).sum(1)
        self.y = self.clean + 0.15 * z / (chi2 / 2).sqrt()

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


class RobustNet(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(2, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1)
        )
        self.raw_scale = nn.Parameter(torch.tensor(0.0))
        self.raw_df = nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        loc = self.body(x).squeeze(-1)
        return StudentT(1.0 + F.softplus(self.raw_df), loc, F.softplus(self.raw_scale) + 1e-3)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--lr", type=float, default=3e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    gen = torch.Generator().manual_seed(args.seed)
    train, test = NoisyCurve(2000, gen), NoisyCurve(500, gen)
    print(f"targets: std {train.y.std():.2f}, largest {train.y.abs().max():.1f}")

    net = RobustNet()
    opt = torch.optim.AdamW(net.parameters(), lr=args.lr, weight_decay=1e-3)
    loader = DataLoader(train, batch_size=50, shuffle=True)
    sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, args.epochs)
    for epoch in range(args.epochs):
        net.train()
        total = 0.0
        for x, y in loader:
            nll = -net(x).log_prob(y).mean()
            opt.zero_grad()
            nll.backward()
            opt.step()
            total += nll.item() * len(y)
        sched.step()
        net.eval()
        with torch.no_grad():
            dist = net(test.x)
            val = -dist.log_prob(test.y).mean().item()
            mae = (dist.loc - test.clean).abs().mean().item()
        print(
            f"epoch {epoch + 1:2d} nll {total / len(train):.4f} val nll {val:.4f} "
            f"error to the clean curve {mae:.4f} scale {dist.scale[0].item():.3f} df {dist.df[0].item():.2f}"
        )


if __name__ == "__main__":
    main()
