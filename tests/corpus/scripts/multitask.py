from dataclasses import dataclass

import torch
from fingerprint import leave
from torch import Tensor, nn


@dataclass
class Output:
    shape: Tensor
    colour: Tensor
    size: Tensor
    hidden: Tensor | None = None


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(12, 24), nn.ReLU())
        self.heads = nn.ModuleDict({"shape": nn.Linear(24, 3), "colour": nn.Linear(24, 4), "size": nn.Linear(24, 1)})
        self.log_vars = nn.Parameter(torch.zeros(3))

    def forward(self, batch: dict[str, Tensor]) -> Output:
        hidden = self.trunk(batch["x"])
        return Output(**{k: head(hidden) for k, head in self.heads.items()}, hidden=hidden.detach())


def batches(n, size=16):
    for _ in range(n):
        x = torch.randn(size, 12)
        yield {
            "x": x,
            "shape": x[:, :3].argmax(1),
            "colour": (x[:, 3:7] > 0).float(),
            "size": x[:, 7:8] * 2 + 1,
        }


torch.manual_seed(2)
net = Shared()
optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
terms = {"shape": nn.CrossEntropyLoss(), "colour": nn.BCEWithLogitsLoss(pos_weight=torch.ones(4) * 2),
         "size": nn.MSELoss()}  # fmt: skip
for step, batch in enumerate(batches(30)):
    out = net(batch)
    losses = {name: term(getattr(out, name), batch[name]) for name, term in terms.items()}
    weighted = [losses[k] * torch.exp(-v) + v for k, v in zip(losses, net.log_vars)]
    loss = sum(weighted)
    if step % 3 == 0:
        loss = loss + 1e-3 * sum(p.abs().sum() for p in net.trunk.parameters())
    optimizer.zero_grad()
    if step % 5 == 4:  # gradients term by term, then put together
        for one in weighted:
            one.backward(retain_graph=True)
    else:
        loss.backward()
    optimizer.step()
    if step % 10 == 0:
        print(step, {k: repr(v.item()) for k, v in losses.items()}, repr(loss.item()), out.hidden.shape)

shared = list(net.trunk.parameters())
for step, batch in enumerate(batches(4)):  # PCGrad-like: one gradient for each task, by autograd.grad
    out = net(batch)
    grads = [torch.autograd.grad(terms[k](getattr(out, k), batch[k]), shared, retain_graph=True) for k in terms]
    optimizer.zero_grad()
    for i, p in enumerate(shared):
        p.grad = sum(g[i] for g in grads) / len(grads)
    optimizer.step()
    print("surgery", step, [float(g[0].norm()) for g in grads])
leave(net, optimizer)
