"""Trains with one function of ours broken at a time: `python -m tests.promises.injections NAME...`, in production mode.

A name is `module:function` or `module:Class.method`, below the package. Prints a JSON line for each: whether the broken
function was reached, what was recorded, and whether the training came out as it does bare. The first line is the run
in which nothing is broken.
"""

from __future__ import annotations

import importlib
import inspect
import io
import json
import os
import random
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from tests.trainings import events, fault_parts, readings, records, tracked
from tests.twins import digest, random_states
from tracker.probes.registry import PROBES
from tracker.rules.engine.records import Reading

PACKAGE = "tracker"


class Injected(Exception):
    """The fault that is put into our own code."""


class Net(nn.Module):
    """A classifier that has a bit of everything that is looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2))
        self.head = nn.Linear(8, 3)
        self.unused = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self.head(self.body(x))}


def training() -> Any:
    """Loaders, two kinds of losses, clipping, a scaler, a schedule, evaluation, two optimizers in turn, L-BFGS."""
    random.seed(7)
    np.random.seed(7)
    torch.manual_seed(7)
    net, losses = Net(), []
    data = TensorDataset(torch.randn(40, 6), torch.arange(40) % 3)
    train, held_out = DataLoader(data, 8, shuffle=True), DataLoader(data, 20)
    optimizer = torch.optim.SGD([{"params": net.body.parameters()}, {"params": net.head.parameters()}], 0.1)
    schedule, scaler = torch.optim.lr_scheduler.StepLR(optimizer, 1), torch.amp.GradScaler("cpu")
    for _ in range(3):
        net.train()
        for x, y in train:
            optimizer.zero_grad()
            loss = cross_entropy(net(x)["logits"], y) + 1e-3 * net.head.weight.square().sum()
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
            losses.append(loss.item())
        schedule.step()
        net.eval()
        with torch.no_grad():
            losses += [cross_entropy(net(x)["logits"], y).item() for x, y in held_out]
    one, two = nn.Linear(3, 4), nn.Linear(4, 1)
    optimizers = [torch.optim.Adam(part.parameters(), 0.01) for part in (one, two)]
    for _ in range(3):
        for optimizer in optimizers:
            optimizer.zero_grad()
            loss = two(one(torch.randn(5, 3))).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    lbfgs = torch.optim.LBFGS(two.parameters(), max_iter=2)
    inputs = torch.randn(5, 4)

    def closure() -> torch.Tensor:
        lbfgs.zero_grad()
        loss = (two(inputs) - 1).square().mean()
        loss.backward()
        return loss

    losses.append(float(lbfgs.step(closure).detach()))
    return losses, net, one, two


def run(is_observed: bool) -> tuple[dict[str, Any], Any]:
    """Runs the training; what the user sees of it, and the run."""
    out, err = io.StringIO(), io.StringIO()
    entered = tracked() if is_observed else nullcontext()
    with warnings.catch_warnings(record=True) as caught, redirect_stdout(out), redirect_stderr(err):
        warnings.simplefilter("always")
        try:
            with entered as found:
                result, raised = digest(training()), ""
        except Exception as error:
            found, result, raised = None, "", f"{type(error).__name__}: {error}"
    seen = {
        "result": result,
        "raised": raised,
        "random": random_states(),
        "warned": [str(w.message) for w in caught],
        "out": out.getvalue(),
    }
    return seen, found


def named(name: str) -> tuple[Any, str]:
    """The owner of a function, and its name there."""
    module, _, path = name.partition(":")
    owner: Any = importlib.import_module(f"{PACKAGE}.{module}")
    *outer, last = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    return owner, last


@contextmanager
def broken(name: str) -> Iterator[list[str]]:
    """Breaks a function of ours wherever it is known by its name; yields a list that grows when it is reached."""
    owner, last = named(name)
    reached: list[str] = []

    def fail(*args: Any, **kwargs: Any) -> Any:
        reached.append(name)
        raise Injected(f"{name} is broken")

    original = inspect.getattr_static(owner, last)
    if isinstance(original, property):
        stand_in: Any = property(fail)
    elif isinstance(original, (staticmethod, classmethod)):
        stand_in = staticmethod(fail)
    else:
        stand_in = fail
    owners = [owner]
    if isinstance(owner, types.ModuleType):
        ours = [module for at, module in sys.modules.items() if at.split(".")[0] == PACKAGE]
        owners = [module for module in ours if vars(module).get(last) is original]
    patches = [mock.patch.object(one, last, stand_in) for one in owners]
    for patch in patches:
        patch.start()
    try:
        yield reached
    finally:
        for patch in patches:
            patch.stop()


def main(names: list[str]) -> None:
    assert "TRACKER_STRICT" not in os.environ, "in strict mode our faults are raised"
    torch.set_num_threads(1)
    bare, _ = run(is_observed=False)
    for name in ["", *names]:
        around: Any = broken(name) if name else nullcontext([])
        with around as reached:
            seen, found = run(is_observed=True)
        line: dict[str, Any] = {
            "name": name,
            "reached": len(reached),
            "unlike": {key: (seen[key], bare[key]) for key in bare if seen[key] != bare[key]},
        }
        if found is not None and found._session is not None:
            line["parts"] = fault_parts(found)
            line["reasons"] = [str(event.data["reason"]) for event in events(found, "fault")]
            line["losses"] = len(readings(found, "loss"))
            line["signals"] = sorted({r.signal for r in records(found) if isinstance(r, Reading)})
            line["ended"] = [event.data["status"] for event in events(found, "end")]
            line["verdict"] = found.verdict is not None
            live = found._session.training
            line["alive"] = [kind.name for kind in PROBES if live is not None and live.probe(kind) is not None]
        print(json.dumps(line), flush=True)


def methods_of(kind: type, wanted: Callable[[str], bool] = lambda name: True) -> list[str]:
    """The methods that a class of ours defines itself, by name."""
    return [
        f"{kind.__module__.removeprefix(PACKAGE + '.')}:{kind.__qualname__}.{name}"
        for name, value in vars(kind).items()
        if (callable(value) or isinstance(value, (property, staticmethod, classmethod))) and wanted(name)
    ]


if __name__ == "__main__":
    main(sys.argv[1:])
