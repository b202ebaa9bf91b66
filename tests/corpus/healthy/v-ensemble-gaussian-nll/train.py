import argparse
import math

import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset


def toy(n, rng):
    x = rng.uniform(-3, 3, size=(n, 1))
    noise = 0.05 + 0.1 * np.abs(x)
    y = np.sin(x * 1.5) + 0.3 * x + noise * rng.standard_normal((n, 1))
    return x.astype("float32"), y.astype("float32")


class MeanVariance(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(1, 40), nn.Tanh(), nn.Linear(40, 40), nn.Tanh())
        self.mean = nn.Linear(40, 1)
        self.var = nn.Sequential(nn.Linear(40, 1), nn.Softplus())

    def forward(self, x):
        h = self.trunk(x)
        return self.mean(h), self.var(h) + 1e-4


def train_member(loader, epochs, lr):
    model = MeanVariance()
    nll = nn.GaussianNLLLoss()
    opt = torch.optim.Adam(model.parameters(), lr=lr)
    for _ in range(epochs):
        model.train()
        running = 0.0
        for x, y in loader:
            mu, var = model(x)
            loss = nll(mu, y, var)
            opt.zero_grad()
            loss.backward()
            opt.step()
            running += loss.item()
    return model, running / len(loader)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--lr", type=float, default=5e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)

    x, y = toy(800, rng)
    xt, yt = map(torch.from_numpy, toy(400, rng))
    xm, xs = float(x.mean()), float(x.std())
    x, xt = (x - xm) / xs, (xt - xm) / xs
    loader = DataLoader(TensorDataset(torch.from_numpy(x), torch.from_numpy(y)), batch_size=40, shuffle=True)

    members = []
    for k in range(args.members):
        model, last = train_member(loader, args.epochs, args.lr)
        model.eval()
        with torch.no_grad():
            mu, var = model(xt)
            test_nll = nn.functional.gaussian_nll_loss(mu, yt, var).item()
        print(
            f"member {k}: train nll {last:.3f} test nll {test_nll:.3f} "
            f"rmse {math.sqrt(((mu - yt) ** 2).mean().item()):.3f}"
        )
        members.append(model)

    with torch.no_grad():
        outs = [m(xt) for m in members]
    mus, vars_ = torch.stack([o[0] for o in outs]), torch.stack([o[1] for o in outs])
    mu = mus.mean(0)
    var = (vars_ + mus**2).mean(0) - mu**2
    inside = ((yt - mu).abs() < 1.96 * var.sqrt()).float().mean().item()
    print(
        f"ensemble: nll {nn.functional.gaussian_nll_loss(mu, yt, var).item():.3f} "
        f"rmse {math.sqrt(((mu - yt) ** 2).mean().item()):.3f} 95% interval covers {inside:.3f}"
    )


if __name__ == "__main__":
    main()
