import argparse
import math

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


class Surrogate(nn.Module):
    """MLP surrogate of a heat-exchanger simulation."""

    def __init__(self, n_in, n_out, width=64, depth=3):
        super().__init__()
        sizes = [n_in] + [width] * depth
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:]))
        self.readout = nn.Linear(width, n_out)
        self.apply(self.init_weights)

    @staticmethod
    def init_weights(module):
        if isinstance(module, nn.Linear):
            fan_in = module.in_features
            std = math.sqrt(fan_in / 2.0)
            nn.init.normal_(module.weight, mean=0.0, std=std)
            nn.init.zeros_(module.bias)

    def forward(self, x):
        for layer in self.hidden:
            x = torch.relu(layer(x))
        return self.readout(x)


def simulation(n):
    x = torch.rand(n, 6) * 2 - 1
    flow, t_in, t_out, area, fouling, speed = x.unbind(1)
    duty = (1 + 0.5 * flow) * (t_in - 0.6 * t_out) + 0.5 * area * speed
    drop = (flow + 1.2) ** 1.5 * (1 + 0.4 * fouling) + torch.sin(2 * speed)
    y = torch.stack([duty, drop], dim=1)
    return x / x.std(0), (y - y.mean(0)) / y.std(0)


def fit(model, train, val, epochs, lr):
    train_loader = DataLoader(train, batch_size=50, shuffle=True)
    val_loader = DataLoader(val, batch_size=500)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=8, gamma=0.3)
    for epoch in range(epochs):
        model.train()
        train_se = 0.0
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            train_se += loss.item() * len(x)
        scheduler.step()
        model.eval()
        with torch.no_grad():
            val_se = sum(nn.functional.mse_loss(model(x), y).item() * len(x) for x, y in val_loader)
        print(f"epoch {epoch:2d}  train mse {train_se / len(train):.5g}  val mse {val_se / len(val):.5g}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--lr", type=float, default=2e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    train, val = random_split(TensorDataset(*simulation(3000)), [2500, 500])
    fit(Surrogate(6, 2), train, val, args.epochs, args.lr)
