"""Doubly residual forecast of many short series: each block explains a part of the window and hands on the rest."""

import argparse
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset


@dataclass
class Config:
    seed: int = 0
    back: int = 36
    ahead: int = 12
    blocks: int = 3
    width: int = 64
    epochs: int = 8
    lr: float = 1e-3
    batch_size: int = 64


def make_series(n, length, rng):
    t = np.arange(length)
    level = rng.uniform(20, 400, (n, 1))
    slope = rng.normal(0, 0.002, (n, 1))
    season = rng.uniform(0.1, 0.4, (n, 1)) * np.sin(2 * np.pi * (t + rng.integers(0, 12, (n, 1))) / 12)
    noise = 0.03 * rng.standard_normal((n, length))
    return (level * (1 + slope * t + season + noise)).astype(np.float32)


class Windows(Dataset):
    def __init__(self, series, starts, cfg):
        self.series, self.cfg = series, cfg
        self.index = [(i, s) for i in range(len(series)) for s in starts]

    def __len__(self):
        return len(self.index)

    def __getitem__(self, k):
        i, s = self.index[k]
        w = self.series[i, s : s + self.cfg.back + self.cfg.ahead]
        scale = w[: self.cfg.back].mean()  # known at forecast time
        w = w / scale - 1
        return w[: self.cfg.back], w[self.cfg.back :], scale


class Block(nn.Module):
    def __init__(self, cfg, last=False):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(cfg.back, cfg.width), nn.ReLU(), nn.Linear(cfg.width, cfg.width), nn.ReLU())
        self.backcast = None if last else nn.Linear(cfg.width, cfg.back)  # nobody reads the last remainder
        self.forecast = nn.Linear(cfg.width, cfg.ahead)

    def forward(self, x):
        h = self.body(x)
        rest = x if self.backcast is None else x - self.backcast(h)
        return rest, self.forecast(h)


class Forecaster(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.blocks = nn.ModuleList(Block(cfg, last=k == cfg.blocks - 1) for k in range(cfg.blocks))

    def forward(self, x):
        total = 0
        for block in self.blocks:
            x, ahead = block(x)
            total = total + ahead
        return total


def main():
    cfg = Config()
    parser = argparse.ArgumentParser()
    for key, value in vars(cfg).items():
        parser.add_argument(f"--{key}", type=type(value), default=value)
    cfg = Config(**vars(parser.parse_args()))
    torch.manual_seed(cfg.seed)
    rng = np.random.default_rng(cfg.seed)
    series = make_series(120, 120, rng)
    train = DataLoader(Windows(series, range(0, 49, 3), cfg), cfg.batch_size, shuffle=True)
    test = DataLoader(Windows(series, [72], cfg), 120)  # the last year, nothing of it seen before

    model = Forecaster(cfg)
    optimizer = torch.optim.Adam(model.parameters(), lr=cfg.lr)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 3, gamma=0.5)
    for epoch in range(1, cfg.epochs + 1):
        model.train()
        losses = []
        for past, future, _ in train:
            loss = nn.functional.l1_loss(model(past), future)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        schedule.step()
        model.eval()
        with torch.no_grad():
            past, future, scale = next(iter(test))
            ahead = model(past)
            smape = (200 * (ahead - future).abs() / (ahead + future + 2)).mean().item()
            naive = (past[:, -12:] - future).abs().mean().item()
            mae = (ahead - future).abs().mean().item()
        print(
            f"epoch {epoch}  train mae {np.mean(losses):.4f}  test mae {mae:.4f} (seasonal naive {naive:.4f})  sMAPE {smape:.2f}"
        )


if __name__ == "__main__":
    main()
