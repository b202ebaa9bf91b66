import argparse
import math

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class FourierFeatures(nn.Module):
    def __init__(self, n_in, n_features, length_scale):
        super().__init__()
        self.register_buffer("freq", torch.randn(n_in, n_features) / length_scale)
        self.register_buffer("phase", 2 * math.pi * torch.rand(n_features))

    def forward(self, x):
        return math.sqrt(2.0) * torch.cos(x @ self.freq + self.phase)


def terrain(n, seed):
    rng = np.random.default_rng(seed)
    xy = rng.uniform(-1, 1, (n, 2))
    z = np.sin(3 * xy[:, 0]) * np.cos(4 * xy[:, 1]) + 0.5 * np.exp(-8 * ((xy - 0.3) ** 2).sum(1))
    return xy, z + 0.05 * rng.standard_normal(n)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--features", type=int, default=256)
    ap.add_argument("--epochs", type=int, default=20)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    xy, z = terrain(2500, args.seed)
    x = torch.tensor(xy / 0.577, dtype=torch.float32)
    y = torch.tensor((z - z[:2000].mean()) / z[:2000].std(), dtype=torch.float32)
    train = DataLoader(TensorDataset(x[:2000], y[:2000]), batch_size=50, shuffle=True)
    model = nn.Sequential(FourierFeatures(2, args.features, 0.7), nn.Linear(args.features, 1))
    opt = torch.optim.Adam(model.parameters(), lr=5e-3, weight_decay=1e-5)
    sched = torch.optim.lr_scheduler.LinearLR(opt, 1.0, 0.05, total_iters=args.epochs)
    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        for xb, yb in train:
            loss = nn.functional.mse_loss(model(xb).squeeze(1), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item()
        sched.step()
        model.eval()
        with torch.no_grad():
            err = nn.functional.mse_loss(model(x[2000:]).squeeze(1), y[2000:]).item()
        print(
            f"epoch {epoch + 1:2d}  train {total / len(train):.4f}  val {err:.4f}  R2 {1 - err / y[2000:].var().item():.4f}"
        )


if __name__ == "__main__":
    main()
