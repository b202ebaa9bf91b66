import argparse

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class NoisySignals(Dataset):
    """Pairs of a noisy and a clean signal; the noise is drawn when the item is read."""

    def __init__(self, n, seed):
        rng = np.random.default_rng(seed)
        t = np.linspace(0, 1, 40)
        a, b = rng.uniform(0.5, 1.5, (2, n, 1))
        f, g = rng.uniform(1, 4, (2, n, 1))
        self.clean = (a * np.sin(2 * np.pi * f * t) + b * np.cos(2 * np.pi * g * t)).astype(np.float32)

    def __len__(self):
        return len(self.clean)

    def __getitem__(self, i):
        clean = torch.from_numpy(self.clean[i])
        noise = 0.5 * torch.randn(40)
        return clean + noise, clean


class Denoiser(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(40, 64), nn.ReLU(), nn.Linear(64, 12))
        self.decoder = nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 40))

    def forward(self, x):
        return self.decoder(self.encoder(x))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    train_loader = DataLoader(NoisySignals(1600, args.seed), batch_size=32, shuffle=True, num_workers=args.workers)
    val_loader = DataLoader(NoisySignals(320, args.seed + 1), batch_size=160)
    model = Denoiser()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(1, args.epochs + 1):
        model.train()
        train_loss = 0.0
        for noisy, clean in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(noisy), clean)
            loss.backward()
            optimizer.step()
            train_loss += loss.item()
        model.eval()
        with torch.no_grad():
            val_loss = sum(criterion(model(noisy), clean).item() for noisy, clean in val_loader) / len(val_loader)
        print(f"epoch {epoch}: train mse {train_loss / len(train_loader):.4f}  val mse {val_loss:.4f}  (noise 0.25)")


if __name__ == "__main__":
    main()
