"""Hooks of its own, of every kind: on modules, tensors, gradients, optimizers, and global ones."""

from collections import Counter

import torch
from fingerprint import leave
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_full_backward_hook
from torch.optim.optimizer import register_optimizer_step_post_hook

torch.manual_seed(6)
net = nn.Sequential(nn.Linear(5, 10), nn.ReLU(), nn.Linear(10, 10), nn.ReLU(), nn.Linear(10, 2))
calls, order, activations = Counter(), [], {}


def keep(name):
    def hook(module, args, output):
        activations[name] = output.detach()
        calls["forward"] += 1
        return output * 1.0

    return hook


handles = [m.register_forward_hook(keep(n)) for n, m in net.named_modules() if isinstance(m, nn.Linear)]
handles.append(net.register_forward_pre_hook(lambda module, args: order.append("pre") or (args[0] + 0.0,)))
handles.append(net[2].register_full_backward_hook(lambda m, gi, go: order.append("full") or (gi[0] * 0.5,)))
handles.append(net[4].register_full_backward_pre_hook(lambda m, go: order.append("full pre")))
handles.append(net[0].weight.register_hook(lambda g: g.clamp(-0.1, 0.1)))
handles.append(register_module_forward_hook(lambda m, a, o: calls.update([type(m).__name__])))
handles.append(register_module_full_backward_hook(lambda m, gi, go: calls.update(["back " + type(m).__name__])))
handles.append(register_optimizer_step_post_hook(lambda o, a, k: order.append("step")))
optimizer = torch.optim.SGD(net.parameters(), 0.1)
optimizer.register_step_pre_hook(lambda o, a, k: order.append("own pre"))
optimizer.register_step_post_hook(lambda o, a, k: order.append("own post"))
for step in range(6):
    x, y = torch.randn(8, 5), torch.randint(0, 2, (8,))
    optimizer.zero_grad()
    hidden = net(x)
    hidden.retain_grad()
    hidden.register_hook(lambda g: order.append("tensor"))
    loss = nn.functional.cross_entropy(hidden, y)
    loss.backward()
    optimizer.step()
    print(step, repr(loss.item()), float(hidden.grad.norm()), {k: float(v.mean()) for k, v in activations.items()})
print(order[:12], sorted(calls.items()))
for handle in handles:
    handle.remove()

# The optimizer in the backward pass: one for each parameter, stepped as soon as its gradient is there.
per_parameter = {p: torch.optim.Adam([p], lr=1e-2, foreach=False) for p in net.parameters()}


def fused_step(p):
    per_parameter[p].step()
    per_parameter[p].zero_grad()


for p in net.parameters():
    p.register_post_accumulate_grad_hook(fused_step)
for step in range(5):
    x, y = torch.randn(8, 5), torch.randint(0, 2, (8,))
    loss = nn.functional.cross_entropy(net(x), y)
    loss.backward()
    print("in backward", step, repr(loss.item()), all(p.grad is None for p in net.parameters()))
print(len(net._forward_hooks), [len(m._backward_hooks) for m in net], sum(calls.values()))
leave(net)
