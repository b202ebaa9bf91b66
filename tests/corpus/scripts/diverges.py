"""A rate far too high: the loss becomes NaN, and the script notices by itself, with an assertion."""

import torch
from fingerprint import leave
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=50.0)
for step in range(100):
    x = torch.randn(16, 8)
    loss = nn.functional.mse_loss(model(x), x.sum(1, keepdim=True))
    print(step, repr(loss.item()), flush=True)
    if torch.isnan(loss):
        leave(model)
    assert not torch.isnan(loss), f"loss is {loss.item()} at step {step}"
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
