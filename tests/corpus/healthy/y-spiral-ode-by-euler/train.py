"""Learn the field of a damped swing by unrolling Euler steps through a network."""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

DT, HORIZON = 0.1, 10


def true_field(s):
    x, v = s[..., 0], s[..., 1]
    return torch.stack([v, -torch.sin(1.5 * x) - 0.2 * v], dim=-1)


def simulate(start, steps=HORIZON, fine=10):
    path, s = [start], start
    for _ in range(steps):
        for _ in range(fine):
            s = s + DT / fine * true_field(s)
        path.append(s)
    return torch.stack(path, dim=1)


class Field(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 2)
        )

    def unroll(self, s, steps):
        out = []
        for _ in range(steps):
            s = s + DT * self.net(s)
            out.append(s)
        return torch.stack(out, dim=1)

    def forward(self, s):
        return self.unroll(s, HORIZON)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--lr", type=float, default=3e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    paths = simulate(2 * torch.rand(1500, 2) - 1)
    train = DataLoader(TensorDataset(paths[:1200]), batch_size=60, shuffle=True)
    test = paths[1200:]
    model = Field()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.85)
    for epoch in range(args.epochs):
        total = 0.0
        for (path,) in train:
            optimizer.zero_grad()
            loss = (model(path[:, 0]) - path[:, 1:]).pow(2).mean()
            loss.backward()
            optimizer.step()
            total += loss.item()
        scheduler.step()
        with torch.no_grad():
            off = (model(test[:, 0])[:, -1] - test[:, -1]).norm(dim=1).mean()
        print(f"epoch {epoch:2d}: train {total / len(train):.6f}, end point off by {off:.4f} (paths are about 1 long)")


if __name__ == "__main__":
    main()
