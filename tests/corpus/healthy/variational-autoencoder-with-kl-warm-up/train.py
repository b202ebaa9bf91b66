import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class VAE(nn.Module):
    def __init__(self, latent=6, hidden=96):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, hidden), nn.ReLU())
        self.mean = nn.Linear(hidden, latent)
        self.log_variance = nn.Linear(hidden, latent)
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, 64))

    def forward(self, x):
        h = self.encoder(x)
        mean, log_variance = self.mean(h), self.log_variance(h)
        z = mean
        if self.training:
            z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        return self.decoder(z), mean, log_variance


def terms(model, x):
    logits, mean, log_variance = model(x)
    reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
    kl = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum() / len(x)
    return reconstruction, kl


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    images = torch.tensor(load_digits().data, dtype=torch.float32) / 16
    order = torch.randperm(len(images))
    train_loader = DataLoader(TensorDataset(images[order[:1500]]), batch_size=50, shuffle=True)
    val_images = images[order[1500:]]
    model = VAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(1, args.epochs + 1):
        beta = min(1.0, epoch / args.warmup)
        model.train()
        sums = torch.zeros(2)
        for (x,) in train_loader:
            reconstruction, kl = terms(model, x)
            loss = reconstruction + beta * kl
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            sums += torch.stack([reconstruction.detach(), kl.detach()]) / len(train_loader)
        model.eval()
        with torch.no_grad():
            val_reconstruction, val_kl = terms(model, val_images)
        print(f"epoch {epoch}: beta {beta:.1f} reconstruction {sums[0]:.2f} kl {sums[1]:.2f}", end="  ")
        print(f"val {val_reconstruction + val_kl:.2f} ({val_reconstruction:.2f} + {val_kl:.2f})")


if __name__ == "__main__":
    main()
