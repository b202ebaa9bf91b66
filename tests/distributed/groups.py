"""Hand-written runs of several ranks, as their processes would have left them."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from playing import make_spec

from tracker.distributed import Place
from tracker.journal import Journal
from tracker.rundir import RunDir

ROOT = Path(__file__).resolve().parents[2]
KEY = "0123456789abcdef"
HOLDER = "import fcntl, sys; f = open(sys.argv[1], 'r+b'); fcntl.lockf(f, fcntl.LOCK_EX); print(); sys.stdin.read()"


def rank_of(
    cwd: Path, rank: int, world_size: int = 2, uri: str | None = None, **changes: Any
) -> tuple[RunDir, Journal]:
    """The folder and the open journal of one rank; its process does not live."""
    place = Place(rank, world_size, rank, 0, KEY)
    spec = make_spec(cwd, uri, place=place.as_json(), launch="42@7", **changes)
    rundir = RunDir.create(spec, place.folder(spec["id"]) if rank else "")
    (rundir.path / "alive.lock").touch()
    journal = Journal(rundir.journal)
    journal.fact("place", 0, place.as_json())
    return rundir, journal


def write(journal: Journal, losses: Iterable[float], first: int = 0, epoch: int | None = None) -> None:
    """One loss for each step from `first` on, and the end of an epoch."""
    step = first - 1
    for step, loss in enumerate(losses, first):
        journal.reading("loss", "", step, loss)
    if epoch is not None:
        journal.event("epoch", step, {"epoch": epoch, "first_step": first, "last_step": step})


def end(journal: Journal, step: int = 0, status: str = "FINISHED") -> None:
    """The end of a rank that said so."""
    journal.event("end", step, {"status": status, "reason": ""})
    journal.close()


def living(rundir: RunDir, start: Callable[..., subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    """A process that lives in the place of the one that wrote the journal."""
    process = start(
        sys.executable, "-c", HOLDER, str(rundir.path / "alive.lock"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def free_port() -> int:
    """A port at which ranks can meet.

    Below those that the kernel gives away by itself: one of these may be anybody's by the time torch is imported.
    """
    while True:
        port = 10_000 + int.from_bytes(os.urandom(2), "big") % 20_000
        with socket.socket() as found, contextlib.suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port


def start_ranks(
    start: Callable[..., Any], command: list[str], cwd: Path, world_size: int = 2, **variables: str
) -> list[Any]:
    """Starts the ranks of a training as torchrun does, without torchrun's own process: it costs seconds."""
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(world_size)}
    # Without it gloo asks for the address of the machine's name, which may be none, or be slow to be found.
    meeting["GLOO_SOCKET_IFNAME"] = "lo"
    return [
        start(
            *command,
            cwd=cwd,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                **meeting,
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                **variables,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for rank in range(world_size)
    ]


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """The value of `condition` once it is true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"nothing came within {seconds} s")
