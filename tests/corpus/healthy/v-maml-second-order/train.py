"""MAML (second order) for 10-shot sine regression."""

import argparse
import math

import torch
import torch.nn.functional as F
from torch.func import functional_call


class SineNet(torch.nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.a = torch.nn.Linear(1, width)
        self.b = torch.nn.Linear(width, width)
        self.c = torch.nn.Linear(width, 1)

    def forward(self, x):
        return self.c(torch.tanh(self.b(torch.tanh(self.a(x)))))


def sample_task():
    amp = torch.rand(1) * 2 + 0.5
    phase = torch.rand(1) * math.pi

    def draw(k):
        x = torch.rand(k, 1) * 6 - 3
        return x, amp * torch.sin(x + phase)

    return draw


def adapt(net, params, x, y, lr, steps, create_graph):
    for _ in range(steps):
        loss = F.mse_loss(functional_call(net, params, (x,)), y)
        grads = torch.autograd.grad(loss, list(params.values()), create_graph=create_graph)
        params = {k: p - lr * g for (k, p), g in zip(params.items(), grads)}
    return params


def meta_test(net, lr, tasks):
    before, after = 0.0, 0.0
    for xs, ys, xq, yq in tasks:
        start = {k: p.detach().clone().requires_grad_() for k, p in net.named_parameters()}
        before += F.mse_loss(functional_call(net, start, (xq,)), yq).item()
        fast = adapt(net, start, xs, ys, lr, 5, create_graph=False)
        with torch.no_grad():
            after += F.mse_loss(functional_call(net, fast, (xq,)), yq).item()
    return before / len(tasks), after / len(tasks)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--iterations", type=int, default=400)
    parser.add_argument("--tasks", type=int, default=4)
    parser.add_argument("--inner-lr", type=float, default=0.05)
    parser.add_argument("--meta-lr", type=float, default=4e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    net = SineNet()
    meta_opt = torch.optim.Adam(net.parameters(), lr=args.meta_lr)
    held_out = []
    for _ in range(40):
        draw = sample_task()
        held_out.append((*draw(10), *draw(50)))

    for it in range(1, args.iterations + 1):
        meta_opt.zero_grad()
        meta_loss = 0.0
        for _ in range(args.tasks):
            draw = sample_task()
            (xs, ys), (xq, yq) = draw(10), draw(20)
            fast = adapt(net, dict(net.named_parameters()), xs, ys, args.inner_lr, 2, True)
            meta_loss = meta_loss + F.mse_loss(functional_call(net, fast, (xq,)), yq) / args.tasks
        meta_loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        meta_opt.step()
        if it % 40 == 0:
            b, a = meta_test(net, args.inner_lr, held_out)
            print(
                f"iteration {it} meta loss {meta_loss.item():.3f} | held-out tasks: "
                f"before {b:.3f} after five steps {a:.3f}"
            )
