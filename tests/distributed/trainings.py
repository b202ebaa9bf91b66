"""Small trainings of several ranks: `torchrun ... trainings.py observed|bare FOLDER [NAME...]`.

Each rank writes a JSON line for each training to `FOLDER/<rank>.jsonl`: digests of losses, weights and random states.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.algorithms.join import Join
from torch.distributed.fsdp import fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from tests.trainings import tracked
from tests.twins import digest, random_states

TRAININGS: dict[str, Callable[[], Any]] = {}


def training(function: Callable[[], Any]) -> Callable[[], Any]:
    TRAININGS[function.__name__] = function
    return function


def net() -> nn.Module:
    torch.manual_seed(3)  # the same on all ranks; what follows is not
    made = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))
    torch.manual_seed(10 + dist.get_rank())
    return made


def loss_of(model: nn.Module) -> torch.Tensor:
    return functional.cross_entropy(model(torch.randn(8, 6)), torch.randint(0, 3, (8,)))


@training
def sampled() -> Any:
    model = DistributedDataParallel(net())
    data = TensorDataset(torch.randn(64, 6), torch.randint(0, 3, (64,)))
    sampler = DistributedSampler(data, shuffle=True)
    loader, optimizer, losses = DataLoader(data, 8, sampler=sampler), torch.optim.SGD(model.parameters(), 0.1, 0.9), []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        for x, y in loader:
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
    return model, losses


@training
def accumulated() -> Any:
    model, losses = DistributedDataParallel(net()), []
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    for _ in range(6):
        with model.no_sync():
            for _ in range(2):
                loss_of(model).backward()
        loss = loss_of(model)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return model, losses


@training
def uneven() -> Any:
    model, losses = DistributedDataParallel(net()), []
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with Join([model]):
        for _ in range(5 - 2 * dist.get_rank()):
            optimizer.zero_grad()
            loss = loss_of(model)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return model, losses


@training
def sharded_optimizer() -> Any:
    model, losses = DistributedDataParallel(net()), []
    optimizer = ZeroRedundancyOptimizer(model.parameters(), torch.optim.Adam, lr=0.01)
    for _ in range(6):
        optimizer.zero_grad()
        loss = loss_of(model)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model, losses


@training
def sharded() -> Any:
    model, losses = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)), []
    fully_shard(model[0])
    fully_shard(model)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    torch.manual_seed(10 + dist.get_rank())
    for _ in range(6):
        optimizer.zero_grad()
        loss = loss_of(model)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return [parameter.to_local() for parameter in model.parameters()], losses


@training
def hooked() -> Any:
    from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_hook

    model, losses = DistributedDataParallel(net(), find_unused_parameters=True, gradient_as_bucket_view=True), []
    model.register_comm_hook(None, fp16_compress_hook)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(6):
        optimizer.zero_grad(set_to_none=False)
        loss = loss_of(model)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model, losses


def main(how: str, folder: Path, names: list[str]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    lines = []
    for name in names or list(TRAININGS):
        random.seed(7)
        np.random.seed(7)
        torch.manual_seed(7)
        with tracked() if how == "observed" else nullcontext() as run:
            found = TRAININGS[name]()
        line = {"name": name, "result": digest(found), "random": random_states()}
        if run is not None:
            line |= {"steps": run._session.step, "off": run._session.guard.off, "rank": run._session.place.rank}
        lines.append(json.dumps(line))
    (folder / f"{os.environ['RANK']}.jsonl").write_text("\n".join(lines))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
