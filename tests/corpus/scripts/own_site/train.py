import os
import subprocess
import sys

import sitecustomize
import torch

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from fingerprint import leave

print("customized", sys.site_was_customized, sitecustomize.HERE, os.path.basename(sitecustomize.__file__))
ask = "import sys; print(sys.site_was_customized, 'torch' in sys.modules)"
print(subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True).stdout.split()[:2])
torch.manual_seed(0)
model = torch.nn.Linear(2, 1)
optimizer = torch.optim.Adam(model.parameters(), 0.1)
for _ in range(10):
    optimizer.zero_grad()
    loss = model(torch.randn(4, 2)).square().mean()
    loss.backward()
    optimizer.step()
print(repr(loss.item()))
leave(model)
