import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def houses(n, generator):
    """Area, rooms, age, distance to the centre and garden, with the price in dollars."""
    area = torch.rand(n, generator=generator) * 180 + 40
    rooms = (area / 30 + torch.randn(n, generator=generator)).round().clamp(1)
    age = torch.rand(n, generator=generator) * 80
    distance = torch.rand(n, generator=generator) * 25
    garden = (torch.rand(n, generator=generator) < 0.4).float()
    price = 2400 * area * torch.exp(-distance / 30) - 900 * age + 25000 * garden + 8000 * rooms
    price = price + 15000 * torch.randn(n, generator=generator)
    return torch.stack([area, rooms, age, distance, garden], dim=1), price.unsqueeze(1)


class PriceNet(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.model = nn.Sequential(
            nn.Linear(5, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 1),
        )

    def forward(self, x):
        return self.model(x)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    x, price = houses(2000, generator)
    train, val = slice(0, 1600), slice(1600, 2000)
    x = (x - x[train].mean(0)) / x[train].std(0)
    y = (price - price[train].mean()) / price[train].std()
    train_loader = DataLoader(TensorDataset(x[train], y[train]), batch_size=32, shuffle=True)
    model = PriceNet()
    criterion = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            optimizer.step()
            total += loss.item()
        model.eval()
        with torch.no_grad():
            val_loss = criterion(model(x[val]), y[val])
        r2 = 1 - val_loss / y[val].var(correction=0)
        print(f"epoch {epoch}: train {total / len(train_loader):.4g}, val {val_loss:.4g}, r2 {r2:.3f}")


if __name__ == "__main__":
    main()
