"""Finishes the upload of runs whose sidecar could not: the store was down, or the sidecar was killed.

So it does with the ranks of a training whose run was closed without them, or never was.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..distributed import TAKEN, left_behind, lived_until, promote, run_of
from ..launcher import LOG, sidecar_command, sidecar_environment, start_sidecar
from ..rundir import ALIVE, STATE, RunDir
from .connecting import REDIRECT

STARTING = 60.0
"""Seconds for which a young run is left alone by others: its own sidecar is about to begin."""
STALE_AT_ONCE = 5
"""Stale runs that a sidecar finishes besides its own; `tracker sync` finishes all."""
OTHERS_SECONDS = 60.0
"""Seconds for which `tracker sync` waits for another process that is uploading a run whose training has ended."""
KEEP_DAYS = 30
"""Days for which the folder of a run stays once the run is whole in its store: commands read it faster than a store."""


@dataclass(frozen=True)
class Synced:
    """How the upload of one run stands: `result` is "whole", "running" or "pending"."""

    run_id: str
    result: str
    store: str
    mlflow_run_id: str | None
    status: str | None


def _standing(rundir: RunDir) -> Synced:
    state: dict[str, Any] = rundir.state
    if state.get("finished"):
        result = "whole"
    elif rundir.is_alive() or is_uploading(rundir):
        result = "running"
    else:
        result = "pending"
    return Synced(
        rundir.path.name, result, str(state.get("store", "pending")), state.get("mlflow_run_id"), state.get("status")
    )


def is_uploading(rundir: RunDir) -> bool:
    """True while another process uploads the run."""
    with rundir.uploading() as is_ours:
        return not is_ours


def _settled(rundir: RunDir, deadline: float) -> Synced:
    """How the upload stands once no other process is at it, for a run whose training has ended."""
    standing = _standing(rundir)
    while standing.result == "running" and not rundir.is_alive() and time.monotonic() < deadline:
        time.sleep(0.2)
        standing = _standing(rundir)
    return standing


def sync_run(rundir: RunDir, timeout: float | None = None, uri: str | None = None) -> Synced:
    """Finishes one run; for one whose training still lives, starts the sidecar it should have.

    `timeout` in seconds. `uri` is a store to take instead of the one the run was meant for. The upload is done by a
    process of its own in the run's folder, as relative paths of a store are meant from there.
    """
    deadline = time.monotonic() + (OTHERS_SECONDS if timeout is None else timeout)
    before = _settled(rundir, deadline)
    if before.result == "whole":
        return before
    if before.result == "running":
        if not is_uploading(rundir):
            start_sidecar(rundir)
        return before
    with open(rundir.path / LOG, "ab") as log:
        process = subprocess.Popen(
            sidecar_command("--sync", str(rundir.path)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**sidecar_environment(is_sync=True), **({REDIRECT: uri} if uri else {})},
        )
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        except KeyboardInterrupt:
            process.terminate()  # the next one goes on where it was
            process.wait()
            raise
    return _settled(rundir, deadline)  # its own sidecar may have been faster than ours


def bring_back_ranks() -> list[RunDir]:
    """Returns ranks that were left behind to where they belong; gives those on whose run nothing can be done.

    A run that was closed without one is opened again, and its next upload takes it in. Where rank 0 was not tracked at
    all, the rank becomes a run of its own; not on a machine where rank 0 is not: there the run is elsewhere.
    """
    elsewhere = []
    for member in left_behind():
        spec = member.spec
        if time.time() - float(spec.get("started") or 0) < STARTING:
            continue  # its run may be about to close
        try:
            run = run_of(member)
            if run is not None:
                with run.uploading() as is_ours:
                    if is_ours and run.state.get("finished"):
                        run.update_state(finished=False)
            elif spec.get("node"):
                elsewhere.append(member)
            else:
                promote(member)
        except OSError:  # another process was faster, or the folder is not ours to write
            continue
    return elsewhere


def unfinished() -> list[RunDir]:
    """The runs on this machine that are not whole in their store, oldest first."""
    bring_back_ranks()
    return [rundir for rundir in RunDir.all() if not rundir.state.get("finished")]


def sync_all(rundirs: Iterable[RunDir] | None = None, timeout: float | None = None) -> list[Synced]:
    """Finishes all runs that are not whole; `timeout` in seconds for each."""
    return [sync_run(rundir, timeout) for rundir in (unfinished() if rundirs is None else rundirs)]


def prune(days: float = KEEP_DAYS) -> list[str]:
    """Removes the folders of runs that have been whole in their store for `days`; returns their ids.

    A run that is not whole is never removed, however old, and neither is one whose process lives. Everything in the
    folder is in the store too: every command finds the run there.
    """
    gone = []
    for rundir in RunDir.all():
        try:
            is_old = time.time() - (rundir.path / STATE).stat().st_mtime > days * 86400
            if not (is_old and rundir.state.get("finished")) or rundir.is_alive() or is_uploading(rundir):
                continue
            # Moved away first: a folder of which half is deleted would pass for a run that was never uploaded.
            grave = rundir.path.parent.parent / "pruned"
            grave.mkdir(exist_ok=True)
            rundir.path.rename(grave / rundir.path.name)
        except OSError:  # another process was faster, or the folder is not ours to remove
            continue
        shutil.rmtree(grave, ignore_errors=True)
        gone.append(rundir.path.name)
    for member in left_behind():
        is_in_a_run = (member.path / TAKEN).exists()  # else its numbers are nowhere else
        if is_in_a_run and time.time() - lived_until(member) > days * 86400:
            shutil.rmtree(member.path, ignore_errors=True)
            gone.append(member.path.name)
    return gone


def is_stale(rundir: RunDir) -> bool:
    """True for a run that has ended or died, is not whole, and that no process is working on."""
    spec = rundir.spec
    if time.time() - float(spec.get("started") or 0) < STARTING and not (rundir.path / ALIVE).exists():
        return False
    return not rundir.is_alive() and not is_uploading(rundir)


def sync_stale() -> None:
    """Closes runs that were left RUNNING when both their process and their sidecar died; the latest few."""
    from . import add_sites, upload_run

    for rundir in [run for run in unfinished() if is_stale(run)][-STALE_AT_ONCE:]:
        if not Path(str(rundir.spec.get("cwd") or "")).is_dir():
            continue
        os.chdir("/")
        add_sites(rundir)
        upload_run(rundir, patience=0.0)
