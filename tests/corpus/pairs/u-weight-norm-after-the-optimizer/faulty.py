import argparse

import numpy as np
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm


def series(n, rng):
    t = np.arange(n)
    s = np.sin(2 * np.pi * t / 24) + 0.6 * np.sin(2 * np.pi * t / 7)
    s = s * (1 + 0.5 * np.sin(2 * np.pi * t / 180))
    return (s + 0.1 * rng.standard_normal(n)).astype(np.float32)


def windows(s, length):
    x = np.lib.stride_tricks.sliding_window_view(s[:-1], length)
    return torch.from_numpy(x.copy())[:, None, :], torch.from_numpy(s[length:].copy())


class TCN(nn.Module):
    def __init__(self, channels=16, levels=4):
        super().__init__()
        convs, inp = [], 1
        for k in range(levels):
            convs.append(nn.Conv1d(inp, channels, 2, dilation=2**k))
            inp = channels
        self.convs = nn.ModuleList(convs)
        self.out = nn.Conv1d(channels, 1, 1)

    def forward(self, x):
        for conv in self.convs:
            pad = conv.dilation[0]
            x = torch.relu(conv(nn.functional.pad(x, (pad, 0))))
        return self.out(x[:, :, -1:]).flatten()

    def add_weight_norm(self):
        for conv in list(self.convs) + [self.out]:
            weight_norm(conv)
        return self


def rmse(model, x, y):
    model.eval()
    with torch.no_grad():
        return (model(x) - y).pow(2).mean().sqrt().item()


def main(args):
    torch.manual_seed(args.seed)
    s = series(2600, np.random.default_rng(args.seed))
    split = 2000
    mean, std = s[:split].mean(), s[:split].std()
    s = (s - mean) / std
    xt, yt = windows(s[:split], args.window)
    xv, yv = windows(s[split:], args.window)

    model = TCN()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    model.add_weight_norm()
    for epoch in range(1, args.epochs + 1):
        model.train()
        running = 0.0
        for idx in torch.randperm(len(xt)).split(args.batch_size):
            loss = nn.functional.mse_loss(model(xt[idx]), yt[idx])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            running += loss.item() * len(idx)
        print(
            f"epoch {epoch:02d}: train mse {running / len(xt):.4f}, val rmse {rmse(model, xv, yv):.4f}, "
            f"naive {(xv[:, 0, -1] - yv).pow(2).mean().sqrt().item():.4f}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--window", type=int, default=48)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--lr", type=float, default=3e-3)
    main(parser.parse_args())
