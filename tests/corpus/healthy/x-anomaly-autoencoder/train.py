import argparse

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from torch.utils.data import DataLoader, TensorDataset


def heartbeats(rng, n, broken=False):
    t = np.linspace(-1, 1, 48)
    centre = rng.normal(0, 0.1, (n, 1))
    peak = rng.uniform(0.9, 1.3, (n, 1)) * np.exp(-(((t - centre) / 0.08) ** 2))
    wave = rng.uniform(0.2, 0.4, (n, 1)) * np.exp(-(((t - centre - 0.45) / 0.18) ** 2))
    if broken:
        peak = peak * rng.uniform(-0.6, 0.4, (n, 1))
        wave = np.roll(wave, rng.integers(8, 20), axis=1)
    beat = peak + wave + rng.normal(0, 0.05, (n, 48))
    return torch.tensor(beat[:, None, :] / 0.3, dtype=torch.float32)


class ConvAE(nn.Module):
    def __init__(self, code=6):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv1d(1, 8, 5, stride=2, padding=2),
            nn.ELU(),
            nn.Conv1d(8, 16, 5, stride=2, padding=2),
            nn.ELU(),
            nn.Flatten(),
            nn.Linear(16 * 12, code),
        )
        self.expand = nn.Linear(code, 16 * 12)
        self.decoder = nn.Sequential(
            nn.ConvTranspose1d(16, 8, 4, stride=2, padding=1),
            nn.ELU(),
            nn.ConvTranspose1d(8, 1, 4, stride=2, padding=1),
        )

    def forward(self, x):
        return self.decoder(F.elu(self.expand(self.encoder(x))).view(-1, 16, 12))


class Detector:
    def __init__(self, lr):
        self.net = ConvAE()
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=lr)

    def fit_epoch(self, loader):
        self.net.train()
        total = 0.0
        for beats, _ in loader:
            loss = F.l1_loss(self.net(beats), beats)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total += loss.item()
        return total / len(loader)

    @torch.no_grad()
    def score(self, beats):
        self.net.eval()
        return (self.net(beats) - beats).abs().mean(dim=(1, 2))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--lr", type=float, default=3e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)

    normal = TensorDataset(heartbeats(rng, 1500), torch.zeros(1500))
    loader = DataLoader(normal, batch_size=30, shuffle=True)
    fresh, broken = heartbeats(rng, 200), heartbeats(rng, 200, broken=True)
    detector = Detector(args.lr)
    for epoch in range(1, args.epochs + 1):
        loss = detector.fit_epoch(loader)
        scores = torch.cat([detector.score(fresh), detector.score(broken)])
        auc = roc_auc_score([0] * 200 + [1] * 200, scores.numpy())
        print(f"epoch {epoch:2d}  l1 {loss:.4f}  normal {scores[:200].mean():.4f}  auc {auc:.4f}")


if __name__ == "__main__":
    main()
