"""Whether worker processes of a loader draw the same random numbers: two are started, for one sample each."""

from __future__ import annotations

import os
from typing import Any

from torch import multiprocessing
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from ..probes.workers import generator_states
from ..rules.engine.records import Json
from .drawing import draw_objects

WORKERS = 2


class _Witness(Dataset[Any]):
    """In the place of the data set: makes a sample, and gives the states of the generators before and after."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Any:
        info = get_worker_info()
        before = generator_states(self._dataset)
        self._dataset[index]
        return (info.id if info is not None else -1, before, generator_states(self._dataset))


def generators_in_workers(loader: Any, seconds: float) -> dict[str, Json] | str:
    """By generator, `{"equal": both workers began in the same state, "drawn": a sample was made with it,
    "same_each_pass": a worker began a second pass in the state it began the first with}`; or why that is not known."""
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset) or loader.num_workers < 2:
        return "the loader has fewer than 2 workers"
    context = loader.multiprocessing_context
    method = context.get_start_method() if context is not None else multiprocessing.get_start_method()
    if method != "fork" or not hasattr(os, "fork"):
        return f"its workers are started by {method}: that takes long"
    passes = []
    for _ in range(2):
        found: list[Any] = []
        reason = draw_objects(_beside(loader, seconds), found.append, seconds)
        told = {worker: (before, after) for worker, before, after in found}
        if reason or len(told) < WORKERS:
            return reason or "its workers gave nothing"
        passes.append(told)
    first, second = passes
    names = [name for name in first[0][0] if all(name in first[worker][0] for worker in range(WORKERS))]
    return {
        name: {
            "equal": first[0][0][name] == first[1][0][name],
            "drawn": any(first[worker][0][name] != first[worker][1].get(name) for worker in range(WORKERS)),
            "same_each_pass": None
            if loader.persistent_workers
            else any(first[worker][0][name] == second[worker][0].get(name) for worker in range(WORKERS)),
        }
        for name in names
    }


def _beside(loader: DataLoader[Any], seconds: float) -> DataLoader[Any]:
    """A loader with workers that begin as those of the user's: the same seeds, the same `worker_init_fn`."""
    return DataLoader(
        _Witness(loader.dataset),
        batch_size=1,
        sampler=[0] * WORKERS,
        num_workers=WORKERS,
        collate_fn=_alone,
        worker_init_fn=loader.worker_init_fn,
        generator=loader.generator,
        timeout=seconds,
        multiprocessing_context="fork",
    )


def _alone(samples: list[Any]) -> Any:
    return samples[0]
