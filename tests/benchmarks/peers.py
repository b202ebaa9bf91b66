"""What others offer for the same purpose, as conditions of the benchmark. None of them is needed: an absent one is said
to be absent.

They are not alike: wandb.watch and the histograms of TensorBoard keep a histogram of each parameter and gradient,
anomaly mode only finds the operation behind a NaN. Only the training process is measured: what wandb's own service
process does is left out, in favour of wandb.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import tempfile
from collections.abc import Hashable
from typing import Any

import torch

from tests.benchmarks.measuring import Condition
from tests.benchmarks.models import Training

EVERY = 50
"""Steps between two that are logged, where not each one is."""

SEEN = 5
"""The same in a measurement, which else would need thousands of steps to see enough that are logged.

A step that is logged counts a fiftieth, one that is not 49 of them.
"""

LOGGED, IDLE = "logged", "idle"
SHARES: dict[Hashable, float] = {LOGGED: 1 / EVERY, IDLE: 1 - 1 / EVERY}


class Watch(Condition):
    """`wandb.watch(log="all")` and `wandb.log` of the loss at each step, offline; on a model of its own, as its hooks
    stay."""

    def __init__(self, training: Training, every: int) -> None:
        import wandb

        super().__init__(f"wandb.watch, 1 in {every}", self._train)
        log_freq = min(every, SEEN)
        self._training = training
        self._log: Any = wandb.log
        self._log_freq = log_freq
        self._done = 0
        wandb.watch(training.model, log="all", log_freq=log_freq, idx=log_freq)

    def _train(self) -> None:
        self._log({"loss": self._training.step().item()})

    def kind(self) -> Hashable:
        self._done += 1
        return LOGGED if self._done % self._log_freq == 0 else IDLE


class Histograms(Condition):
    """`SummaryWriter.add_histogram` of each weight and gradient, each step or each `EVERY`-th."""

    def __init__(self, training: Training, every: int, folder: str) -> None:
        from torch.utils.tensorboard import SummaryWriter

        super().__init__(f"TensorBoard histograms, 1 in {every}", self._train)
        self._training = training
        self._writer: Any = SummaryWriter(folder)
        self._every = min(every, SEEN)
        self._steps = itertools.count(1)
        self._number = 0

    def _train(self) -> None:
        self._training.step()
        self._number = number = next(self._steps)
        if number % self._every == 0:
            for name, parameter in self._training.model.named_parameters():
                self._writer.add_histogram(name, parameter, number)
                self._writer.add_histogram(f"{name}/grad", parameter.grad, number)

    def kind(self) -> Hashable:
        return LOGGED if self._number % self._every == 0 else IDLE


class Anomaly(Condition):
    """`torch.autograd.set_detect_anomaly(True)`."""

    def __init__(self, training: Training) -> None:
        super().__init__("anomaly mode", training.step)

    def enter(self) -> None:
        torch.autograd.set_detect_anomaly(True)

    def leave(self) -> None:
        torch.autograd.set_detect_anomaly(False)


def conditions(make: Any, shared: Training) -> tuple[list[Condition], list[str]]:
    """Every peer that is installed, and the names of those that are not."""
    found: list[Condition] = [Anomaly(shared)]
    absent = []
    if importlib.util.find_spec("wandb") is not None:
        os.environ.setdefault("WANDB_DIR", tempfile.mkdtemp())
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb

        wandb.init(mode="offline", project="overhead", settings=wandb.Settings(console="off"))
        found += [Watch(make(), 1), Watch(make(), EVERY)]
    else:
        absent.append("wandb")
    if importlib.util.find_spec("tensorboard") is not None:
        found += [Histograms(shared, every, tempfile.mkdtemp()) for every in (1, EVERY)]
    else:
        absent.append("tensorboard")
    return found, absent


def shares_of(name: str) -> dict[Hashable, float] | None:
    """How often a peer's kinds of steps occur, where a few blocks cannot show it."""
    return dict(SHARES) if name.endswith(f"1 in {EVERY}") else None


def finish() -> None:
    """Ends what a peer has started."""
    if importlib.util.find_spec("wandb") is not None:
        import wandb

        wandb.finish()
