"""Data loaders with worker processes of every kind, collate functions, iterable data, seeds per worker."""

import os
import random

import numpy as np
import torch
import torch.nn as nn
from fingerprint import leave
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info


class Noisy(Dataset):
    def __init__(self, n=48):
        self.base = torch.arange(n * 4, dtype=torch.float32).view(n, 4) / (4 * n)

    def __len__(self):
        return len(self.base)

    def __getitem__(self, i):
        jitter = torch.rand(4) + random.random() + float(np.random.rand())
        return {"x": self.base[i] + jitter, "y": i % 2, "name": f"item{i}"}


class Stream(IterableDataset):
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        info = get_worker_info()
        step, start = (1, 0) if info is None else (info.num_workers, info.id)
        for i in range(start, self.n, step):
            yield torch.full((4,), i / self.n), torch.tensor(float(i % 3))


def seed_worker(worker_id):
    worker_seed = torch.initial_seed() % 2**32
    np.random.seed(worker_seed)
    random.seed(worker_seed)


def collate(items):
    x = torch.stack([item["x"] for item in items])
    return x, torch.tensor([item["y"] for item in items]).float(), [item["name"] for item in items]


def main():
    torch.manual_seed(77)
    np.random.seed(77)
    random.seed(77)
    generator = torch.Generator()
    generator.manual_seed(0)
    loaders = {
        "fork": DataLoader(Noisy(), 8, shuffle=True, num_workers=2, collate_fn=collate, worker_init_fn=seed_worker,
                           generator=generator, multiprocessing_context="fork"),
        "persistent": DataLoader(Noisy(), 8, shuffle=True, num_workers=1, collate_fn=collate, persistent_workers=True,
                                 prefetch_factor=4, worker_init_fn=seed_worker, multiprocessing_context="fork"),
        "spawn": DataLoader(Noisy(24), 8, shuffle=True, num_workers=1, collate_fn=collate, worker_init_fn=seed_worker,
                            multiprocessing_context="spawn"),
        "stream": DataLoader(Stream(30), batch_size=5, num_workers=2),
        "single": DataLoader(Stream(12), batch_size=None),
    }  # fmt: skip
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    for name, loader in loaders.items():
        for epoch in range(2 if name != "spawn" else 1):
            seen = []
            for batch in loader:
                x, y = batch[0], batch[1]
                loss = nn.functional.mse_loss(model(x).squeeze(-1), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                seen += batch[2][:1] if len(batch) > 2 else [int(torch.as_tensor(batch[1]).sum())]
            print(name, epoch, repr(loss.item()), seen)
    del loaders
    left = iter(DataLoader(Noisy(), 4, num_workers=1, collate_fn=collate))  # abandoned with its worker alive
    print(next(left)[0].shape)
    print("children", len([pid for pid in os.listdir("/proc") if pid == str(os.getpid())]))
    leave(model)


if __name__ == "__main__":
    main()
