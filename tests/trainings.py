"""Small trainings, tracked: enters a run without the process that uploads it, and reads its journal back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch.utils.data import DataLoader, TensorDataset

from tracker import Run, track
from tracker import session as sessions
from tracker.journal import JournalReader
from tracker.rules.engine.records import Event, Fact, Reading, Record
from tracker.rundir import RunDir


def _captured_at_once(rundir: RunDir) -> None:
    """Takes the place of the sidecar: says that all is captured, and uploads nothing."""
    (rundir.capture / "code.json").write_text("{}")
    rundir.update_state(captured=True, capture_gaps=[])


@contextmanager
def tracked(name: str | None = None, *, settings: dict[str, Any] | Path | None = None, **options: Any) -> Iterator[Run]:
    """`with track(Run(...))`, without a sidecar and without its waits."""
    chosen = settings if isinstance(settings, Path) else {"wait_seconds": 0, **(settings or {})}
    run = Run(name, settings=chosen, quiet=True, **options)
    block = track(run)
    with mock.patch.object(sessions, "start_sidecar", _captured_at_once):
        entered = block.__enter__()
    try:
        yield entered
    except BaseException as error:
        block.__exit__(type(error), error, error.__traceback__)
        raise
    block.__exit__(None, None, None)


def records(run: Run) -> list[Record]:
    """Everything in the journal of a run."""
    assert run._session is not None
    return [record for _, record in JournalReader(run._session.rundir.journal).read()]


def readings(run: Run, signal: str, subject: str | None = None) -> list[tuple[int, float]]:
    """(step, value) of one signal, of all its subjects unless one is named."""
    return [
        (r.step, r.value)
        for r in records(run)
        if isinstance(r, Reading) and r.signal == signal and subject in (None, r.subject)
    ]


def subjects(run: Run, signal: str) -> set[str]:
    """What the readings of a signal are about."""
    return {r.subject for r in records(run) if isinstance(r, Reading) and r.signal == signal}


def events(run: Run, name: str) -> list[Event]:
    """The events of one name."""
    return [r for r in records(run) if isinstance(r, Event) and r.name == name]


def facts(run: Run, name: str) -> list[Any]:
    """The values of a fact, in the order in which they were so."""
    return [r.value for r in records(run) if isinstance(r, Fact) and r.name == name]


def fault_parts(run: Run) -> list[str]:
    """The parts that were switched off, as the journal tells."""
    return [str(event.data["part"]) for event in events(run, "fault")]


def mlp(n_in: int = 6, n_out: int = 3, seed: int = 0) -> torch.nn.Sequential:
    """A classifier with two layers, always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.nn.Sequential(torch.nn.Linear(n_in, 8), torch.nn.ReLU(), torch.nn.Linear(8, n_out))


def data(n: int = 24, n_in: int = 6, n_out: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and labels, always the same."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, n_in, generator=generator), torch.randint(0, n_out, (n,), generator=generator)


def loader(n: int = 24, batch_size: int = 8, **options: Any) -> DataLoader[Any]:
    """A loader of `n / batch_size` batches, not shuffled."""
    return DataLoader(TensorDataset(*data(n)), batch_size=batch_size, **options)


def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor) -> float:
    """One usual training step; the loss."""
    optimizer.zero_grad()
    loss = torch.nn.functional.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()
