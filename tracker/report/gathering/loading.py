"""Makes the source of a report from a stored run."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import StoreError
from ...readings import Readings
from ...stores import Store
from ..recorded.files import captured_in
from .sources import Source


def stored_source(store: Store, run_id: str) -> Source:
    """Everything that is stored of a run; raises `StoreError` when there is none, or the store does not answer."""
    run = store.find(run_id)
    tags = store.tags(run.run_id)
    with tempfile.TemporaryDirectory(prefix="soundrun-") as folder:
        place = Path(folder)
        source = Source(
            run_id=run.own_id or run.run_id,
            name=run.name,
            experiment=run.experiment,
            mlflow_id=run.run_id,
            status=run.status,
            how=tags.get("tracker.ended", ""),
            started=run.started,
            ended=run.ended,
            is_ours=run.is_ours,
            verdict=_mapping(_artifact(store, run.run_id, "findings.json", place)),
            proof=_mapping(_artifact(store, run.run_id, "reproducibility.json", place)),
            params=store.params(run.run_id),
            tags=tags,
            captured=captured_in(_folder(store, run.run_id, "capture", place)),
        )
    for found in store.columns(run.run_id):
        if isinstance(found, Readings):
            source.gathered.take_readings(found)
        else:
            source.gathered.take(*found)
    if not source.verdict:  # it goes on, or died with its sidecar
        source.verdict = source.gathered.verdict or source.gathered.judged.verdict()
    return source


def _folder(store: Store, run_id: str, name: str, into: Path) -> Path | None:
    with contextlib.suppress(StoreError):
        return store.artifacts_to(run_id, name, into)
    return None


def _artifact(store: Store, run_id: str, name: str, into: Path) -> Any:
    path = _folder(store, run_id, name, into)
    if path is None:
        return None
    with contextlib.suppress(OSError, ValueError):
        return json.loads(path.read_text("utf-8"))
    return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
