"""What observing costs: steps with and without `with track()`, in turn, in one process on one thread.

    python tests/benchmarks/overhead.py [--rounds 15] [--only mlp|cnn]

Bare blocks of steps alternate with observed ones, and each pair gives a ratio: drift of the machine cancels out. The
blocks begin once the denser sampling of the beginning is over, and what it may cost in all is no longer allowed: the
steady state of a long run. The sidecar runs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tracker import Run, judging, track
from tracker.probes import hooks, sampling

WARM = 2.0
"""Seconds before the first block."""

SETTLE = 5
"""Blocks in which the sampling finds its rate, once the seconds allowed above the budget are no longer given."""


def mlp() -> tuple[nn.Module, torch.Tensor]:
    """784-256-256-10, a batch of 64: a step of less than 2 ms."""
    layers = nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
    return nn.Sequential(*layers), torch.randn(64, 784)


def cnn() -> tuple[nn.Module, torch.Tensor]:
    """Eight convolutions on 3x32x32, a batch of 48: a step of 45 ms or more."""

    def block(n_in: int, n_out: int) -> list[nn.Module]:
        return [nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU()]

    layers = [*block(3, 32), *block(32, 32), nn.MaxPool2d(2), *block(32, 64), *block(64, 64), nn.MaxPool2d(2)]
    layers += [*block(64, 64), *block(64, 64), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
    return nn.Sequential(*layers), torch.randn(48, 3, 32, 32)


def budget(bare: float) -> float:
    """Share of a step of `bare` seconds that may be spent on it."""
    if bare < 0.002:
        return max(0.05, 50e-6 / bare)
    return 0.02 if bare < 0.045 else 0.01


def measure(make: Callable[[], tuple[nn.Module, torch.Tensor]], rounds: int, steps: int, epoch: int) -> bool:
    """Prints one row; True when the median, of wall or of CPU time, is within the budget."""
    torch.manual_seed(0)
    model, x = make()
    y = torch.randint(0, 10, (len(x),))
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)

    def block(n: int) -> Times:
        began = Times.now()
        for _ in range(n):
            optimizer.zero_grad()
            functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        return Times.now().since(began, n)

    block(10)
    with track(Run(make.__name__, settings={"wait_seconds": 0}, quiet=True)) as run:
        session = run._session
        assert session is not None
        began, since = time.perf_counter(), 0
        while time.perf_counter() - began < WARM:
            block(10)
        # From here on the run is judged as one that has long used up what a beginning may cost.
        sampling.ALLOWANCE = judging.FREE_SECONDS = 0.0
        session.training.governor.begin(session.step)
        session.training.governor.spent = 0.0
        session.judging._began, session.judging._spent = time.perf_counter(), 0.0
        for _ in range(SETTLE):
            block(steps)
        pairs = []
        for _ in range(rounds):
            hooks.uninstall()
            paused = time.perf_counter()
            bare = block(steps)
            hooks.install()
            # For the governor the bare blocks never were.
            session.training.governor._started += time.perf_counter() - paused
            start = Times.now()
            block(steps)
            since += steps
            if since >= epoch:
                since = 0
                run.epoch()
            pairs.append((bare, Times.now().since(start, steps)))
        share, every = session.training.governor.share, session.training.governor.every
    step = statistics.median(bare.wall for bare, _ in pairs)
    wall = [observed.wall / bare.wall - 1 for bare, observed in pairs]
    cpu = [observed.cpu / bare.cpu - 1 for bare, observed in pairs]
    allowed = budget(step)
    is_within = min(statistics.median(wall), statistics.median(cpu)) <= allowed
    print(
        f"{make.__name__:5} {step * 1e3:8.2f} ms  wall {spread(wall)}  cpu {spread(cpu)}  own measure {share:.2%}  "
        f"every {every}  budget {allowed:.1%}  {'within' if is_within else 'OVER'}"
    )
    return is_within


class Times(NamedTuple):
    """Wall time, and CPU time of this thread, in seconds: on a busy machine only the second can be compared."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> Times:
        return cls(time.perf_counter(), time.thread_time())

    def since(self, earlier: Times, n: int) -> Times:
        return Times((self.wall - earlier.wall) / n, (self.cpu - earlier.cpu) / n)


def spread(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):+7.2%} [{min(ratios):+.1%} {max(ratios):+.1%}]"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", choices=["mlp", "cnn"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    home = tempfile.mkdtemp()
    os.environ.setdefault("TRACKER_HOME", home)
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{home}/mlflow.db")
    print("model     step      observed: median [min max] of the pairs")
    fine = [
        measure(make, options.rounds, steps, epoch)
        for make, steps, epoch in ((mlp, 200, 800), (cnn, 10, 100))
        if options.only in (None, make.__name__)
    ]
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())
