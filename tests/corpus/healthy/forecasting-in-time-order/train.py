import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


def electricity(hours, generator):
    """Hourly load: daily and weekly rhythm, slowly wandering level, noise; standardised."""
    t = torch.arange(hours)
    level = torch.cumsum(torch.randn(hours, generator=generator), 0) * 0.004
    daily = torch.sin(2 * torch.pi * t / 24) + 0.4 * torch.sin(4 * torch.pi * t / 24 + 1)
    weekly = 0.5 * ((t // 24) % 7 < 5).float()
    load = level + daily + weekly + 0.15 * torch.randn(hours, generator=generator)
    return (load - load.mean()) / load.std()


class Windows(Dataset):
    def __init__(self, series, window=48, horizon=6):
        self.series, self.window, self.horizon = series, window, horizon

    def __len__(self):
        return len(self.series) - self.window - self.horizon + 1

    def __getitem__(self, i):
        past = self.series[i : i + self.window]
        future = self.series[i + self.window : i + self.window + self.horizon]
        return past.unsqueeze(-1), future


class LSTMForecaster(nn.Module):
    def __init__(self, hidden=24, horizon=6):
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, batch_first=True)
        self.out = nn.Linear(hidden, horizon)

    def forward(self, x):
        _, (h, _) = self.lstm(x)
        return self.out(h[-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--lr", type=float, default=5e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    series = electricity(2000, torch.Generator().manual_seed(args.seed))
    # the past trains, the future validates; windows stay in order of time
    train_loader = DataLoader(Windows(series[:1600]), batch_size=32, shuffle=False)
    val_loader = DataLoader(Windows(series[1600:]), batch_size=64, shuffle=False)
    model = LSTMForecaster()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(1, args.epochs + 1):
        model.train()
        train_loss = 0.0
        for past, future in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(past), future)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            train_loss += loss.item() / len(train_loader)
        model.eval()
        with torch.no_grad():
            val_loss = sum(criterion(model(past), future).item() for past, future in val_loader) / len(val_loader)
        print(f"epoch {epoch}: train mse {train_loss:.4f} val mse {val_loss:.4f}")


if __name__ == "__main__":
    main()
