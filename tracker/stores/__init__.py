"""Where runs are kept. MLflow is imported only by the modules here that are called `mlflow_*`, and only when used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..rules.engine.records import Record

if TYPE_CHECKING:
    from ..readings import Readings


@dataclass(frozen=True)
class RunInfo:
    """What a store knows of a run. Times in Unix seconds."""

    run_id: str
    own_id: str | None
    """The tracker's own id; None for a run that plain MLflow code logged."""
    name: str
    experiment_id: str
    experiment: str
    status: str
    started: float
    ended: float | None

    @property
    def is_ours(self) -> bool:
        """Whether the tracker logged it, so that its whole series is stored."""
        return self.own_id is not None


class Store(Protocol):
    """Reads runs, and writes what a later judgement or re-execution adds to them. Every method raises `StoreError`."""

    uri: str

    @property
    def client(self) -> Any:
        """MLflow's client, for what has no method here."""

    def find(self, run_id: str) -> RunInfo:
        """The run with this id, the tracker's own or MLflow's."""

    def runs(self, experiment: str | None = None, limit: int = 1000, where: str = "") -> list[RunInfo]:
        """The latest runs of one experiment, by name or id, or of all, that meet a search expression; newest first."""

    def records(self, run_id: str) -> Iterator[tuple[float, Record]]:
        """(wall time, record), in the order of the journal; of a plain MLflow run, its metrics in the order logged."""

    def columns(self, run_id: str) -> Iterator[Readings | tuple[float, Record]]:
        """The same records in the same order, with readings that follow on each other as columns."""

    def artifacts_to(self, run_id: str, folder: str, into: Path) -> Path:
        """Copies an artifact folder below `into`; returns where it is. Raises when the run has no such folder."""

    def params(self, run_id: str) -> dict[str, str]:
        """The run's parameters."""

    def tags(self, run_id: str) -> dict[str, str]:
        """The run's tags."""

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Sets tags."""

    def set_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Logs metrics, at step 0."""

    def add_artifact(self, run_id: str, path: Path, folder: str = "") -> None:
        """Stores a file."""


def open_store(uri: str | None = None, cwd: Path | None = None) -> Store:
    """The store at `uri`, or the one MLflow would use in `cwd` (the current directory without it).

    Raises `StoreError` when it does not answer, or when there is none yet: opening to read creates nothing.
    """
    from .mlflow_store import MlflowStore

    return MlflowStore(uri, Path.cwd() if cwd is None else cwd)
