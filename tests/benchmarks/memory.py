"""What a long run keeps: memory and journal over 100,000 tiny steps.

    python -m tests.benchmarks.memory [--steps 100000]

Anonymous memory of the process (the journal's pages are not in it: they are the kernel's, and are given back when
needed), blocks that Python's allocator has given out, and the length of the journal, at every hundredth of the steps.
The first quarter is left out: there the pools of torch and of the trace fill up. What still grows after it are the
curves with one point for each of the thousand epochs: the trace keeps 4,296 points of each. The slope is
Theil and Sen's, the median of the slopes between all pairs of points; its interval is that of a bootstrap over runs of
five neighbouring points (95 %), since neighbours are alike. Exit status 1 when memory grows by more than a mebibyte in
the steps measured, and the interval says so.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

POINTS = 100
WARM = 0.25
"""Share of the steps that is left out."""
TOGETHER = 5
"""Neighbouring points that are drawn together."""
RESAMPLES = 200
MOST = 1 << 20
"""Bytes of growth over all steps that count as flat: the grain of the allocators."""


def anonymous_bytes() -> int:
    """Memory of this process that is no file's."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    raise OSError("/proc/self/status has no line RssAnon; a Linux since 4.5 writes one.")


def slope(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Theil and Sen's slope, with its interval."""

    def of(indices: np.ndarray) -> float:
        a, b = np.array(list(itertools.combinations(np.unique(indices), 2))).T
        return float(np.median((y[b] - y[a]) / (x[b] - x[a])))

    draws, n = np.random.default_rng(0), len(x)
    starts = draws.integers(0, n - TOGETHER + 1, (RESAMPLES, n // TOGETHER))
    found = [of((row[:, None] + np.arange(TOGETHER)).ravel()) for row in starts]
    low, high = np.quantile(found, (0.025, 0.975))
    return of(np.arange(n)), float(low), float(high)


def measure(n_steps: int) -> dict[str, Any]:
    """Trains, and tells what has grown, in bytes (blocks) a step."""
    import torch

    from tests.benchmarks.models import tiny
    from tracker import Run, track

    torch.set_num_threads(1)
    training = tiny()
    rows = []
    began = time.perf_counter()
    with track(Run("memory", settings={"wait_seconds": 0}, quiet=True)) as run:
        session: Any = run._session
        for number in range(n_steps):
            training.step()
            if number % (n_steps // POINTS) == 0:
                rows.append((number, anonymous_bytes(), sys.getallocatedblocks(), session.journal._offset))
        off = dict(session.guard.off)
    table = np.array(rows, dtype=float)[int(WARM * len(rows)) :]
    found: dict[str, Any] = {"steps": n_steps, "seconds": time.perf_counter() - began, "faults": off}
    for column, name in ((1, "memory"), (2, "blocks"), (3, "journal")):
        found[name] = slope(table[:, 0], table[:, column])
        found[f"{name}_end"] = table[-1, column]
    found["flat"] = found["memory"][1] * n_steps <= MOST
    return found


def lines(found: dict[str, Any]) -> list[str]:
    """What was found, in Markdown."""

    def shown(name: str) -> str:
        value, low, high = found[name]
        return f"{value:+.2f} [{low:+.2f} {high:+.2f}]"

    return [
        f"| {found['steps']:,} tiny steps | a step | at the end |",
        "|---|---|---|",
        f"| memory | {shown('memory')} bytes | {found['memory_end'] / 2**20:.0f} MiB |",
        f"| blocks of Python's allocator | {shown('blocks')} | {found['blocks_end']:,.0f} |",
        f"| journal | {shown('journal')} bytes | {found['journal_end'] / 2**20:.1f} MiB |",
        "",
        f"The memory is {'flat' if found['flat'] else 'NOT flat'}.",
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        os.environ.setdefault("TRACKER_HOME", home)
        os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{home}/mlflow.db")
        found = measure(options.steps)
        print("\n".join(lines(found)))
    return int(not found["flat"] or bool(found["faults"]))


if __name__ == "__main__":
    sys.exit(main())
