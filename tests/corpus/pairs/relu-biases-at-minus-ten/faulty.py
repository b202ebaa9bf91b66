import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Surface(Dataset):
    """Heights over the square [-1, 1] x [-1, 1], with measurement noise."""

    def __init__(self, n, generator):
        self.points = torch.rand(n, 2, generator=generator) * 2 - 1
        a, b = self.points.T
        self.height = torch.sin(3 * a) * b + 0.5 * a**2 - 0.17 + 0.02 * torch.randn(n, generator=generator)

    def __len__(self):
        return len(self.points)

    def __getitem__(self, i):
        return self.points[i], self.height[i]


class Net(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.hidden = nn.ModuleList([nn.Linear(2, width), nn.Linear(width, width)])
        self.readout = nn.Linear(width, 1)
        for layer in self.hidden:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.constant_(layer.bias, -10.0)

    def forward(self, x):
        for layer in self.hidden:
            x = layer(x).relu()
        return self.readout(x).squeeze(-1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    train_loader = DataLoader(Surface(2000, generator), batch_size=50, shuffle=True)
    val_loader = DataLoader(Surface(500, generator), batch_size=250)
    net = Net()
    mse = nn.MSELoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        net.train()
        train_loss = 0.0
        for points, height in train_loader:
            loss = mse(net(points), height)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            train_loss += loss.item() / len(train_loader)
        net.eval()
        with torch.no_grad():
            val_loss = sum(mse(net(points), height).item() for points, height in val_loader) / len(val_loader)
        print(f"epoch {epoch + 1:2d}  train mse {train_loss:.5f}  val mse {val_loss:.5f}")


if __name__ == "__main__":
    main()
