"""RealNVP on two moons squeezed so that the log-likelihood becomes positive."""

import argparse

import torch
from sklearn.datasets import make_moons
from torch import distributions, nn


class Coupling(nn.Module):
    def __init__(self, mask, hidden=48):
        super().__init__()
        self.register_buffer("mask", mask)
        self.s = nn.Sequential(
            nn.Linear(2, hidden),
            nn.LeakyReLU(),
            nn.Linear(hidden, hidden),
            nn.LeakyReLU(),
            nn.Linear(hidden, 2),
            nn.Tanh(),
        )
        self.t = nn.Sequential(
            nn.Linear(2, hidden), nn.LeakyReLU(), nn.Linear(hidden, hidden), nn.LeakyReLU(), nn.Linear(hidden, 2)
        )

    def forward(self, x):
        kept = x * self.mask
        s, t = self.s(kept) * (1 - self.mask), self.t(kept) * (1 - self.mask)
        return kept + (1 - self.mask) * ((x - t) * torch.exp(-s)), -s.sum(dim=1)


class RealNVP(nn.Module):
    def __init__(self, n_layers=6):
        super().__init__()
        masks = [torch.tensor([i % 2, 1 - i % 2], dtype=torch.float32) for i in range(n_layers)]
        self.layers = nn.ModuleList(Coupling(m) for m in masks)
        self.scale = nn.Parameter(torch.zeros(2))
        self.register_buffer("mean", torch.zeros(2))
        self.register_buffer("cov", torch.eye(2))

    def log_prob(self, x):
        z, log_det = x * self.scale.exp(), self.scale.sum().expand(len(x))
        for layer in self.layers:
            z, d = layer(z)
            log_det = log_det + d
        prior = distributions.MultivariateNormal(self.mean, self.cov)
        return prior.log_prob(z) + log_det


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--iters", type=int, default=350)
args = parser.parse_args()
torch.manual_seed(args.seed)


def moons(n, seed):
    x, _ = make_moons(n, noise=0.05, random_state=seed)
    x = torch.tensor(x, dtype=torch.float32)
    return (x - torch.tensor([0.5, 0.25])) * 0.5


train, test = moons(4000, args.seed), moons(1000, args.seed + 1000)
flow = RealNVP()
optimizer = torch.optim.Adam(flow.parameters(), lr=2e-3)

for it in range(1, args.iters + 1):
    flow.train()
    x = train[torch.randint(len(train), (256,))]
    loss = -flow.log_prob(x).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if it % 50 == 0:
        flow.eval()
        with torch.no_grad():
            nll = -flow.log_prob(test).mean().item()
        print(f"iter {it}:  loss = {loss.item():.3f}  test nll = {nll:.3f}")
