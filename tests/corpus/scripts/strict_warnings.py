"""Turns everything strict: warnings are errors, numbers are double, algorithms deterministic, the stack is short."""

import sys
import warnings

warnings.simplefilter("error")

import torch  # noqa: E402
from fingerprint import leave  # noqa: E402
from torch import nn  # noqa: E402

sys.setrecursionlimit(400)
torch.use_deterministic_algorithms(True)
torch.set_default_dtype(torch.float64)
torch.set_default_device("cpu")
torch.autograd.set_detect_anomaly(True, check_nan=True)
torch.set_printoptions(precision=12)
torch.utils.deterministic.fill_uninitialized_memory = True
torch.manual_seed(3)


class Recursive(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.Linear(4, 4)

    def forward(self, x, depth=40):
        return x if depth == 0 else self.forward(torch.tanh(self.cell(x)) + 0.5 * x, depth - 1)


model = nn.Sequential(nn.Linear(6, 4), Recursive(), nn.Linear(4, 3))
optimizer = torch.optim.Adagrad(model.parameters(), lr=0.05)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 4)
print([p.dtype for p in model.parameters()][:1], torch.are_deterministic_algorithms_enabled())
for step in range(12):
    x = torch.randn(8, 6)
    loss = nn.functional.cross_entropy(model(x), x[:, :3].argmax(1), weight=torch.tensor([1.0, 2.0, 0.5]))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    print(step, loss.detach())
with torch.device("meta"):
    ghost = nn.Linear(100000, 100000)
print(ghost.weight.device, ghost(torch.empty(2, 100000, device="meta")).shape)
small = nn.utils.skip_init(nn.Linear, 4, 2)
nn.init.constant_(small.weight, 0.1)
nn.init.zeros_(small.bias)
print(small(torch.ones(1, 4)))
warnings.resetwarnings()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    torch.optim.lr_scheduler.StepLR(torch.optim.SGD(small.parameters(), 0.1), 1).step()
print([(w.category.__name__, w.lineno) for w in caught])
leave(model, optimizer)
