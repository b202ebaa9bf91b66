import argparse

import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset


class LoadWindows(Dataset):
    def __init__(self, values, lookback):
        self.values = torch.as_tensor(values, dtype=torch.float32)
        self.lookback = lookback

    def __len__(self):
        return len(self.values) - self.lookback

    def __getitem__(self, i):
        w = self.values[i : i + self.lookback]
        return w.unsqueeze(-1), self.values[i + self.lookback]


class Forecaster(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, batch_first=True)
        self.last = nn.Linear(hidden, 1)

    def forward(self, x):
        h, _ = self.lstm(x)
        out = self.last(h[:, -1:])
        return out[:, -1, 0]


def make_load(n, seed):
    rng = np.random.default_rng(seed)
    hour = np.arange(n) % 24
    load = 20 + 3 * np.sin(2 * np.pi * hour / 24)
    load += 14 * np.exp(-0.5 * ((hour - 19) / 1.2) ** 2) + 8 * np.exp(-0.5 * ((hour - 8) / 1.0) ** 2)
    return load * (1 + 0.1 * np.sin(2 * np.pi * np.arange(n) / 168)) + 0.5 * rng.standard_normal(n)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=10)
    ap.add_argument("--hidden", type=int, default=24)
    ap.add_argument("--lookback", type=int, default=24)
    args = ap.parse_args()
    torch.manual_seed(args.seed)

    load = make_load(2600, args.seed)
    cut = 2000
    m, s = load[:cut].mean(), load[:cut].std()
    z = (load - m) / s
    train = DataLoader(LoadWindows(z[:cut], args.lookback), batch_size=64, shuffle=True)
    val = DataLoader(LoadWindows(z[cut:], args.lookback), batch_size=256)

    model = Forecaster(args.hidden)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    criterion = nn.MSELoss()
    for epoch in range(args.epochs):
        model.train()
        tr = 0.0
        for x, y in train:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            tr += loss.item() * len(y)
        model.eval()
        se = peak = 0.0
        with torch.no_grad():
            for x, y in val:
                p = model(x)
                se += criterion(p, y).item() * len(y)
                peak = max(peak, p.max().item())
        n = len(val.dataset)
        print(
            f"epoch {epoch + 1:2d}  train mse {tr / len(train.dataset):.4f}  val mse {se / n:.4f}  "
            f"val rmse {s * (se / n) ** 0.5:.2f} MW  highest forecast {m + s * peak:.1f} MW"
        )
    print(f"highest load in the held-out part {load[cut:].max():.1f} MW")


if __name__ == "__main__":
    main()
