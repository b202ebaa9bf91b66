"""The earlier runs of an experiment, for a run that has ended: found in the store, judged against, stored with it."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import StoreError
from ..family import LEAST, PEERS, SUMMARY, Summary, are_alike, is_summary, summary_of, with_family
from ..rules.engine.settings import Settings
from ..rundir import RunDir, read_json
from ..stores.mlflow_store import OWN_ID, MlflowStore

if TYPE_CHECKING:
    from ..stores import RunInfo

MOST = 20
"""Earlier runs a run is compared with."""
LOOKED_AT = 60
"""The latest runs of the experiment among which they are looked for."""
SECONDS = 10.0
"""How long they are looked for: a store on the network takes some time for each."""


def judged_among_relatives(
    verdict: Mapping[str, Any], rundir: RunDir, uri: str, experiment_id: str, captured: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Path]]:
    """The verdict with what a comparison adds to it, and the files to store with the run."""
    spec = rundir.spec
    own = summary_of(rundir.journal, spec, captured)
    kept = rundir.write_json(SUMMARY, own)
    peers = rundir.read_json(PEERS) or _peers(own, rundir, uri, experiment_id)
    stored = rundir.write_json(PEERS, peers)
    folder = spec.get("settings_folder")
    settings = Settings.load(spec.get("settings") or {}, Path(folder) if folder else None)
    return with_family(verdict, own, peers, settings), [kept, stored]


def _peers(own: Summary, rundir: RunDir, uri: str, experiment_id: str) -> dict[str, Any]:
    """`{"runs": {ID: summary}, "why": text}`: the earlier runs of the kind, and where the others were left out."""
    cwd = Path(rundir.spec.get("cwd") or "/")
    deadline = time.monotonic() + SECONDS
    runs: dict[str, Summary] = {}
    counts = {
        "were not finished": 0,
        "were reproductions": 0,
        "were suspicious": 0,
        "are of another kind": 0,
        "left no summary": 0,
    }
    store = MlflowStore(uri, cwd)
    for info in _earlier(store.runs(experiment_id, LOOKED_AT), own):
        if len(runs) >= MOST or time.monotonic() > deadline:
            break
        tags = store.tags(info.run_id)
        if info.status != "FINISHED":
            counts["were not finished"] += 1
        elif tags.get("repro.of"):
            counts["were reproductions"] += 1
        elif tags.get("suspicious") == "true":
            counts["were suspicious"] += 1
        elif not is_summary(summary := _summary(store, info.run_id, tags.get(OWN_ID))):
            counts["left no summary"] += 1
        elif are_alike(own, summary):
            runs[info.run_id] = summary
        else:
            counts["are of another kind"] += 1
    others = ", ".join(f"{number} {what}" for what, number in counts.items() if number)
    found = f"{len(runs)} earlier runs of this experiment are of the same kind; {LEAST} are needed."
    return {"runs": runs, "why": f"{found} Of the others, {others}." if others else found}


def _earlier(runs: list[RunInfo], own: Summary) -> Iterator[RunInfo]:
    return (info for info in runs if info.own_id != own["id"] and info.started < own["started"])


def _summary(store: MlflowStore, run_id: str, own_id: str | None) -> dict[str, Any]:
    """The summary of an earlier run, from its folder on this machine or from the store; empty when it has none."""
    local = RunDir.find(own_id) if own_id else None
    if local is not None and (content := local.read_json(SUMMARY)):
        return content
    with tempfile.TemporaryDirectory(prefix="soundrun-") as folder:
        try:
            return read_json(store.artifacts_to(run_id, SUMMARY, Path(folder)))
        except (StoreError, OSError, json.JSONDecodeError):
            return {}
