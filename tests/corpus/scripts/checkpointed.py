import torch
import torch.nn as nn
from fingerprint import leave
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

torch.manual_seed(30)


class Block(nn.Module):
    def __init__(self, d, use_reentrant):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(d, d), nn.LayerNorm(d), nn.GELU(), nn.Dropout(0.2), nn.Linear(d, d))
        self.use_reentrant = use_reentrant

    def forward(self, x):
        if self.training and self.use_reentrant is not None:
            return x + checkpoint(self.net, x, use_reentrant=self.use_reentrant, preserve_rng_state=True)
        return x + self.net(x)


def run(model, steps, around=None):
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for step in range(steps):
        x, y = torch.randn(8, 6), torch.randint(0, 3, (8,))
        optimizer.zero_grad()
        if around is None:
            loss = nn.functional.cross_entropy(model(x), y)
        else:
            with around():
                loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        if step % 4 == 0:
            print(step, repr(loss.item()))
    return optimizer


packed = []


def quantize():
    def pack(t):
        packed.append(tuple(t.shape))
        return (t.dtype, t.half()) if t.is_floating_point() else (t.dtype, t)

    return saved_tensors_hooks(pack, lambda stored: stored[1].to(stored[0]))


everything = []
for how in (True, False, None):
    print("use_reentrant", how)
    model = nn.Sequential(nn.Linear(6, 10), Block(10, how), Block(10, how), nn.Linear(10, 3))
    everything += [model, run(model, 9)]
print("sequential")
blocks = nn.Sequential(*[Block(6, None) for _ in range(4)])
head = nn.Linear(6, 3)
optimizer = torch.optim.SGD([*blocks.parameters(), *head.parameters()], 0.05)
for _ in range(5):
    x = torch.randn(8, 6, requires_grad=True)
    loss = head(checkpoint_sequential(blocks, 2, x, use_reentrant=False)).logsumexp(1).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(repr(loss.item()))
model = nn.Sequential(nn.Linear(6, 10), Block(10, None), nn.Linear(10, 3))
print("offloaded")
run(model, 5, around=save_on_cpu)
print("packed")
run(model, 5, around=quantize)
print(len(packed), packed[:6])
leave(everything, blocks, head, model)
