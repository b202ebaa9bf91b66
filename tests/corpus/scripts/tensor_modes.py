"""Tensor subclasses, function and dispatch modes, the profiler and a FLOP counter of the user's own."""

from collections import Counter

import torch
from fingerprint import leave
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

torch.manual_seed(0)


class Logged(torch.Tensor):
    calls = Counter()

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        cls.calls[getattr(func, "__name__", str(func))] += 1
        return super().__torch_function__(func, types, args, kwargs or {})


class Wrapped(torch.Tensor):
    """A wrapper around an inner tensor, all of it in __torch_dispatch__."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        def unwrap(t):
            return t.inner if isinstance(t, Wrapped) else t

        out = func(*torch.utils._pytree.tree_map(unwrap, args), **torch.utils._pytree.tree_map(unwrap, kwargs or {}))
        return torch.utils._pytree.tree_map(lambda t: Wrapped(t) if isinstance(t, torch.Tensor) else t, out)


class CountFunctions(TorchFunctionMode):
    def __init__(self):
        self.calls = Counter()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.calls[getattr(func, "__name__", str(func))] += 1
        return func(*args, **(kwargs or {}))


class CountOps(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.calls = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls[str(func)] += 1
        return func(*args, **(kwargs or {}))


model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
optimizer = torch.optim.SGD(model.parameters(), 0.1)


def step(x):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), torch.arange(6) % 3)
    loss.backward()
    optimizer.step()
    return loss.item()


for kind in (torch.Tensor, Logged):
    for _ in range(4):
        print(kind.__name__, repr(step(torch.randn(6, 4).as_subclass(kind))))
print(sorted(Logged.calls.items()))
for mode in (CountFunctions(), CountOps()):
    with mode:
        for _ in range(3):
            print(type(mode).__name__, repr(step(torch.randn(6, 4))))
    print(sorted(mode.calls.items()))
with FlopCounterMode(display=False) as flops:
    step(torch.randn(6, 4))
print("flops", flops.get_total_flops())
with profile(activities=[ProfilerActivity.CPU], record_shapes=False) as prof:
    for _ in range(2):
        step(torch.randn(6, 4))
print("profile", sorted((e.key, e.count) for e in prof.key_averages() if e.key.startswith("aten::")))
weight = Wrapped(torch.randn(3, 3)).requires_grad_()
sgd = torch.optim.SGD([weight], 0.1, foreach=False)
for _ in range(3):
    loss = (weight * weight).sum()
    sgd.zero_grad()
    loss.backward()
    sgd.step()
    print("wrapped", type(loss).__name__, repr(loss.inner.item()))
leave(model, weight.inner)
