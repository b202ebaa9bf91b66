import argparse

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F


def make_split(n, rng):
    x = rng.uniform(-3, 3, size=(n, 2))
    noise = 0.08 + 0.25 * (x[:, :1] > 0) * np.abs(x[:, :1]) / 3
    y = np.sin(1.5 * x[:, :1]) + 0.4 * x[:, 1:] + noise * rng.normal(size=(n, 1))
    return torch.tensor(x / 1.73, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)


class MeanAndSigma(nn.Module):
    def __init__(self, hidden=40):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.mean = nn.Linear(hidden, 1)
        self.sigma = nn.Linear(hidden, 1)

    def forward(self, x):
        h = self.body(x)
        return self.mean(h), self.sigma(h)


def gaussian_nll(mean, sigma, y):
    return (torch.log(sigma) + 0.5 * ((y - mean) / sigma) ** 2).mean()


def minibatches(x, y, size):
    for idx in torch.randperm(len(x)).split(size):
        yield x[idx], y[idx]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--lr", type=float, default=2e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)

    x_train, y_train = make_split(2000, rng)
    x_test, y_test = make_split(500, rng)
    model = MeanAndSigma()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)

    for epoch in range(args.epochs):
        model.train()
        losses = []
        for xb, yb in minibatches(x_train, y_train, 50):
            mean, sigma = model(xb)
            loss = gaussian_nll(mean, sigma, yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            mean, sigma = model(x_test)
            nll = gaussian_nll(mean, sigma, y_test).item()
            rmse = F.mse_loss(mean, y_test).sqrt().item()
            inside = ((y_test - mean).abs() < sigma).float().mean().item()
        print(
            f"epoch {epoch + 1:2d}  nll {np.mean(losses):7.3f}  test nll {nll:7.3f}  "
            f"rmse {rmse:.3f}  within one sigma {inside:.2f}"
        )


if __name__ == "__main__":
    main()
