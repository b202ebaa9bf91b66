import argparse
import math

import torch
from torch import nn


def sunspot_like(n):
    t = torch.arange(n, dtype=torch.float32)
    series = torch.sin(2 * math.pi * t / 25) + 0.5 * torch.sin(2 * math.pi * t / 11 + 1.0)
    return series + 0.05 * torch.randn(n)


class Forecaster(nn.Module):
    def __init__(self, hidden=24):
        super().__init__()
        self.gru = nn.GRU(1, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 1)

    def forward(self, window):
        states, _ = self.gru(window)
        return self.out(states[:, -1])


def rmse_loss(prediction, target):
    return torch.sqrt(torch.mean((prediction - target) ** 2) + 1e-8)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=12)
parser.add_argument("--lr", type=float, default=5e-3)
parser.add_argument("--window", type=int, default=20)
args = parser.parse_args()
torch.manual_seed(args.seed)

series = sunspot_like(1500)
windows = series.unfold(0, args.window + 1, 1)
inputs, targets = windows[:, :-1].unsqueeze(-1), windows[:, -1]
split = int(0.8 * len(inputs))
train_inputs, train_targets = inputs[:split], targets[:split]
test_inputs, test_targets = inputs[split:], targets[split:]

net = Forecaster()
optimizer = torch.optim.RMSprop(net.parameters(), lr=args.lr)

for epoch in range(args.epochs):
    net.train()
    order = torch.randperm(split)
    epoch_loss, steps = 0.0, 0
    for chunk in order.split(32):
        prediction = net(train_inputs[chunk])
        loss = rmse_loss(prediction, train_targets[chunk])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        epoch_loss += loss.item()
        steps += 1
    net.eval()
    with torch.no_grad():
        error = rmse_loss(net(test_inputs), test_targets).item()
    print(f"epoch {epoch:2d}  train rmse {epoch_loss / steps:.4f}  test rmse {error:.4f}")
