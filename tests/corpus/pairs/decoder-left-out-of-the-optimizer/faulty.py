import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader


class Encoder(nn.Module):
    def __init__(self, latent):
        super().__init__()
        self.fc1 = nn.Linear(64, 48)
        self.mu = nn.Linear(48, latent)
        self.logvar = nn.Linear(48, latent)

    def forward(self, x):
        h = F.elu(self.fc1(x))
        return self.mu(h), self.logvar(h)


class Decoder(nn.Module):
    def __init__(self, latent):
        super().__init__()
        self.fc1 = nn.Linear(latent, 48)
        self.fc2 = nn.Linear(48, 64)

    def forward(self, z):
        return self.fc2(F.elu(self.fc1(z)))


def elbo_terms(x, logits, mu, logvar):
    reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
    kl = -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum() / len(x)
    return reconstruction, kl


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--latent", type=int, default=8)
    parser.add_argument("--lr", type=float, default=2e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    pixels = torch.tensor(load_digits().data / 16.0, dtype=torch.float32)
    pixels = pixels[torch.randperm(len(pixels))]
    loader = DataLoader(pixels[:1440], batch_size=32, shuffle=True)
    held_out = pixels[1440:]

    encoder, decoder = Encoder(args.latent), Decoder(args.latent)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        encoder.train()
        decoder.train()
        sums = [0.0, 0.0]
        for x in loader:
            mu, logvar = encoder(x)
            z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
            reconstruction, kl = elbo_terms(x, decoder(z), mu, logvar)
            loss = reconstruction + kl
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            sums[0] += reconstruction.item()
            sums[1] += kl.item()
        encoder.eval()
        decoder.eval()
        with torch.no_grad():
            mu, logvar = encoder(held_out)
            val, _ = elbo_terms(held_out, decoder(mu), mu, logvar)
        print(f"epoch {epoch:2d} rec {sums[0] / len(loader):.3f} kl {sums[1] / len(loader):.3f} held-out {val:.3f}")


if __name__ == "__main__":
    main()
