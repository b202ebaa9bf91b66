"""A run as it was stored: in its folder on this machine, in its MLflow store, or in both.

The folder is read where there is one: it is whole even when the store is not. The rest comes from the store.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import StoreError
from ..journal import JournalError, JournalReader
from ..rules.engine.records import Fact, Reading, Record
from ..rundir import PREFLIGHT, RunDir
from .streams import Ledger, ledger_of

if TYPE_CHECKING:
    from ..stores import Store

TRACKER_ID = "tracker.id"
"""Tag that carries a run's own ID in MLflow."""

EVIDENCE = "reproducibility.json"


class RecordedRun:
    """Everything that is stored of one run; nothing is read before it is asked for."""

    def __init__(self, given: str, rundir: RunDir | None, store: Store | None, mlflow_id: str | None) -> None:
        """`given` is the ID as the user typed it; `rundir` is None on another machine, `store` if none was reached."""
        self.given = given
        self.rundir = rundir
        self.store = store
        self.mlflow_id = mlflow_id
        self.capture_problem = ""
        """Why what was captured could not be fetched from the store."""
        self._scratch: Path | None = None

    @classmethod
    def find(cls, run_id: str, tracking_uri: str | None = None) -> RecordedRun:
        """The run with this ID, its own or that of MLflow; raises `StoreError` when it is found nowhere."""
        from ..stores import open_store

        rundir = RunDir.find(run_id)
        if rundir is None:
            store = open_store(tracking_uri)
            info = store.find(run_id)
            own = store.tags(info.run_id).get(TRACKER_ID)
            return cls(run_id, RunDir.find(own) if own else None, store, info.run_id)
        state = rundir.state
        mlflow_id = state.get("mlflow_run_id")
        uri = tracking_uri or state.get("tracking_uri") or rundir.spec.get("tracking_uri")
        found: Store | None = None
        if mlflow_id:
            try:
                found = open_store(uri)
                found.find(mlflow_id)
            except StoreError:
                # The folder alone is enough to judge and compare; what needs the store says so when it needs it.
                found = None
        return cls(run_id, rundir, found, mlflow_id)

    @property
    def own_id(self) -> str | None:
        """The tracker's ID of the run; None for a run that plain MLflow code logged."""
        if self.rundir is not None:
            return str(self.rundir.spec.get("id") or self.rundir.path.name)
        return self.tags.get(TRACKER_ID)

    @property
    def id(self) -> str:
        """The ID to show: that of MLflow where there is one."""
        return self.mlflow_id or self.own_id or self.given

    @property
    def name(self) -> str:
        """The run's name, or the first digits of its ID."""
        spec_name = self.rundir.spec.get("name") if self.rundir is not None else None
        return str(spec_name or self.tags.get("mlflow.runName") or self.id[:8])

    @property
    def is_ours(self) -> bool:
        """True for a run that was tracked, false for one that only logged metrics to MLflow."""
        return self.own_id is not None

    @property
    def is_preflight(self) -> bool:
        """True for drills ahead of a training, which are no training."""
        kind = self.rundir.spec.get("kind") if self.rundir is not None else self.tags.get("tracker.kind")
        return kind == PREFLIGHT

    @property
    def is_alive(self) -> bool:
        """True while the training process of the run lives on this machine."""
        return self.rundir is not None and self.rundir.is_alive()

    @cached_property
    def tags(self) -> dict[str, str]:
        """The tags in the store; without a store, what the run's folder knows of them."""
        if self.store is not None and self.mlflow_id is not None:
            return dict(self.store.tags(self.mlflow_id))
        state = self.rundir.state if self.rundir is not None else {}
        known = {"suspicious": "suspicious", "reproducible": "reproducible", "grade": "repro.grade"}
        return {tag: str(state[key]) for key, tag in known.items() if state.get(key) is not None}

    @cached_property
    def records(self) -> list[Record]:
        """All records, in journal order; raises `StoreError` when there are none to be had."""
        if self.rundir is not None and self.rundir.journal.is_file():
            try:
                return [record for _, record in JournalReader(self.rundir.journal).read()]
            except JournalError as error:
                if self.store is None:
                    raise StoreError(str(error)) from error
        if self.store is None or self.mlflow_id is None:
            raise StoreError(
                f"Run {self.given} has no journal on this machine and its store cannot be reached. "
                "Run 'tracker sync' where it was trained, or name the store with --tracking-uri."
            )
        return [record for _, record in self.store.records(self.mlflow_id)]

    @cached_property
    def ledger(self) -> Ledger:
        """The numbers of the run, for a comparison."""
        return ledger_of(self.records)

    @cached_property
    def params(self) -> dict[str, str]:
        """Every parameter, flat, as text."""
        found: dict[str, str] = {}
        if self.rundir is not None:
            given = self.rundir.spec.get("params")
            found.update({str(k): str(v) for k, v in given.items()} if isinstance(given, dict) else {})
            for record in self.records:
                if isinstance(record, Fact) and record.name == "params" and isinstance(record.value, dict):
                    found.update({str(key): str(value) for key, value in record.value.items()})
        elif self.store is not None and self.mlflow_id is not None:
            found.update(self.store.params(self.mlflow_id))
        return found

    @cached_property
    def capture(self) -> Path:
        """A folder with what was captured; fetched from the store when it is not on this machine."""
        if self.rundir is not None and (self.rundir.capture / "code.json").is_file():
            return self.rundir.capture
        if self.store is None or self.mlflow_id is None:
            return self.rundir.capture if self.rundir is not None else Path("/nonexistent")
        try:
            return self.store.artifacts_to(self.mlflow_id, "capture", self._folder())
        except StoreError as error:
            self.capture_problem = str(error)
            return Path("/nonexistent")

    def captured(self, name: str) -> dict[str, Any]:
        """A captured JSON file, by name; empty when it was not captured or cannot be read."""
        return _json(self.capture / name)

    @cached_property
    def evidence(self) -> dict[str, Any]:
        """What was found at the end of the run about its reproducibility: grade, gaps, proof; empty when unknown."""
        return self.stored(EVIDENCE)

    def stored(self, name: str) -> dict[str, Any]:
        """A JSON file that was stored with the run at its end; empty when there is none or it cannot be read."""
        if self.rundir is not None:
            return self.rundir.read_json(name)
        if self.store is None or self.mlflow_id is None:
            return {}
        try:
            return _json(self.store.artifacts_to(self.mlflow_id, name, self._folder()))
        except StoreError:
            return {}

    def _folder(self) -> Path:
        if self._scratch is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="soundrun-fetched-"))
            weakref.finalize(self, shutil.rmtree, self._scratch, ignore_errors=True)
        return self._scratch

    @cached_property
    def process(self) -> dict[str, Any]:
        """What the training process said of itself."""
        local = self.rundir.read_json("process.json") if self.rundir is not None else {}
        return local or self.captured("process.json")

    @property
    def environment(self) -> dict[str, Any]:
        """The recorded environment: `process`, `hardware`, `packages`."""
        return self.captured("environment.json")

    @property
    def has_metrics_only(self) -> bool:
        """True when all that is stored are metrics: there are no epochs and judgements to replay."""
        return all(isinstance(record, Reading) for record in self.records)

    def set_tags(self, tags: Mapping[str, str]) -> bool:
        """Sets tags in the store; False when the run is in no store that can be reached."""
        if self.store is None or self.mlflow_id is None:
            return False
        self.store.set_tags(self.mlflow_id, dict(tags))
        self.__dict__.pop("tags", None)
        return True

    def set_metrics(self, metrics: Mapping[str, float]) -> bool:
        """Logs metrics to the store; False when the run is in no store that can be reached."""
        if self.store is None or self.mlflow_id is None:
            return False
        self.store.set_metrics(self.mlflow_id, dict(metrics))
        return True

    def close(self) -> None:
        """Removes what was fetched."""
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
