import argparse

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
from torch.utils.data import DataLoader, TensorDataset

RATE, N = 1000, 256


def synth(n, rng):
    """Rising, falling, steady and warbling tones."""
    t = np.arange(N) / RATE
    y = rng.integers(0, 4, n)
    f0 = rng.uniform(60, 160, n)[:, None]
    phase = rng.uniform(0, 2 * np.pi, n)[:, None]
    slope = np.choose(y, [1, -1, 0, 0])[:, None] * rng.uniform(150, 220, n)[:, None]
    start = np.where(slope < 0, f0 + 80, f0)
    wob = (y == 3)[:, None] * 3.0 * np.sin(2 * np.pi * 16 * t)
    x = np.sin(2 * np.pi * (start * t + 0.5 * slope * t**2) + wob + phase)
    x += 0.3 * rng.standard_normal(x.shape)
    return torch.tensor(x, dtype=torch.float32).unsqueeze(1), torch.tensor(y)


class ToneNet(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        layers, c = [], 1
        for k, s in [(15, 4), (9, 2), (5, 2), (5, 2)]:
            layers += [nn.Conv1d(c, width, k, stride=s, padding=k // 2), nn.BatchNorm1d(width), nn.ReLU()]
            c = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(width * 8, 4)

    def forward(self, x):
        return self.head(self.features(x).flatten(1))


class Trainer:
    def __init__(self, model, train_loader, val_loader, epochs, lr, warmup):
        self.model, self.train_loader, self.val_loader = model, train_loader, val_loader
        self.epochs = epochs
        total = epochs * len(train_loader)
        self.opt = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)
        self.sched = SequentialLR(
            self.opt,
            [
                LinearLR(self.opt, start_factor=0.01, total_iters=warmup),
                CosineAnnealingLR(self.opt, T_max=total - warmup),
            ],
            milestones=[warmup],
        )
        self.criterion = nn.CrossEntropyLoss()

    def fit(self):
        for epoch in range(self.epochs):
            self.model.train()
            losses = []
            for x, y in self.train_loader:
                loss = self.criterion(self.model(x), y)
                self.opt.zero_grad()
                loss.backward()
                self.opt.step()
                losses.append(loss.item())
            acc = self.validate()
            print(f"epoch {epoch + 1:2d} | train loss {np.mean(losses):.4f} | val acc {acc:.4f}")

    @torch.no_grad()
    def validate(self):
        self.model.eval()
        hits = sum((self.model(x).argmax(1) == y).sum().item() for x, y in self.val_loader)
        return hits / len(self.val_loader.dataset)


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=8)
    ap.add_argument("--lr", type=float, default=2e-3)
    ap.add_argument("--warmup", type=int, default=50)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    train = DataLoader(TensorDataset(*synth(2000, rng)), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(*synth(500, rng)), batch_size=250)
    Trainer(ToneNet(), train, val, args.epochs, args.lr, args.warmup).fit()
