"""Efficiency (between 0 and 1) of a pump from its settings."""

import argparse

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class PumpData(Dataset):
    def __init__(self, settings, efficiency):
        self.settings = torch.tensor(settings, dtype=torch.float32)
        self.efficiency = torch.tensor(efficiency, dtype=torch.long)

    def __len__(self):
        return len(self.settings)

    def __getitem__(self, item):
        return self.settings[item], self.efficiency[item].float()


def measure(n, rng):
    s = rng.normal(size=(n, 6))
    raw = 1.2 * s[:, 0] - s[:, 1] * s[:, 2] + np.tanh(2 * s[:, 3]) + 0.2 * rng.normal(size=n)
    return s, 0.05 + 0.9 / (1 + np.exp(-raw))


class Pump(nn.Module):
    def __init__(self):
        super().__init__()
        self.l1 = nn.Linear(6, 40)
        self.l2 = nn.Linear(40, 40)
        self.l3 = nn.Linear(40, 1)

    def forward(self, s):
        h = torch.relu(self.l1(s))
        h = torch.relu(self.l2(h))
        return torch.sigmoid(self.l3(h)).squeeze(1)


def main(seed, epochs, lr):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    train = DataLoader(PumpData(*measure(2000, rng)), batch_size=50, shuffle=True)
    val = DataLoader(PumpData(*measure(400, rng)), batch_size=100)
    pump = Pump()
    adam = torch.optim.Adam(pump.parameters(), lr)
    loss_fn = nn.SmoothL1Loss(beta=0.1)
    for epoch in range(epochs):
        pump.train()
        train_loss = 0
        for s, e in train:
            adam.zero_grad()
            loss = loss_fn(pump(s), e)
            loss.backward()
            adam.step()
            train_loss += loss.item()
        pump.eval()
        with torch.no_grad():
            error = torch.cat([(pump(s) - e).abs() for s, e in val]).mean().item()
        print("epoch %d: loss %.5f, mean error %.4f" % (epoch + 1, train_loss / len(train), error))


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=12)
    ap.add_argument("--lr", type=float, default=2e-3)
    o = ap.parse_args()
    main(o.seed, o.epochs, o.lr)
