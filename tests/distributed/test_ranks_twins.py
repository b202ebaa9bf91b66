"""Two ranks, observed and bare, are the same bit by bit: losses, weights, buffers and random states of each rank."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.distributed.groups import ROOT, start_ranks

SCRIPT = str(ROOT / "tests" / "distributed" / "trainings.py")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
STEPS = {"sampled": 12, "accumulated": 6, "uneven": 5, "sharded_optimizer": 6, "sharded": 6, "hooked": 6}
"""Steps of rank 0 in each training; of uneven ones the other rank makes two fewer."""


def read(folder: Path) -> list[list[dict[str, Any]]]:
    """What each rank wrote: `[rank][training]`."""
    return [[json.loads(line) for line in (folder / f"{rank}.jsonl").read_text().splitlines()] for rank in range(2)]


def hold_the_same(found: dict[str, list[list[dict[str, Any]]]], names: list[str]) -> None:
    for rank, (bare, observed) in enumerate(zip(found["bare"], found["observed"], strict=True)):
        assert [line["name"] for line in bare] == names
        for was, seen in zip(bare, observed, strict=True):
            assert {name: seen[name] for name in was} == was
            assert seen["off"] == {}
            assert seen["rank"] == rank
            # A difference of zero may also mean that nothing was observed.
            uneven = 2 * rank if was["name"] == "uneven" else 0
            assert seen["steps"] == STEPS[was["name"]] - uneven


def wait_for_all(ranks: list[Any], seconds: float) -> bool:
    """Whether all ranks ended in time; those that did not are killed."""
    deadline = time.monotonic() + seconds
    while any(rank.poll() is None for rank in ranks) and time.monotonic() < deadline:
        time.sleep(0.05)
    ended = all(rank.poll() is not None for rank in ranks)
    for rank in ranks:
        if rank.poll() is None:
            rank.kill()
    return ended


def test_replicas_with_a_distributed_sampler_are_left_as_they_are(cwd, start):
    found = {}
    for how in ("bare", "observed"):
        (cwd / how).mkdir()
        command = [sys.executable, SCRIPT, how, str(cwd / how), "sampled"]
        # Two ranks of torch's own have been seen to wait for each other for ever on a busy machine: they get another
        # try, those that we observe do not.
        for seconds in (60, 120) if how == "bare" else (120,):
            ranks = start_ranks(start, command, cwd)
            ended = wait_for_all(ranks, seconds)
            if ended:
                break
        said = [rank.communicate() for rank in ranks]
        assert ended, (how, said)
        assert [rank.returncode for rank in ranks] == [0, 0], said
        found[how] = read(cwd / how)

    hold_the_same(found, ["sampled"])


@pytest.mark.slow
def test_trainings_of_two_ranks_of_every_kind_are_left_as_they_are(root, cwd):
    found = {}
    for how in ("bare", "observed"):
        (cwd / how).mkdir()
        done = subprocess.run(
            [*TORCHRUN, SCRIPT, how, str(cwd / how), *STEPS],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        found[how] = read(cwd / how)

    hold_the_same(found, list(STEPS))
