"""`tracker sync`: uploads what did not reach the store while a training ran."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from ..errors import StoreError
from ..rundir import RunDir
from ..sidecar.sync import KEEP_DAYS, Synced, prune, sync_run, unfinished
from ..stores.connect import absolute_uri
from .output import ExitCode, print_json, print_table, progress, say
from .progress import counted, leaving


def sync(
    run_ids: list[str], everything: bool, uri: str | None = None, keep_days: float = KEEP_DAYS, as_json: bool = False
) -> int:
    """Uploads the runs named, or all that are not complete; 0 when all are in their store now, else 2.

    `uri` names a store to take instead of the one that each run was meant for.

    Without names it also removes the folders of runs that have been complete in their store for `keep_days`.
    """
    chosen = [_rundir(run_id) for run_id in run_ids]
    if everything or not run_ids:
        chosen += [rundir for rundir in unfinished() if rundir.path not in {one.path for one in chosen}]
    done: list[Synced] = []
    absolute = absolute_uri(uri, Path.cwd()) if uri else None

    def left() -> str:
        whole = sum(one.result == "whole" for one in done)
        return (
            f"{whole} of {len(chosen)} runs are in their store, nothing is lost; 'tracker sync' goes on with the rest."
        )

    with leaving(left), counted(len(chosen), "uploading") as begin:
        for rundir in chosen:
            begin(f"{rundir.spec.get('name') or ''} {rundir.path.name}".strip())
            done.append(sync_run(rundir, uri=absolute))
    pruned = [] if run_ids else prune(keep_days)
    if pruned:
        progress(f"removed the folders of {len(pruned)} runs that are complete in their store for {keep_days:g} days")
    if as_json:
        print_json({"schema": 1, "runs": [asdict(one) for one in done], "pruned": pruned})
    elif not done:
        say("Every run on this machine is in its store.")
    else:
        styles = [{"whole": "green", "running": "cyan"}.get(one.result, "yellow") for one in done]
        print_table(
            ("run", "upload", "store", "MLflow run", "status"),
            [(one.run_id, one.result, one.store, one.mlflow_run_id or "", one.status or "") for one in done],
            styles,
        )
    return ExitCode.UNJUDGED if any(one.result == "pending" for one in done) else ExitCode.FINE


def _rundir(run_id: str) -> RunDir:
    rundir = RunDir.find(run_id)
    if rundir is None:
        known = [run.path.name for run in RunDir.all()][-5:]
        latest = f" The latest are {', '.join(reversed(known))}." if known else ""
        raise StoreError(f"Run {run_id!r} has no folder on this machine, so there is nothing to upload.{latest}")
    return rundir
