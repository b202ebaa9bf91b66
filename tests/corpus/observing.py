"""Runs a training of the corpus as a user's script runs under the tracker, and tells what came of it."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from tests.corpus.tasks import make_checkpoints
from tests.trainings import records, tracked
from tracker.rules import Severity
from tracker.rules.engine import Record

Log = Callable[..., None]
"""What the training calls at the end of each epoch with its metrics, as users call `run.log`."""


class Training(Protocol):
    """A training of the corpus: trains by its seed, calls `log` once an epoch, and gives its model."""

    profile: str | None

    def __call__(self, seed: int, log: Log) -> nn.Module: ...


@dataclass(frozen=True)
class Observed:
    """One training under the tracker."""

    verdict: dict[str, Any]
    """In its machine form."""
    loud: list[str]
    """Rules that were loud (WARNING and worse) at any judgement, the headline first."""
    crashed: list[str]
    faults: dict[str, str]
    """Parts of the tracker that failed."""
    records: list[Record]
    weights: str
    """Digest of the final weights."""


def bare(train: Training, seed: int) -> str:
    """Trains without the tracker; gives the digest of the final weights."""
    return digest(train(seed, lambda **metrics: None))


def observe(train: Training, seed: int) -> Observed:
    """Trains under the tracker, without the upload."""
    make_checkpoints()
    with tracked("corpus", profile=train.profile) as run:
        weights = digest(train(seed, run.log))
    verdict = dict(run.verdict or {})
    loud = [finding["rule"] for finding in verdict["findings"] if finding["severity"] != "info"]
    loud += [one.rule for one in run.findings if one.severity >= Severity.WARNING and one.rule not in loud]
    crashed = [f"{one['rule']}: {one['reason']}" for one in verdict["crashed"]]
    assert run._session is not None
    found = Observed(verdict, loud, crashed, dict(run._session.guard.off), records(run), weights)
    shutil.rmtree(run._session.rundir.path)  # hundreds of them would fill the disk
    return found


def digest(model: nn.Module) -> str:
    """Digest of all parameters and buffers, bit by bit."""
    hasher = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        hasher.update(name.encode() + tensor.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return hasher.hexdigest()
