"""A real training for tests of the report: pictures, three classes, an evaluation after each epoch."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from tests.trainings import tracked
from tracker.journal import JournalReader
from tracker.report.gathering.gathered import Gathered
from tracker.report.gathering.sources import Source


def _pictures(n: int) -> TensorDataset:
    """(n, 1, 8, 8) floats: noise, and one of three bright rows, which is the class."""
    pictures, labels = torch.rand(n, 1, 8, 8), torch.arange(n) % 3
    pictures[torch.arange(n), 0, 2 * labels] += 1
    return TensorDataset(pictures, labels)


@pytest.fixture(scope="session")
def trained_source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    """A run of a small convolutional net over 4 epochs of 6 steps, with saliency, as its journal has it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("TRACKER_", "MLFLOW_"))]:
            patch.delenv(name)
        patch.setenv("TRACKER_HOME", str(tmp_path_factory.mktemp("trained")))
        for switch in ("STRICT", "NO_RESOLVE", "NO_REPORT"):
            patch.setenv(f"TRACKER_{switch}", "1")
        with torch.random.fork_rng():
            torch.manual_seed(0)
            run = _train()
        assert run._session is not None
        gathered = Gathered()
        for time, record in JournalReader(run._session.rundir.journal).read():
            gathered.take(time, record)
        yield Source("trained", name="pictures", status="FINISHED", gathered=gathered)


def _train():  # type: ignore[no-untyped-def]
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    training, held_out = DataLoader(_pictures(48), 8, shuffle=True), DataLoader(_pictures(24), 8)
    with tracked("pictures", settings={"report": {"saliency": 2, "samples": 6}}) as run:
        for _ in range(4):
            model.train()
            for pictures, labels in training:
                optimizer.zero_grad()
                functional.cross_entropy(model(pictures), labels).backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                for pictures, labels in held_out:
                    functional.cross_entropy(model(pictures), labels)
    return run
