import argparse
import math

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset


def daily_load(n):
    """Two seasonal waves, a slow drift and some noise."""
    t = torch.arange(n, dtype=torch.float32)
    wave = 12 * torch.sin(2 * math.pi * t / 24) + 6 * torch.sin(2 * math.pi * t / 7 + 1.0)
    return 50 + wave + 3 * torch.sin(2 * math.pi * t / 350) + torch.randn(n) * 1.0


def windows(series, width):
    x = series.unfold(0, width + 1, 1)
    return x[:, :width].unsqueeze(-1), x[:, width]


class LoadForecaster(nn.Module):
    def __init__(self, hidden=24):
        super().__init__()
        self.lstm = nn.LSTM(input_size=1, hidden_size=hidden, batch_first=True)
        self.dropout = nn.Dropout(0.05)
        self.fc = nn.Linear(hidden, 1)

    def forward(self, x):
        out, _ = self.lstm(x)
        out = self.fc(self.dropout(out[:, -1]))
        return out.squeeze(-1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--window", type=int, default=24)
    parser.add_argument("--lr", type=float, default=5e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    series = daily_load(1800)
    split = 1400
    mean, std = series[:split].mean(), series[:split].std()
    series = (series - mean) / std
    x_train, y_train = windows(series[:split], args.window)
    x_test, y_test = windows(series[split:], args.window)
    loader = DataLoader(TensorDataset(x_train, y_train), batch_size=64, shuffle=True)

    model = LoadForecaster()
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)

    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
        model.eval()
        with torch.no_grad():
            test_pred = model(x_test)
            test_mse = loss_fn(test_pred, y_test).item()
            mae = (test_pred - y_test).abs().mean().item() * std.item()
        print(
            f"epoch {epoch + 1:2d}: train MSE {total / len(x_train):.4f}, test MSE {test_mse:.4f}, test MAE {mae:.2f} MW"
        )


if __name__ == "__main__":
    main()
