"""A physics-informed network: derivatives of the network in the loss, Adam first, then L-BFGS."""

import torch
from fingerprint import leave

torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(1, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
frequency = torch.nn.Parameter(torch.tensor(1.5))
t = torch.linspace(0, 1, 30).view(-1, 1).requires_grad_()
zero = torch.zeros(1, 1, requires_grad=True)


def residual():
    u = net(t)
    du = torch.autograd.grad(u, t, torch.ones_like(u), create_graph=True)[0]
    ddu = torch.autograd.grad(du, t, torch.ones_like(du), create_graph=True)[0]
    u0 = net(zero)
    du0 = torch.autograd.grad(u0, zero, create_graph=True)[0]
    return (ddu + frequency**2 * u).pow(2).mean() + (u0 - 1).pow(2).sum() + 0.1 * du0.pow(2).sum()


adam = torch.optim.Adam([{"params": net.parameters()}, {"params": [frequency], "lr": 1e-4}], lr=1e-2)
for i in range(30):
    adam.zero_grad()
    loss = residual()
    loss.backward()
    adam.step()
    if i % 10 == 0:
        print("adam", i, repr(loss.item()))
lbfgs = torch.optim.LBFGS([*net.parameters(), frequency], max_iter=15, history_size=8, line_search_fn="strong_wolfe")
history = []


def closure():
    lbfgs.zero_grad()
    loss = residual()
    loss.backward(retain_graph=False)
    history.append(loss.item())
    return loss


for _ in range(2):
    lbfgs.step(closure)
print("lbfgs", len(history), repr(history[-1]), repr(frequency.item()))
leave(net, frequency, history)
