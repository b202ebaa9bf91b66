import argparse

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset, random_split


def measurements(n):
    x = 2 * torch.rand(n, 3) - 1
    mean = torch.sin(2.5 * x[:, 0]) * 0.8 + 0.5 * x[:, 1] ** 2 - 0.17
    noise = 0.03 + 0.12 * torch.sigmoid(4 * x[:, 2])
    return x / 0.577, mean + noise * torch.randn(n), noise


class MeanAndVariance(nn.Module):
    def __init__(self, inputs, hidden=48):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.mean = nn.Linear(hidden, 1)
        self.raw_variance = nn.Linear(hidden, 1)

    def forward(self, x):
        h = self.trunk(x)
        variance = nn.functional.softplus(self.raw_variance(h)) + 1e-4
        return self.mean(h).squeeze(-1), variance.squeeze(-1)


def evaluate(model, loader, criterion):
    model.eval()
    total, inside, n = 0.0, 0, 0
    with torch.no_grad():
        for x, y, _ in loader:
            mean, variance = model(x)
            total += criterion(mean, y, variance).item() * len(y)
            inside += ((y - mean).abs() < 1.96 * variance.sqrt()).sum().item()
            n += len(y)
    return total / n, inside / n


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--lr", type=float, default=3e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    train_set, val_set = random_split(TensorDataset(*measurements(2500)), [2000, 500])
    train_loader = DataLoader(train_set, batch_size=50, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=250)
    model = MeanAndVariance(3)
    criterion = nn.GaussianNLLLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)

    for epoch in range(args.epochs):
        model.train()
        losses = []
        for x, y, _ in train_loader:
            mean, variance = model(x)
            loss = criterion(mean, y, variance)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        scheduler.step()
        nll, coverage = evaluate(model, val_loader, criterion)
        print(f"epoch {epoch:2d} train nll {sum(losses) / len(losses):+.3f} val nll {nll:+.3f} coverage {coverage:.3f}")


if __name__ == "__main__":
    main()
