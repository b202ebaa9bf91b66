import atexit
import sys
import threading

import torch
from fingerprint import leave
from torch import nn

torch.manual_seed(1)
model = nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), 0.1)


@atexit.register
def goodbye():
    print("goodbye", repr(float(model.weight.sum())), flush=True)
    optimizer.zero_grad()
    model(torch.ones(2, 3)).sum().backward()  # some people train on in here
    optimizer.step()
    print("once more", repr(float(model.weight.sum())), threading.active_count())


for step in range(20):
    x = torch.randn(8, 3)
    loss = (model(x) - x.sum(1, keepdim=True)).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(step, repr(loss.item()))
    if step == 7:
        leave(model)
        print("not converged, giving up", file=sys.stderr)
        sys.exit(3)
