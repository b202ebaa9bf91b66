"""A search for hyperparameters over processes: the trainings are in the children, and in the parent at the end."""

import itertools
import multiprocessing as mp
import sys

import torch
from fingerprint import leave
from torch import nn


def objective(config):
    lr, width = config
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr)
    for _ in range(15):
        x = torch.randn(16, 3)
        loss = nn.functional.mse_loss(model(x), x.sum(1, keepdim=True))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def worker(inbox, outbox):
    for config in iter(inbox.get, None):
        outbox.put((config, objective(config)))


if __name__ == "__main__":
    grid = list(itertools.product([0.01, 0.1], [4, 8]))
    method = sys.argv[1] if len(sys.argv) > 1 else "fork"
    context = mp.get_context(method)
    with context.Pool(2) as pool:
        scores = pool.map(objective, grid)
    print(list(zip(grid, map(repr, scores))))
    inbox, outbox = context.Queue(), context.Queue()
    process = context.Process(target=worker, args=(inbox, outbox))
    process.start()
    inbox.put((0.05, 4))
    print("from a process", outbox.get())
    inbox.put(None)
    process.join()
    print("exit code", process.exitcode, mp.active_children())
    best = grid[min(range(len(grid)), key=scores.__getitem__)]
    print("best", best, repr(objective(best)))
    leave(scores)
