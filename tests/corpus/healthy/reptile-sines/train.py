"""Reptile on sine waves of random amplitude and phase."""

import argparse
import math

import torch
from torch import nn


def sample_task():
    amplitude, phase = 0.5 + 2.0 * torch.rand(1), math.pi * torch.rand(1)
    return lambda x: amplitude * torch.sin(x + phase)


def fast_train(model, task, lr, inner_steps, shots=10):
    x = 10 * torch.rand(shots, 1) - 5
    y = task(x)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for _ in range(inner_steps):
        loss = nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def evaluate(model, lr, n_tasks=10):
    start = {k: v.clone() for k, v in model.state_dict().items()}
    grid, before, after = torch.linspace(-5, 5, 100)[:, None], 0.0, 0.0
    for _ in range(n_tasks):
        task = sample_task()
        before += nn.functional.mse_loss(model(grid), task(grid)).item() / n_tasks
        fast_train(model, task, lr, 16)
        after += nn.functional.mse_loss(model(grid), task(grid)).item() / n_tasks
        model.load_state_dict(start)
    return before, after


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--meta-iterations", type=int, default=500)
    parser.add_argument("--inner-lr", type=float, default=0.02)
    parser.add_argument("--meta-lr", type=float, default=0.5)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    model = nn.Sequential(nn.Linear(1, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))

    for it in range(args.meta_iterations):
        old = {k: v.clone() for k, v in model.state_dict().items()}
        fast_train(model, sample_task(), args.inner_lr, inner_steps=5)
        frac = args.meta_lr * (1 - it / args.meta_iterations)
        new = model.state_dict()
        model.load_state_dict({k: old[k] + frac * (new[k] - old[k]) for k in old})
        if (it + 1) % 125 == 0:
            before, after = evaluate(model, args.inner_lr)
            print(f"iteration {it + 1}: mse before adaptation {before:.3f}, after 16 steps {after:.3f}")


main()
