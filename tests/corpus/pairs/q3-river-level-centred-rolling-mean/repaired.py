import argparse

import numpy as np
import torch
from sklearn.metrics import r2_score
from torch import nn


def river_levels(days, rng):
    level = np.zeros(days)
    rain = rng.gamma(0.4, 2.0, days)
    for t in range(1, days):
        level[t] = 0.85 * level[t - 1] + 0.5 * rain[t - 1] + 0.3 * rng.normal()
    season = 2.0 * np.sin(2 * np.pi * np.arange(days) / 365)
    return level + season, rain


def rolling_mean(series, window=3):
    kernel = np.ones(window) / window
    padded = np.concatenate([np.repeat(series[0], window - 1), series])
    return np.convolve(padded, kernel, mode="valid")


def build_table(level, rain):
    """One row per day; predict the level of the following day."""
    smooth = rolling_mean(level)
    rows, target = [], []
    for t in range(5, len(level) - 1):
        rows.append(
            [
                level[t],
                level[t - 1],
                level[t - 2],
                level[t - 4],
                rain[t],
                rain[t - 1],
                smooth[t],
                np.sin(2 * np.pi * t / 365),
                np.cos(2 * np.pi * t / 365),
            ]
        )
        target.append(level[t + 1])
    return np.array(rows, dtype=np.float32), np.array(target, dtype=np.float32)


def main():
    cli = argparse.ArgumentParser()
    cli.add_argument("--seed", type=int, default=0)
    cli.add_argument("--epochs", type=int, default=15)
    cli.add_argument("--test-share", type=float, default=0.25)
    args = cli.parse_args()
    torch.manual_seed(args.seed)

    level, rain = river_levels(2600, np.random.default_rng(args.seed))
    X, y = build_table(level, rain)
    cut = int(len(X) * (1 - args.test_share))
    mean, std = X[:cut].mean(0), X[:cut].std(0)
    X = torch.from_numpy((X - mean) / std)
    y_mean, y_std = y[:cut].mean(), y[:cut].std()
    target = torch.from_numpy((y - y_mean) / y_std).unsqueeze(1)

    model = nn.Sequential(nn.Linear(X.shape[1], 32), nn.Tanh(), nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loss_fn = nn.SmoothL1Loss()
    naive = np.abs(level[6:][cut:] - level[5:-1][cut:]).mean()
    print(f"persistence: mae {naive:.3f}")
    for epoch in range(args.epochs):
        model.train()
        losses = []
        for idx in torch.randperm(cut).split(32):
            loss = loss_fn(model(X[idx]), target[idx])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            forecast = model(X[cut:]).squeeze(1).numpy() * y_std + y_mean
        mae = np.abs(forecast - y[cut:]).mean()
        print(
            f"epoch {epoch + 1:2d}  train {np.mean(losses):.4f}  test mae {mae:.3f}  r2 {r2_score(y[cut:], forecast):.3f}"
        )


if __name__ == "__main__":
    main()
