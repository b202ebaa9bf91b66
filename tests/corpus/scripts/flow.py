"""A normalising flow and a mixture density network: losses that are likelihoods, written by hand."""

import math

import torch
from fingerprint import leave
from sklearn.datasets import make_moons
from torch import distributions as D
from torch import nn

torch.manual_seed(0)


class Coupling(nn.Module):
    def __init__(self, flip):
        super().__init__()
        self.flip, self.net = flip, nn.Sequential(nn.Linear(1, 16), nn.LeakyReLU(), nn.Linear(16, 2))

    def forward(self, x):
        a, b = x.chunk(2, 1) if not self.flip else reversed(x.chunk(2, 1))
        s, t = self.net(a).chunk(2, 1)
        b = b * torch.tanh(s).exp() + t
        return torch.cat([a, b] if not self.flip else [b, a], 1), torch.tanh(s).sum(1)


class Flow(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([Coupling(i % 2 == 1) for i in range(4)])
        self.base = D.MultivariateNormal(torch.zeros(2), torch.eye(2))

    def log_prob(self, x):  # never called through __call__
        total = torch.zeros(len(x))
        for layer in self.layers:
            x, log_det = layer(x)
            total = total + log_det
        return self.base.log_prob(x) + total


class MDN(nn.Module):
    def __init__(self, k=3):
        super().__init__()
        self.trunk, self.pi, self.mu, self.sigma = (
            nn.Linear(1, 12),
            nn.Linear(12, k),
            nn.Linear(12, k),
            nn.Linear(12, k),
        )

    def forward(self, x):
        h = torch.tanh(self.trunk(x))
        return D.MixtureSameFamily(D.Categorical(logits=self.pi(h)), D.Normal(self.mu(h), self.sigma(h).exp()))


x = torch.tensor(make_moons(200, noise=0.05, random_state=0)[0]).float()
flow, mdn = Flow(), MDN()
optimizer = torch.optim.Adam(flow.parameters(), 5e-3)
for step in range(25):
    loss = -flow.log_prob(x[torch.randint(0, 200, (64,))]).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 6 == 0:
        print("flow", step, repr(loss.item()), repr(loss.item() / math.log(2) / 2))
optimizer = torch.optim.RAdam(mdn.parameters(), 1e-2)
for step in range(15):
    out = mdn(x[:, :1])
    loss = -out.log_prob(x[:, 1]).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print("mdn", repr(loss.item()), out.mean.mean().item(), out.sample().mean().item())
svi_mean, svi_scale = torch.zeros(2, requires_grad=True), torch.zeros(2, requires_grad=True)
optimizer = torch.optim.SGD([svi_mean, svi_scale], 0.05)
for _ in range(15):
    q = D.Normal(svi_mean, svi_scale.exp())
    z = q.rsample((8,))
    kl = D.kl_divergence(q, D.Normal(0.0, 1.0)).sum()
    loss = kl - D.Normal(z.mean(0), 1.0).log_prob(x[:20]).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print("elbo", repr(loss.item()), svi_mean.tolist())
leave(flow, mdn, svi_mean, svi_scale)
