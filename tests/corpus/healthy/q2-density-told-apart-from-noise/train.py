"""Noise-contrastive estimation: an unnormalised log-density of two rings, with a learned constant."""

import argparse
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


def rings(n):
    radius = torch.where(torch.rand(n) < 0.5, 1.0, 2.2) + 0.12 * torch.randn(n)
    angle = 2 * math.pi * torch.rand(n)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], 1) / 1.2


class LogDensity(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1)
        )
        self.log_z = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return self.net(x).squeeze(-1) - self.log_z


def nce_loss(model, noise, data, ratio):
    fake = noise.sample((len(data) * ratio,))
    log_ratio = math.log(ratio)
    g_data = model(data) - noise.log_prob(data) - log_ratio
    g_fake = model(fake) - noise.log_prob(fake) - log_ratio
    return F.softplus(-g_data).mean() + ratio * F.softplus(g_fake).mean()


@torch.no_grad()
def mass(model, extent=4.0, n=120):
    """Integral of the learned density over a grid; should come near one."""
    axis = torch.linspace(-extent, extent, n)
    points = torch.cartesian_prod(axis, axis)
    return model(points).exp().sum().item() * (2 * extent / (n - 1)) ** 2


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--ratio", type=int, default=3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    noise = torch.distributions.MultivariateNormal(torch.zeros(2), 1.5 * torch.eye(2))
    model = LogDensity()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, total_iters=args.steps)
    smooth = None
    for step in range(args.steps):
        loss = nce_loss(model, noise, rings(args.batch), args.ratio)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        smooth = loss.item() if smooth is None else 0.98 * smooth + 0.02 * loss.item()
        if (step + 1) % 200 == 0:
            with torch.no_grad():
                likelihood = model(rings(2000)).mean().item()
            print(f"step {step + 1}  nce {smooth:.4f}  mean log density {likelihood:.3f}  total mass {mass(model):.3f}")


if __name__ == "__main__":
    main()
