"""VQ-VAE on digits with a straight-through estimator."""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset


class VectorQuantizer(nn.Module):
    def __init__(self, n_codes=32, dim=8, beta=0.25):
        super().__init__()
        self.beta = beta
        self.codebook = nn.Embedding(n_codes, dim)
        self.codebook.weight.data.uniform_(-1.0, 1.0)

    def forward(self, z):
        flat = z.permute(0, 2, 3, 1).reshape(-1, z.size(1))
        index = torch.cdist(flat, self.codebook.weight).argmin(1)
        q = self.codebook(index).view(z.size(0), z.size(2), z.size(3), -1).permute(0, 3, 1, 2)
        loss = F.mse_loss(q, z.detach()) + self.beta * F.mse_loss(z, q.detach())
        return z + (q - z).detach(), loss, index


class VQVAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 32, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 8, 1),
        )
        self.vq = VectorQuantizer()
        self.decoder = nn.Sequential(
            nn.Conv2d(8, 32, 3, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 1, 1),
        )

    def forward(self, x):
        q, vq_loss, index = self.vq(self.encoder(x))
        return self.decoder(q), vq_loss, index


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    x = torch.tensor(load_digits().images, dtype=torch.float32).unsqueeze(1) / 16 - 0.5
    train = DataLoader(TensorDataset(x[:1500]), batch_size=64, shuffle=True)
    model = VQVAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(args.epochs):
        recon_sum, vq_sum = 0.0, 0.0
        for (batch,) in train:
            recon, vq_loss, _ = model(batch)
            recon_loss = F.mse_loss(recon, batch)
            loss = recon_loss + vq_loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recon_sum, vq_sum = recon_sum + recon_loss.item(), vq_sum + vq_loss.item()
        with torch.no_grad():
            recon, _, index = model(x[1500:])
            test = F.mse_loss(recon, x[1500:]).item()
        n = len(train)
        print(f"{epoch}: recon {recon_sum / n:.4f} vq {vq_sum / n:.4f} test {test:.4f} codes {index.unique().numel()}")


if __name__ == "__main__":
    main()
