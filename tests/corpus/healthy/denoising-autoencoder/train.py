"""Denoising autoencoder on digits, hand-made minibatches."""

import argparse

import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


class DenoisingAutoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 24, 3, stride=2, padding=1), nn.ReLU()
        )
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(24, 16, 2, stride=2), nn.ReLU(), nn.ConvTranspose2d(16, 1, 2, stride=2), nn.Sigmoid()
        )

    def forward(self, x):
        return self.decoder(self.encoder(x))


def corrupt(x, noise):
    return (x + noise * torch.randn_like(x)).clamp(0, 1)


def main(args):
    torch.manual_seed(args.seed)
    images = load_digits().images.astype(np.float32)[:, None] / 16.0
    train, test = (torch.from_numpy(a) for a in train_test_split(images, test_size=0.2, random_state=args.seed))
    model = DenoisingAutoencoder()
    mse = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    torch.manual_seed(args.seed + 1)
    for epoch in range(args.epochs):
        model.train()
        perm = torch.randperm(len(train))
        epoch_loss = 0.0
        for i in range(0, len(train), args.batch_size):
            clean = train[perm[i : i + args.batch_size]]
            recon = model(corrupt(clean, args.noise))
            loss = mse(recon, clean)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            epoch_loss += loss.item() * len(clean)
        model.eval()
        with torch.no_grad():
            noisy = corrupt(test, args.noise)
            val = mse(model(noisy), test).item()
            before = mse(noisy, test).item()
        print(f"epoch {epoch + 1:2d}  train {epoch_loss / len(train):.4f}  val {val:.4f}  (noisy input {before:.4f})")


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--epochs", type=int, default=12)
    p.add_argument("--batch-size", type=int, default=32)
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--noise", type=float, default=0.3)
    main(p.parse_args())
