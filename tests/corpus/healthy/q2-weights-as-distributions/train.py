"""Bayes by backprop on a one-dimensional regression with a gap in the data."""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn


class BayesLinear(nn.Module):
    def __init__(self, n_in, n_out, prior_std=1.0):
        super().__init__()
        self.w_mu = nn.Parameter(torch.randn(n_out, n_in) / math.sqrt(n_in))
        self.w_rho = nn.Parameter(torch.full((n_out, n_in), -4.5))
        self.b_mu = nn.Parameter(torch.zeros(n_out))
        self.b_rho = nn.Parameter(torch.full((n_out,), -4.5))
        self.prior_std = prior_std

    def forward(self, x):
        w = self.w_mu + F.softplus(self.w_rho) * torch.randn_like(self.w_mu)
        b = self.b_mu + F.softplus(self.b_rho) * torch.randn_like(self.b_mu)
        return F.linear(x, w, b)

    def kl(self):
        total = 0.0
        for mu, rho in ((self.w_mu, self.w_rho), (self.b_mu, self.b_rho)):
            std = F.softplus(rho)
            total = (
                total + (math.log(self.prior_std) - std.log() + (std**2 + mu**2) / (2 * self.prior_std**2) - 0.5).sum()
            )
        return total


class BayesNet(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.l1 = BayesLinear(1, hidden)
        self.l2 = BayesLinear(hidden, hidden)
        self.l3 = BayesLinear(hidden, 1)
        self.log_noise = nn.Parameter(torch.tensor(-1.0))

    def forward(self, x):
        return self.l3(torch.tanh(self.l2(torch.tanh(self.l1(x)))))

    def kl(self):
        return self.l1.kl() + self.l2.kl() + self.l3.kl()

    def nll(self, pred, y):
        return (self.log_noise + 0.5 * ((y - pred) / self.log_noise.exp()) ** 2).mean()


def target(x):
    return torch.sin(2.2 * x) + 0.3 * x


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=2200)
    parser.add_argument("--lr", type=float, default=5e-3)
    parser.add_argument("--draws", type=int, default=20)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    x = torch.rand(900, 1) * 4 - 2
    x = x[(x < 0.4) | (x > 0.9)].unsqueeze(1)
    y = target(x) + 0.15 * torch.randn_like(x)
    grid = torch.linspace(-2, 2, 200).unsqueeze(1)
    net = BayesNet()
    optimizer = torch.optim.Adam(net.parameters(), lr=args.lr)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.steps)

    for step in range(1, args.steps + 1):
        idx = torch.randint(0, len(x), (128,))
        nll = net.nll(net(x[idx]), y[idx])
        loss = nll + net.kl() / len(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 200 == 0:
            with torch.no_grad():
                draws = torch.stack([net(grid) for _ in range(args.draws)])
            rmse = (draws.mean(0) - target(grid)).pow(2).mean().sqrt().item()
            print(
                f"{step:5d}  bound {loss.item():.3f}  nll {nll.item():.3f}  rmse of the mean {rmse:.3f}  "
                f"spread {draws.std(0).mean().item():.3f}  noise {net.log_noise.exp().item():.3f}"
            )
