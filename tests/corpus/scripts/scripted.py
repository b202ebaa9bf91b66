import io
import warnings

import torch
import torch.nn as nn
from fingerprint import leave

warnings.filterwarnings("ignore", category=DeprecationWarning)
torch.manual_seed(10)


class Cell(nn.Module):
    def __init__(self, n_in: int, n_hid: int):
        super().__init__()
        self.i2h, self.h2h = nn.Linear(n_in, n_hid), nn.Linear(n_hid, n_hid)

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        if bool(x.sum() > 1e6):
            return h
        return torch.tanh(self.i2h(x) + self.h2h(h))


class RNN(nn.Module):
    def __init__(self, n_in: int, n_hid: int, n_out: int):
        super().__init__()
        self.cell, self.out, self.n_hid = Cell(n_in, n_hid), nn.Linear(n_hid, n_out), n_hid
        self.loss = nn.CrossEntropyLoss()

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        h = torch.zeros(x.size(1), self.n_hid)
        for t in range(x.size(0)):
            h = self.cell(x[t], h)
        logits = self.out(h)
        return logits, self.loss(logits, y)


@torch.jit.script
def smooth(loss: torch.Tensor, before: float, alpha: float = 0.9) -> float:
    return alpha * before + (1 - alpha) * float(loss.item())


plain = RNN(3, 8, 4)
model = torch.jit.script(plain)
optimizer = torch.optim.Adagrad(model.parameters(), 0.05)
average = 0.0
for step in range(12):
    x, y = torch.randn(5, 10, 3), torch.randint(0, 4, (10,))
    optimizer.zero_grad()
    logits, loss = model(x, y)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    average = smooth(loss.detach(), average)
    print(step, repr(loss.item()), repr(average))
    if step == 5:  # in the middle of training: export, load, trace, freeze
        model.save("scripted.pt")
        again = torch.jit.load("scripted.pt")
        print("same", torch.equal(again(x, y)[0], model(x, y)[0]))
        traced = torch.jit.trace(nn.Sequential(plain.cell.i2h, nn.ReLU()), torch.randn(2, 3))
        frozen = torch.jit.freeze(torch.jit.script(plain.cell).eval())
        print("graph", len(str(traced.inlined_graph)), len(str(frozen.graph)))
        print(model.code)
tuned = torch.jit.trace(nn.Sequential(nn.Linear(3, 3), nn.Sigmoid()), torch.randn(2, 3))
optimizer = torch.optim.SGD(tuned.parameters(), 0.5)
for _ in range(6):
    optimizer.zero_grad()
    loss = nn.functional.binary_cross_entropy(tuned(torch.randn(8, 3)), torch.rand(8, 3))
    loss.backward()
    optimizer.step()
buffer = io.BytesIO()
torch.jit.save(tuned, buffer)
print("tuned", repr(loss.item()))
leave(dict(model.state_dict()), dict(tuned.state_dict()))
