import argparse
import math

import torch
from torch import nn


class CurveNet(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )

    def forward(self, x):
        return self.layers(x)


def sample(n):
    x = torch.rand(n, 1) * 6 + 20  # temperatures between 20 and 26
    y = torch.sin((x - 20) * math.pi / 3) + 0.3 * (x - 23) + 0.05 * torch.randn(n, 1)
    return x, y


def standardise(x, mean, std):
    return (x - mean) / (std + 1e-6)


def main():
    parser = argparse.ArgumentParser(description="fit a response curve")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    x_train, y_train = sample(1024)
    x_val, y_val = sample(256)
    mean, std = x_train.mean(0, keepdim=True), x_train.std(0, correction=0, keepdim=True)
    x_train = standardise(x_train, mean, std)
    x_val = standardise(x_val, mean, std)

    model = CurveNet()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=args.steps)
    step = 0
    while step < args.steps:
        index = torch.randint(0, len(x_train), (args.batch_size,))
        loss = criterion(model(x_train[index]), y_train[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        step += 1
        if step % 200 == 0:
            model.eval()
            with torch.no_grad():
                val = criterion(model(x_val), y_val).item()
            model.train()
            print(f"step {step}: train mse {loss.item():.4f}, val mse {val:.4f} (target variance {y_val.var():.3f})")


if __name__ == "__main__":
    main()
