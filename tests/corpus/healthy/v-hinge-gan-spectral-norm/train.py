"""Hinge GAN with spectral normalisation on 8x8 zeros and ones."""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.data import DataLoader, TensorDataset

LATENT = 16


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(LATENT, 64),
            nn.LayerNorm(64),
            nn.ReLU(),
            nn.Linear(64, 128),
            nn.LayerNorm(128),
            nn.ReLU(),
            nn.Linear(128, 64),
            nn.Tanh(),
        )

    def forward(self, z):
        return self.net(z)


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            spectral_norm(nn.Linear(64, 128)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Linear(128, 64)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Linear(64, 1)),
        )

    def forward(self, x):
        return self.net(x).squeeze(1)


def nearest_distance(fake, real):
    return torch.cdist(fake, real).min(dim=1).values.mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--lr_g", type=float, default=5e-4)
    parser.add_argument("--lr_d", type=float, default=1e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    digits = load_digits()
    keep = digits.target < 2
    real = torch.tensor(digits.data[keep] / 8.0 - 1.0, dtype=torch.float32)
    loader = DataLoader(TensorDataset(real), batch_size=36, shuffle=True, drop_last=True)

    G, D = Generator(), Critic()
    opt_g = torch.optim.Adam(G.parameters(), lr=args.lr_g, betas=(0.0, 0.9))
    opt_d = torch.optim.Adam(D.parameters(), lr=args.lr_d, betas=(0.0, 0.9))
    fixed = torch.randn(200, LATENT)

    for epoch in range(args.epochs):
        d_sum = g_sum = 0.0
        for (x,) in loader:
            # critic
            z = torch.randn(len(x), LATENT)
            fake = G(z).detach()
            d_loss = F.relu(1 - D(x)).mean() + F.relu(1 + D(fake)).mean()
            opt_d.zero_grad()
            d_loss.backward()
            opt_d.step()
            # generator
            g_loss = -D(G(torch.randn(len(x), LATENT))).mean()
            opt_g.zero_grad()
            g_loss.backward()
            opt_g.step()
            d_sum += d_loss.item()
            g_sum += g_loss.item()
        if (epoch + 1) % 5 == 0:
            with torch.no_grad():
                sample = G(fixed)
            print(
                f"epoch {epoch + 1:3d} D {d_sum / len(loader):.3f} G {g_sum / len(loader):+.3f} "
                f"nearest real {nearest_distance(sample, real):.2f} "
                f"spread {torch.pdist(sample).mean():.2f} (data {torch.pdist(real).mean():.2f})"
            )


if __name__ == "__main__":
    main()
