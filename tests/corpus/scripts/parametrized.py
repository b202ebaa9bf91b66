import copy

import torch
from fingerprint import leave
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

torch.manual_seed(25)


class Symmetric(nn.Module):
    def forward(self, X):
        return X.triu() + X.triu(1).transpose(-1, -2)


symmetric = nn.Linear(6, 6)
parametrize.register_parametrization(symmetric, "weight", Symmetric())
net = nn.Sequential(
    parametrizations.weight_norm(nn.Linear(4, 6)),
    nn.ReLU(),
    parametrizations.spectral_norm(nn.Linear(6, 6)),
    parametrizations.orthogonal(nn.Linear(6, 6, bias=False)),
    symmetric,
    nn.PReLU(),
    nn.LazyLinear(2),
)
net(torch.randn(2, 4))
optimizer = torch.optim.Adam(net.parameters(), 1e-2)


def train(steps):
    for step in range(steps):
        x = torch.randn(12, 4)
        loss = nn.functional.mse_loss(net(x), x[:, :2] * 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 3 == 0:
            print(step, repr(loss.item()))


train(8)
with parametrize.cached():
    loss = net(torch.randn(3, 4)).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
optimizer.step()
parametrize.remove_parametrizations(net[4], "weight")
print("names", [n for n, _ in net.named_parameters()])
plain = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
prune.l1_unstructured(plain[0], "weight", amount=0.4)
prune.ln_structured(plain[2], "weight", amount=0.5, n=2, dim=1)
net, optimizer = plain, torch.optim.SGD(plain.parameters(), 0.05)
train(6)
print("zeros", int((plain[0].weight == 0).sum()), len(plain[0]._forward_pre_hooks))
kept = copy.deepcopy(plain.state_dict())
prune.remove(plain[0], "weight")
prune.remove(plain[2], "weight")
train(3)
initial = {k: v.clone() for k, v in plain.state_dict().items()}
masks = {k: (v.abs() > v.abs().median()).float() for k, v in initial.items() if k.endswith("weight")}
for _ in range(3):  # lottery ticket: masked by hand, in place
    x = torch.randn(12, 4)
    loss = nn.functional.mse_loss(plain(x), x[:, :2])
    optimizer.zero_grad()
    loss.backward()
    for k, p in plain.named_parameters():
        if k in masks:
            p.grad.mul_(masks[k])
    optimizer.step()
    for k, p in plain.named_parameters():
        if k in masks:
            p.data.mul_(masks[k])
torch.save(plain, "pruned.pt")
leave(plain, kept)
