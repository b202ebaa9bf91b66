import argparse

import numpy as np
import torch
import torch.nn as nn
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset


def rentals(rng, n):
    """Columns: Unix time, temperature, humidity in per cent, wind, hour, price in cents."""
    when = 1_700_000_000 + rng.integers(0, 365 * 24, n) * 3600
    hour = (when // 3600) % 24
    temperature = rng.normal(14, 8, n)
    humidity = rng.uniform(20, 100, n)
    wind = rng.gamma(2.0, 2.0, n)
    price = rng.integers(150, 450, n)
    growth = (when - 1_700_000_000) / (365 * 24 * 3600)
    rush = np.exp(-((hour - 17.0) ** 2) / 18) + 0.6 * np.exp(-((hour - 8.0) ** 2) / 8)
    demand = 1.5 * rush + 0.06 * temperature - 0.01 * humidity - 0.05 * wind - 0.004 * price + 0.8 * growth
    demand = demand + rng.normal(0, 0.15, n)
    table = np.column_stack([when, temperature, humidity, wind, hour, price])
    return table, (demand - demand.mean()) / demand.std()


class DemandNet(nn.Module):
    def __init__(self, columns):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(columns, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1), nn.Flatten(0)
        )

    def forward(self, x):
        return self.layers(x)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--lr", type=float, default=3e-3)
args = parser.parse_args()

torch.manual_seed(args.seed)
table, demand = rentals(np.random.default_rng(args.seed), 2400)
x_train, x_val, y_train, y_val = train_test_split(table, demand, test_size=0.25, random_state=args.seed)

train_ds = TensorDataset(torch.tensor(x_train, dtype=torch.float32), torch.tensor(y_train, dtype=torch.float32))
val_ds = TensorDataset(torch.tensor(x_val, dtype=torch.float32), torch.tensor(y_val, dtype=torch.float32))
train_loader = DataLoader(train_ds, batch_size=32, shuffle=True)
val_loader = DataLoader(val_ds, batch_size=300)

model = DemandNet(x_train.shape[1])
criterion = nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)

for epoch in range(args.epochs):
    model.train()
    train_loss = 0.0
    for x, y in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        train_loss += loss.item() * len(y)
    model.eval()
    with torch.no_grad():
        val_loss = sum(criterion(model(x), y).item() * len(y) for x, y in val_loader)
    print(f"epoch {epoch + 1}\ttrain mse {train_loss / len(train_ds):.4g}\tval mse {val_loss / len(val_ds):.4g}")
