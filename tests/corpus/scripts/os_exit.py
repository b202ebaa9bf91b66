import os
import sys

import torch
from fingerprint import leave
from torch import nn

torch.manual_seed(0)
model = nn.GRU(3, 4, batch_first=True)
head = nn.Linear(4, 1)
optimizer = torch.optim.NAdam([*model.parameters(), *head.parameters()], 1e-2)
for step in range(15):
    x = torch.randn(6, 5, 3)
    loss = (head(model(x)[0][:, -1]).squeeze() - x.mean((1, 2))).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(step, repr(loss.item()))
leave(model, head)
sys.stdout.flush()
os._exit(5)
