import argparse
import math

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class MDN(nn.Module):
    """A mixture of Gaussians whose weights, means and widths depend on x."""

    def __init__(self, k=4, hidden=40):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(1, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())
        self.logits = nn.Linear(hidden, k)
        self.means = nn.Linear(hidden, k)
        self.log_widths = nn.Linear(hidden, k)

    def forward(self, x):
        h = self.body(x)
        return self.logits(h), self.means(h), self.log_widths(h).clamp(-4, 2)


def negative_log_likelihood(params, y):
    logits, means, log_widths = params
    z = (y - means) / log_widths.exp()
    each = -0.5 * z**2 - log_widths - 0.5 * math.log(2 * math.pi)
    return -torch.logsumexp(torch.log_softmax(logits, 1) + each, dim=1).mean()


def inverse_sine(n, rng):
    """The classic: x given y is simple, y given x has up to three branches."""
    y = rng.uniform(-1, 1, n)
    x = y + 0.3 * np.sin(2 * np.pi * y) + rng.normal(0, 0.06, n)
    to = lambda v: torch.tensor(v, dtype=torch.float32)[:, None]  # noqa: E731
    return to(x / 0.6), to(y)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=20)
args = parser.parse_args()
torch.manual_seed(args.seed)
rng = np.random.default_rng(args.seed)
x, y = inverse_sine(2500, rng)
x_val, y_val = inverse_sine(500, rng)
loader = DataLoader(TensorDataset(x, y), batch_size=50, shuffle=True)
net = MDN()
opt = torch.optim.Adam(net.parameters(), lr=2e-3)
scheduler = torch.optim.lr_scheduler.ExponentialLR(opt, gamma=0.9)
for epoch in range(args.epochs):
    net.train()
    losses = []
    for xb, yb in loader:
        loss = negative_log_likelihood(net(xb), yb)
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        opt.step()
        losses.append(loss.item())
    scheduler.step()
    net.eval()
    with torch.no_grad():
        val = negative_log_likelihood(net(x_val), y_val).item()
    print(f"epoch {epoch + 1:2d}  train nll {np.mean(losses):7.4f}  val nll {val:7.4f}")
print(f"a uniform guess would have {math.log(2):.4f}")
