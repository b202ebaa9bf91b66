"""The sidecar: a process of its own that makes all of the tracker's MLflow calls, fed from the journal of a run."""

from __future__ import annotations

import os
import site
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from ..rundir import RunDir


def main(arguments: Sequence[str]) -> int:
    """Runs the sidecar on the folders named in `arguments`; the entry of the process. Returns the exit status.

    `--sync FOLDER...` uploads what is left of runs that have ended, `--restore` tries a restore (see `proof.py`),
    `--resolve` asks the package indexes (see `resolving.py`).
    """
    if arguments[:1] == ["--restore"]:
        from .proof import restore_and_answer

        capture, into, answer = map(Path, arguments[1:4])
        restore_and_answer(capture, into, answer)
        return 0
    if arguments[:1] == ["--resolve"]:
        from .resolving import SECONDS, ask_and_keep

        ask_and_keep(Path(arguments[1]), float(arguments[2]) if len(arguments) > 2 else SECONDS)
        return 0
    warnings.simplefilter("ignore")
    is_sync = arguments[:1] == ["--sync"]
    whole = True
    for folder in arguments[1:] if is_sync else arguments:
        rundir = RunDir(Path(folder))
        add_sites(rundir)
        whole &= upload_run(rundir, 0.0 if is_sync else None, steps_back=not is_sync)
    if not is_sync and whole:
        from .sync import sync_stale

        sync_stale()
    return 0 if whole else 1


def upload_run(rundir: RunDir, patience: float | None = None, steps_back: bool = False) -> bool:
    """Uploads one run unless another process is at it; True when the run is whole in its store.

    `patience` is how long, in seconds, a store that does not answer is tried once the run has ended; with
    `steps_back` others have the core first while the run goes on.
    """
    from .upload import PATIENCE, Upload

    with rundir.uploading() as is_ours:
        if not is_ours:
            return bool(rundir.state.get("finished"))
        return Upload(rundir, PATIENCE if patience is None else patience, steps_back).run()


def add_sites(rundir: RunDir) -> None:
    """Adds the training's folders of installed packages that this isolated process does not have, at the end.

    The folder of a script is none: a user's own `mlflow.py` there must not be imported here.
    """
    known = set(sys.path)
    for entry in rundir.spec.get("sys_path") or ():
        if isinstance(entry, str) and os.path.isabs(entry) and entry not in known:
            path = Path(entry)
            if path.is_dir() and next(path.glob("*.dist-info"), None) is not None:
                site.addsitedir(entry)
