"""Where a run is in its store: found there or made, in the store that the run, or `tracker sync`, names."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..rundir import RunDir
from . import ending
from .faults import Faults

if TYPE_CHECKING:
    from ..stores.mlflow_writer import RunWriter

REDIRECT = "TRACKER_SYNC_URI"
"""Environment variable by which `tracker sync` tells its process of another store than the run's own."""


def cwd_of(rundir: RunDir) -> Path:
    """The folder in which the training was started."""
    return Path(rundir.spec.get("cwd") or "/")


def redirect(rundir: RunDir) -> bool:
    """Whether `tracker sync` named another store: then the whole run goes there, as if it had never been anywhere."""
    from ..stores.connect import absolute_uri

    wanted = os.environ.get(REDIRECT)
    if not wanted:
        return False
    uri = absolute_uri(wanted, cwd_of(rundir))
    if uri == rundir.state.get("tracking_uri"):
        return False
    nowhere = {"mlflow_run_id": None, "adopted": None, "created": False, "synced": 0, "parts": 0}
    rundir.update_state(tracking_uri=uri, redirected=True, **nowhere)
    return True


def connect(rundir: RunDir, captured: Mapping[str, Any], faults: Faults) -> RunWriter:
    """Finds the run in its store, or makes it; raises `StoreUnreachable` or `StoreRefused`."""
    from ..stores.connect import absolute_uri, shown_uri
    from ..stores.mlflow_store import default_uri
    from ..stores.mlflow_writer import RunWriter, StoreRefused

    spec, cwd = rundir.spec, cwd_of(rundir)
    state = rundir.state
    # Until the run is in a store, the store is looked for each time: what refused it may have been put right.
    settled = state.get("mlflow_run_id") or state.get("adopted") or state.get("redirected")
    given = (state.get("tracking_uri") if settled else None) or spec.get("tracking_uri")
    uri = absolute_uri(str(given), cwd) if given else default_uri(cwd)
    rundir.update_state(tracking_uri=uri)
    writer = RunWriter(uri, cwd)
    adopted = state.get("adopted") or spec.get("adopt")
    if adopted and adopted != state.get("adopt_refused"):
        try:
            writer.adopt(str(adopted))
        except StoreRefused as error:
            faults.note("adopt", error)
            rundir.update_state(adopt_refused=adopted)
    is_adopted = bool(writer.run_id)
    tags = ending.first_tags(spec, captured, _version(), is_adopted)
    if not is_adopted:
        writer.use_experiment(spec.get("experiment"))
        parent = _parent(spec)
        if parent:
            tags["mlflow.parentRunId"] = parent
        writer.find_or_create(spec["id"], spec.get("name"), float(spec["started"]), tags)
    rundir.update_state(
        mlflow_run_id=writer.run_id,
        experiment_id=writer.experiment_id,
        created=not is_adopted,
        adopted=adopted,
        store="ok",
        ui=f"tracker ui --uri {shown_uri(uri)}",
    )
    if state.get("discard") and is_adopted:
        old = state.get("discard_from") or uri
        (writer if old == uri else RunWriter(old, cwd)).discard(str(state["discard"]))
        rundir.update_state(discard=None)
    if not int(state.get("synced") or 0):
        writer.tags(tags)
    make_views(writer, faults)
    return writer


def _parent(spec: Mapping[str, Any]) -> str | None:
    """The MLflow run of the run this one is nested in; it has one a moment after it began, if at all."""
    own = spec.get("parent")
    if not own:
        return None
    deadline = time.monotonic() + 5
    while True:
        parent = RunDir.find(str(own))
        run_id = parent.state.get("mlflow_run_id") if parent is not None else None
        if run_id or parent is None or time.monotonic() >= deadline:
            return str(run_id) if run_id else None
        time.sleep(0.1)


def make_views(writer: RunWriter, faults: Faults, has_ended: bool = False) -> None:
    """Makes the views of the experiment in MLflow's UI; a run that has ended adds columns for its own metrics."""
    from ..stores.view import save_views

    try:
        metrics = writer.client.get_run(writer.run_id).data.metrics if has_ended else ()
        save_views(writer.client, writer.experiment_id, metrics)
    except Exception as error:  # a view is an ornament in an undocumented format
        faults.note("view", error)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("soundrun")
    except PackageNotFoundError:
        return "0+unknown"
