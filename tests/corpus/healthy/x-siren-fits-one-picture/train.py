import argparse
import math

import torch
from torch import nn


def picture(size=32):
    axis = torch.linspace(-1, 1, size)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    rings = torch.cos(14 * torch.sqrt(x**2 + y**2 + 0.01))
    stripes = torch.sin(9 * (x + 0.5 * y))
    value = 0.5 * rings + 0.5 * stripes * (x > 0)
    return torch.stack([x, y], dim=-1).reshape(-1, 2), value.reshape(-1, 1)


class Sine(nn.Module):
    """A linear layer and a sine of frequency omega, initialised as in Sitzmann et al. 2020."""

    def __init__(self, n_in, n_out, omega=15.0, first=False):
        super().__init__()
        self.linear = nn.Linear(n_in, n_out)
        self.omega = omega
        bound = 1 / n_in if first else math.sqrt(6 / n_in) / omega
        nn.init.uniform_(self.linear.weight, -bound, bound)

    def forward(self, x):
        return torch.sin(self.omega * self.linear(x))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=300)
parser.add_argument("--lr", type=float, default=5e-4)
args = parser.parse_args()
torch.manual_seed(args.seed)

coordinates, values = picture()
siren = nn.Sequential(Sine(2, 48, first=True), Sine(48, 48), Sine(48, 48), nn.Linear(48, 1))
optimizer = torch.optim.Adam(siren.parameters(), lr=args.lr)

for step in range(1, args.steps + 1):
    loss = ((siren(coordinates) - values) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 0:
        psnr = 10 * math.log10(4.0 / loss.item())
        print(f"step {step:4d}  mse {loss.item():.6f}  psnr {psnr:.2f} dB")
