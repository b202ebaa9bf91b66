"""A tracked training of several ranks, in which `train.py WHAT...` lets something happen."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from tracker import Run, track


def train(rank: int, what: list[str], run: Run) -> None:
    torch.manual_seed(3)
    model: nn.Module = nn.Linear(6, 3)
    if "diverge" not in what:
        model = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    torch.manual_seed(10 + rank)
    for epoch in run.epochs(4):
        for number in range(5):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(torch.randn(8, 6)), torch.randint(0, 3, (8,)))
            if f"nan {rank}" in what and (epoch, number) == (1, 2):
                (loss.detach() * torch.nan).requires_grad_().backward()  # reaches no weight, and no other rank
            loss.backward()
            optimizer.step()
            if (epoch, number) == (2, 1):
                if f"kill {rank}" in what:
                    os.kill(os.getpid(), signal.SIGKILL)
                if f"fail {rank}" in what:
                    raise RuntimeError("on purpose")
        run.log(val_loss=float(rank))
        if "mlflow" in what:
            import mlflow

            if rank == 0 or "all" in what:
                mlflow.log_metric("own", rank, step=epoch)
    print("epochs", epoch + 1, flush=True)


def rank_main(rank: int, what: list[str]) -> None:
    torch.set_num_threads(1)
    if "alone" in what and rank:
        dist.init_process_group("gloo")
        Untracked: Any = type("Untracked", (), {"epochs": lambda self, n: range(n), "log": lambda self, **more: None})
        train(rank, what, Untracked())
        return
    stop = {"rules": {"stop": ["nonfinite-loss"]}} if "stop" in what else {}
    with track(Run("ranks", settings={"wait_seconds": 60, **stop})) as run:
        if "late" in what:
            store = f"file://{Path('store').absolute()}"
            dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
        else:
            dist.init_process_group("gloo")
        train(rank, what, run)
        Path(f"mlflow-{rank}").write_text(str(run.mlflow_run_id))
    dist.destroy_process_group()


if __name__ == "__main__":
    if "late" in sys.argv:
        mp.spawn(rank_main, (sys.argv[1:],), nprocs=2)
    else:
        rank_main(int(os.environ["RANK"]), sys.argv[1:])
