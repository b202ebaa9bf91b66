"""u' = r (cos(w t) - u) with u(0) = 2 on [0, 4], solved by a small network."""

import argparse

import torch

p = argparse.ArgumentParser()
p.add_argument("--seed", type=int, default=0)
p.add_argument("--iters", type=int, default=2000)
p.add_argument("--points", type=int, default=64)
p.add_argument("--rate", type=float, default=1.2)
p.add_argument("--w-residual", type=float, default=1.0)
p.add_argument("--w-start", type=float, default=1.0)
opts = p.parse_args()
torch.manual_seed(opts.seed)

T, U0, W = 4.0, 2.0, 2.0
net = torch.nn.Sequential(
    torch.nn.Linear(1, 24), torch.nn.Tanh(), torch.nn.Linear(24, 24), torch.nn.Tanh(), torch.nn.Linear(24, 1)
)
adam = torch.optim.Adam(net.parameters(), lr=5e-3)
decay = torch.optim.lr_scheduler.ExponentialLR(adam, 0.9975)


def u(t):
    return net(2 * t / T - 1)


def residual(t):
    t = t.requires_grad_(True)
    val = u(t)
    (du,) = torch.autograd.grad(val.sum(), t, create_graph=True)
    return du - opts.rate * (torch.cos(W * t) - val)


def exact(t):
    r = opts.rate
    d = r * r + W * W
    steady = r * (r * torch.cos(W * t) + W * torch.sin(W * t)) / d
    return steady + (U0 - r * r / d) * torch.exp(-r * t)


grid = torch.linspace(0, T, 101)[:, None]
zero = torch.zeros(1, 1)
for it in range(1, opts.iters + 1):
    t = T * torch.rand(opts.points, 1)
    eq = residual(t).pow(2).mean()
    start = (u(zero) - U0).pow(2).mean()
    loss = opts.w_residual * eq + opts.w_start * start
    adam.zero_grad()
    loss.backward()
    adam.step()
    decay.step()
    if it % 200 == 0:
        with torch.no_grad():
            err = (u(grid) - exact(grid)).abs().max().item()
        print(
            f"iter {it:5d}  loss {loss.item():.3e}  residual {eq.item():.2e}  "
            f"start {start.item():.2e}  max error {err:.4f}"
        )
with torch.no_grad():
    print(
        "u(0), u(1), u(3) =",
        [round(u(torch.full((1, 1), v)).item(), 3) for v in (0.0, 1.0, 3.0)],
        "exact",
        [round(exact(torch.tensor(v)).item(), 3) for v in (0.0, 1.0, 3.0)],
    )
