"""Denoise short pressure traces; noise is drawn on the fly."""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

LENGTH = 32


def traces(n, gen):
    t = torch.linspace(0, 1, LENGTH)
    f = 1 + 2 * torch.rand(n, 1, generator=gen)
    phase = 6.283 * torch.rand(n, 1, generator=gen)
    decay = 2 * torch.rand(n, 1, generator=gen)
    s = torch.sin(6.283 * f * t + phase) * torch.exp(-decay * t)
    return s / s.std()


class NoisyTraces(Dataset):
    def __init__(self, clean, sigma, seed):
        self.clean = clean
        self.sigma = sigma
        self.seed = seed
        self.rng = torch.Generator().manual_seed(seed)

    def __len__(self):
        return len(self.clean)

    def __getitem__(self, i):
        clean = self.clean[i]
        noise = self.sigma * torch.randn(LENGTH, generator=self.rng)
        return clean + noise, clean


class Denoiser(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(LENGTH, 96), nn.GELU(), nn.Linear(96, 96), nn.GELU(), nn.Linear(96, LENGTH))

    def forward(self, x):
        return self.net(x)


def main(args):
    torch.manual_seed(args.seed)
    gen = torch.Generator().manual_seed(args.seed + 100)
    train_set = NoisyTraces(traces(2500, gen), args.sigma, args.seed)
    train_loader = DataLoader(train_set, batch_size=50, shuffle=True)
    val_clean = traces(500, gen)
    val_noisy = val_clean + args.sigma * torch.randn(val_clean.shape, generator=gen)

    model = Denoiser()
    mse = nn.MSELoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs)
    print(f"noise to remove: {mse(val_noisy, val_clean):.4f}")
    for epoch in range(args.epochs):
        model.train()
        running = 0.0
        for noisy, clean in train_loader:
            optimizer.zero_grad()
            loss = mse(model(noisy), clean)
            loss.backward()
            optimizer.step()
            running += loss.item()
        scheduler.step()
        model.eval()
        with torch.no_grad():
            val = mse(model(val_noisy), val_clean).item()
        print(f"epoch {epoch + 1:2d}  train {running / len(train_loader):.4f}  val {val:.4f}")


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--epochs", type=int, default=15)
    p.add_argument("--sigma", type=float, default=0.5)
    p.add_argument("--lr", type=float, default=2e-3)
    main(p.parse_args())
