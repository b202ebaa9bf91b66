import argparse

import torch
from fingerprint import leave
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F


def sine_task(shots):
    amplitude, phase = torch.rand(()) * 4 + 0.1, torch.rand(()) * 3.14
    x = torch.rand(2 * shots, 1) * 10 - 5
    y = amplitude * torch.sin(x + phase)
    return (x[:shots], y[:shots]), (x[shots:], y[shots:])


class MetaLearner(nn.Module):
    def __init__(self, args):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, 20), nn.ReLU(), nn.Linear(20, 1))
        self.args = args
        self.meta_optim = torch.optim.Adam(self.net.parameters(), lr=args.meta_lr)

    def adapt(self, support, create_graph):
        fast = dict(self.net.named_parameters())
        for _ in range(self.args.update_step):
            loss = F.mse_loss(functional_call(self.net, fast, (support[0],)), support[1])
            grads = torch.autograd.grad(loss, list(fast.values()), create_graph=create_graph)
            fast = {name: p - self.args.update_lr * g for (name, p), g in zip(fast.items(), grads)}
        return fast

    def forward(self, tasks):
        losses = []
        for support, query in tasks:
            fast = self.adapt(support, create_graph=True)
            losses.append(F.mse_loss(functional_call(self.net, fast, (query[0],)), query[1]))
        loss = torch.stack(losses).mean()
        self.meta_optim.zero_grad()
        loss.backward()
        self.meta_optim.step()
        return loss.item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--meta_lr", type=float, default=1e-3)
    parser.add_argument("--update_lr", type=float, default=0.01)
    parser.add_argument("--update_step", type=int, default=2)
    args = parser.parse_args()
    torch.manual_seed(222)
    maml = MetaLearner(args)
    for step in range(20):
        loss = maml([sine_task(5) for _ in range(4)])
        if step % 5 == 0:
            print("step:", step, "\tquery loss:", repr(loss))
    support, query = sine_task(5)
    tuned = maml.adapt(support, create_graph=False)
    print("after adaptation", F.mse_loss(functional_call(maml.net, tuned, (query[0],)), query[1]).item())
    leave(maml.net, maml.meta_optim)


if __name__ == "__main__":
    main()
