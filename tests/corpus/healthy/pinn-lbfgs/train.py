"""Solves u'' = -pi^2 sin(pi x), u(-1) = u(1) = 0, with a network: a few steps of Adam, then L-BFGS."""

import argparse
import math

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--adam-steps", type=int, default=300)
parser.add_argument("--lbfgs-steps", type=int, default=12)
args = parser.parse_args()
torch.manual_seed(args.seed)


class PINN(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )

    def forward(self, x):
        return self.net(x)


def derivative(u, x):
    return torch.autograd.grad(u, x, torch.ones_like(u), create_graph=True)[0]


model = PINN()
x_in = torch.linspace(-1, 1, 100)[1:-1, None].requires_grad_(True)
x_edge = torch.tensor([[-1.0], [1.0]])


def physics_loss():
    u = model(x_in)
    residual = derivative(derivative(u, x_in), x_in) + math.pi**2 * torch.sin(math.pi * x_in)
    return (residual**2).mean() + 10 * (model(x_edge) ** 2).mean()


def error():
    with torch.no_grad():
        return (model(x_in) - torch.sin(math.pi * x_in)).abs().max().item()


adam = torch.optim.Adam(model.parameters(), lr=5e-3)
for step in range(args.adam_steps):
    adam.zero_grad()
    loss = physics_loss()
    loss.backward()
    adam.step()
    if step % 100 == 0:
        print(f"adam {step}: loss {loss.item():.3e} error {error():.3e}")

lbfgs = torch.optim.LBFGS(model.parameters(), max_iter=20, history_size=20, line_search_fn="strong_wolfe")


def closure():
    lbfgs.zero_grad()
    loss = physics_loss()
    loss.backward()
    return loss


for step in range(args.lbfgs_steps):
    loss = lbfgs.step(closure)
    print(f"lbfgs {step}: loss {loss.item():.3e} error {error():.3e}")
