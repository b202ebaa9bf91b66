import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader


class VAE(nn.Module):
    def __init__(self, latent=6):
        super().__init__()
        self.enc = nn.Sequential(nn.Linear(64, 96), nn.ReLU())
        self.mu = nn.Linear(96, latent)
        self.logvar = nn.Linear(96, latent)
        self.dec = nn.Sequential(nn.Linear(latent, 96), nn.ReLU(), nn.Linear(96, 64))

    def forward(self, x):
        h = self.enc(x)
        mu, logvar = self.mu(h), self.logvar(h)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        return self.dec(z), mu, logvar


def vae_loss(logits, x, mu, logvar):
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(dim=1).mean()
    kld = 0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(dim=1).mean()
    return rec + kld, rec, kld


def run(args):
    torch.manual_seed(args.seed)
    images = torch.tensor(load_digits().data / 16.0, dtype=torch.float32)
    images = images[torch.randperm(len(images))]
    train_loader = DataLoader(images[:1500], batch_size=50, shuffle=True)
    test = images[1500:]

    vae = VAE()
    optimizer = torch.optim.Adam(vae.parameters(), lr=3e-3)
    for epoch in range(args.epochs):
        vae.train()
        for x in train_loader:
            optimizer.zero_grad()
            loss, _, _ = vae_loss(*_flat(vae(x), x))
            loss.backward()
            optimizer.step()
        vae.eval()
        with torch.no_grad():
            loss, rec, kld = vae_loss(*_flat(vae(test), test))
        print(f"epoch {epoch}: elbo loss {loss:.2f} (reconstruction {rec:.2f}, kl {kld:.2f})")


def _flat(outputs, x):
    logits, mu, logvar = outputs
    return logits, x, mu, logvar


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--epochs", type=int, default=20)
    run(p.parse_args())
