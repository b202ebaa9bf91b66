import os
import sys

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import torch
from fingerprint import leave
from rules.board import legal

import rules
import tracker

run = tracker.Run("mine")
torch.manual_seed(0)
model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), 0.1)
for step in range(10):
    x = torch.randn(4, 2)
    loss = model(x).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    run.log(loss=loss.item())
print([repr(row["loss"]) for row in run.rows], all(map(legal, run.rows)))
print(tracker.__file__.endswith("own_tracker/tracker.py"), rules.__file__.endswith("own_tracker/rules/__init__.py"))
print(sorted(name for name in sys.modules if name.split(".")[0] in ("tracker", "rules")))
leave(model)
