"""Rewrites a model with torch.fx, trains what comes out, and counts what the interpreter sees."""

from collections import Counter

import torch
import torch.fx as fx
import torch.nn as nn
from fingerprint import leave
from torch.fx.experimental.optimization import fuse
from torch.nn.functional import nll_loss

torch.manual_seed(2)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AvgPool2d(4))
        self.scale = nn.Parameter(torch.ones(1))
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        return torch.log_softmax(self.head(self.features(x).flatten(1) * self.scale), dim=1)


def replace_relu(module):
    traced = fx.symbolic_trace(module)
    modules = dict(traced.named_modules())
    for node in traced.graph.nodes:
        if node.op == "call_module" and isinstance(modules[node.target], nn.ReLU):
            with traced.graph.inserting_after(node):
                new = traced.graph.call_function(torch.nn.functional.silu, node.args, node.kwargs)
                node.replace_all_uses_with(new)
            traced.graph.erase_node(node)
    traced.graph.lint()
    traced.recompile()
    return traced


class Profile(fx.Interpreter):
    def __init__(self, module):
        super().__init__(module)
        self.calls = Counter()

    def run_node(self, node):
        self.calls[node.op] += 1
        return super().run_node(node)


model = Model()
traced = replace_relu(model)
print(traced.code)
optimizer = torch.optim.SGD(traced.parameters(), lr=0.1, momentum=0.5)
for step in range(12):
    x, y = torch.randn(16, 1, 8, 8), torch.randint(0, 5, (16,))
    optimizer.zero_grad()
    loss = nll_loss(traced(x), y)
    loss.backward()
    optimizer.step()
    print(step, repr(loss.item()))
    if step == 6:  # traced and fused while it is being trained
        fused = fuse(fx.symbolic_trace(traced).eval())
        print("fused", fused(x).sum().item(), sum(1 for _ in fused.modules()))
        traced.train()
profile = Profile(traced)
profile.run(torch.randn(2, 1, 8, 8))
print(sorted(profile.calls.items()))
torch.save(traced, "traced.pt")
print("loaded", type(torch.load("traced.pt", weights_only=False)).__name__)
leave(model, traced)
