"""Watches its own memory: what is deleted must be gone, at once and without the garbage collector."""

import gc
import weakref

import torch
from fingerprint import leave
from torch import nn

collections = []
gc.callbacks.append(lambda phase, info: collections.append(phase) if phase == "start" else None)
gc.collect()
gc.disable()
torch.manual_seed(50)


def live_tensors():
    return sum(1 for o in gc.get_objects() if type(o) in (torch.Tensor, nn.Parameter) and o.requires_grad)


def train(steps):
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 4))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    loader = torch.utils.data.DataLoader(torch.randn(32, 8), batch_size=8)
    seen = []
    for step in range(steps):
        for x in loader:
            hidden = model[0](x)
            gone = weakref.ref(hidden), weakref.ref(x)
            loss = model[1:](hidden).logsumexp(1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            del hidden, x, loss
            seen.append([ref() is None for ref in gone])
        with torch.no_grad():
            out = weakref.ref(model(torch.zeros(1, 8)))
        seen.append(out() is None)
    print("freed in the loop", seen[0], all(s == [True] * 2 or s is True for s in seen), len(seen))
    return [weakref.ref(model), weakref.ref(optimizer), weakref.ref(model[0].weight), weakref.ref(loader)], model


before = live_tensors()
for run in range(3):
    torch.manual_seed(run)
    refs, model = train(4)
    state = {k: v.sum().item() for k, v in model.state_dict().items()}
    del model
    print(run, "alive", [ref() is not None for ref in refs], "tensors", live_tensors() - before, state["0.bias"])
    gc.collect()
    print(run, "alive after collection", [ref() is not None for ref in refs], "tensors", live_tensors() - before)
print("collections", len(collections), "garbage", len(gc.garbage))
leave()
