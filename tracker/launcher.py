"""Starts the sidecar of a run: a process of its own that outlives a killed training."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from .rundir import RunDir

MAIN = Path(__file__).absolute().with_name("_sidecar_main.py")
LOG = "sidecar.log"

_LIVE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""Set unless the user has: a dead server otherwise blocks a call for minutes, and the sidecar retries by itself."""
_SYNC = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "60"}
"""The same for `tracker sync`, which nobody's training waits for: a store may be slower than that of a live run."""

_DETACH = '"$@" &'
"""Run by /bin/sh, which ends at once. The sidecar is then no child of the training process: user code that waits for
all of its children would otherwise wait for the sidecar, and the sidecar waits for that process to end."""


def sidecar_command(*arguments: str) -> list[str]:
    """The command line of the sidecar.

    `-I` keeps the current directory and PYTHONPATH out: neither a user's own `tracker.py` or `mlflow.py` nor the
    bootstrap of `tracker run` is met there.
    """
    if not sys.executable:
        raise OSError(
            "The sidecar cannot be started: sys.executable is empty, expected the path of the Python interpreter. "
            "Run the training with a Python of its own; the run is uploaded by `tracker sync`."
        )
    return [sys.executable, "-I", str(MAIN), *arguments]


def sidecar_environment(is_sync: bool = False) -> dict[str, str]:
    """The environment of the sidecar: that of the training, with one thread for numeric libraries."""
    environment = {**(_SYNC if is_sync else _LIVE), **os.environ, "OMP_NUM_THREADS": "1", "TRACKER_SIDECAR": "1"}
    environment["MPLBACKEND"] = "agg"  # that of a notebook cannot be loaded there
    # These would make the sidecar part of the training (a rank, the active run) or watch it like one.
    for name in ("MLFLOW_RUN_ID", "RANK", "WORLD_SIZE", "LOCAL_RANK", "TRACKER_REPRODUCE", "TRACKER_LAUNCH"):
        environment.pop(name, None)
    return environment


def start_sidecar(rundir: RunDir) -> None:
    """Starts the sidecar of `rundir` in a session of its own and returns at once; its output goes to `sidecar.log`.

    Raises `OSError` when no process can be started.
    """
    with open(rundir.path / LOG, "ab") as log:
        start_apart(sidecar_command(str(rundir.path)), log)


def start_apart(command: Sequence[str], output: IO[bytes] | int) -> None:
    """Starts a process of ours that nobody waits for, in a session of its own; raises `OSError` when it cannot."""
    shell = subprocess.Popen(
        ["/bin/sh", "-c", _DETACH, "sh", *command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        close_fds=True,
        start_new_session=True,
        cwd="/",
        env=sidecar_environment(),
    )
    shell.wait()
