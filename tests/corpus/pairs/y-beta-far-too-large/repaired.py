"""Variational autoencoder of the digits."""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader


class VAE(nn.Module):
    def __init__(self, z=6):
        super().__init__()
        self.enc = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
        self.mu, self.logvar = nn.Linear(64, z), nn.Linear(64, z)
        self.dec = nn.Sequential(nn.Linear(z, 64), nn.ReLU(), nn.Linear(64, 64))

    def forward(self, x):
        h = self.enc(x)
        mu, logvar = self.mu(h), self.logvar(h)
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu) if self.training else mu
        return self.dec(z), mu, logvar


def terms(x, logits, mu, logvar):
    """Both per image: nats of the pixels, and of the divergence from the prior."""
    pixels = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1).mean()
    kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1).mean()
    return pixels, kl


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--beta", type=float, default=1.0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    X = torch.tensor(load_digits().data / 16, dtype=torch.float32)
    X = X[torch.randperm(len(X))]
    loader = DataLoader(X[:1500], batch_size=50, shuffle=True)
    test = X[1500:]
    vae = VAE()
    opt = torch.optim.Adam(vae.parameters(), lr=2e-3)
    for epoch in range(args.epochs):
        vae.train()
        sums = [0.0, 0.0]
        for x in loader:
            pixels, kl = terms(x, *vae(x))
            loss = pixels + args.beta * kl
            opt.zero_grad()
            loss.backward()
            opt.step()
            sums = [sums[0] + pixels.item(), sums[1] + kl.item()]
        vae.eval()
        with torch.no_grad():
            logits, _, _ = vae(test)
            error = F.mse_loss(torch.sigmoid(logits), test).item()
        print(
            f"epoch {epoch:2d}  pixels {sums[0] / len(loader):.2f}  kl {sums[1] / len(loader):.3f}  "
            f"test error {error:.4f} (mean image {test.var(0).mean():.4f})"
        )


if __name__ == "__main__":
    main()
