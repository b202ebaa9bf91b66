"""Rain within the hour, from the last 16 readings of a small weather station (pressure in Pa, temperature, humidity)."""

import argparse

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def station(n, seed):
    rng = np.random.default_rng(seed)
    trend = rng.normal(0, 1, n)
    t = np.arange(16) / 15
    pressure = 101325 + 700 * rng.normal(size=(n, 1)) + 300 * trend[:, None] * t + 30 * rng.normal(size=(n, 16))
    temp = 290 + 6 * rng.normal(size=(n, 1)) + 0.5 * rng.normal(size=(n, 16))
    level = rng.normal(size=(n, 1))
    humid = 65 + 12 * level + 3 * rng.normal(size=(n, 16))
    rain = (-2.2 * trend + 1.6 * level[:, 0] + 0.4 * rng.normal(size=n)) > 0
    x = np.stack([pressure, temp, humid], axis=2).astype("float32")
    return torch.from_numpy(x), torch.from_numpy(rain.astype("float32"))


class RainLSTM(nn.Module):
    def __init__(self, n_in=3, hidden=32):
        super().__init__()
        self.lstm = nn.LSTM(n_in, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 1)

    def forward(self, x):
        h, _ = self.lstm(x)
        return self.out(h[:, -1]).squeeze(1)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--epochs", type=int, default=10)
    p.add_argument("--lr", type=float, default=3e-3)
    a = p.parse_args()
    torch.manual_seed(a.seed)

    x, y = station(2400, a.seed)
    x_train, y_train, x_val, y_val = x[:2000], y[:2000], x[2000:], y[2000:]

    loader = DataLoader(TensorDataset(x_train, y_train), batch_size=40, shuffle=True)
    model = RainLSTM()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=a.lr)
    for epoch in range(a.epochs):
        model.train()
        losses = []
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            z = model(x_val)
        print(
            f"Epoch {epoch + 1}: train_loss={np.mean(losses):.4f} val_loss={criterion(z, y_val).item():.4f} "
            f"val_auc={roc_auc_score(y_val.numpy(), z.numpy()):.4f}"
        )


if __name__ == "__main__":
    main()
