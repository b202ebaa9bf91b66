"""Reads runs from MLflow, ours and any other."""

from __future__ import annotations

import contextlib
import difflib
import logging
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import mlflow
import numpy as np
from mlflow.entities import Metric, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from ..errors import StoreError
from ..readings import Readings
from ..rules.engine.records import Record
from ..rules.engine.signals import METRIC
from ..rundir import SHORTEST_ID, ambiguous
from . import RunInfo
from .connect import absolute_uri, alone, database_of, has_old_file_store, shown_uri
from .keys import MAX_TAG, shortened
from .series import SeriesError, read_columns

T = TypeVar("T")

OWN_ID = "tracker.id"
SERIES = "series"
SHOWN_RUNS = 5
_LARGEST = 1.7976931348623157e308
"""What MLflow's databases hold in the place of infinity."""
_SYSTEM = "system/"


def default_uri(cwd: Path) -> str:
    """The tracking URI that MLflow itself would use in a process started in `cwd`."""
    if mlflow.is_tracking_uri_set():  # type: ignore[no-untyped-call]
        return absolute_uri(str(mlflow.get_tracking_uri()), cwd)
    return str(cwd / "mlruns") if has_old_file_store(cwd) else f"sqlite:///{cwd / 'mlflow.db'}"


@contextlib.contextmanager
def _without_bars() -> Iterator[None]:
    """Keeps MLflow from drawing a bar for each download; whoever calls us says how far it has come."""
    name = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"
    before = os.environ.get(name)
    os.environ[name] = before if before is not None else "false"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)


class MlflowStore:
    """The runs of one tracking store."""

    def __init__(self, uri: str | None, cwd: Path) -> None:
        """Opens the store; raises `StoreError` when there is none or it does not answer."""
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        self.uri = absolute_uri(uri, cwd) if uri else default_uri(cwd)
        database = database_of(self.uri)
        if database is not None and not database.is_file():
            more = ""
            if has_old_file_store(database.parent):
                more = (
                    f" Runs in MLflow's former file format are in {database.parent / 'mlruns'}. Convert them with: "
                    f"mlflow migrate-filestore --source {database.parent / 'mlruns'} --target {self.uri}"
                )
            raise StoreError(
                f"There is no database at {database}, expected one that MLflow has made. Name the store of the run "
                f"with --uri, or set MLFLOW_TRACKING_URI.{more}"
            )
        with alone(self.uri):
            self._client = self._asked(lambda: MlflowClient(tracking_uri=self.uri))
            self._experiments = {
                str(found.experiment_id): str(found.name)
                for found in self._asked(lambda: self._client.search_experiments(view_type=ViewType.ALL))
            }

    @property
    def client(self) -> Any:
        """MLflow's client, for what has no method here."""
        return self._client

    def _asked(self, call: Callable[[], T]) -> T:
        """The result of `call`; whatever it raises becomes a `StoreError` that names the store."""
        try:
            return call()
        except StoreError:
            raise
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            raise StoreError(
                f"The store {shown_uri(self.uri)} does not answer: {type(error).__name__}: {lines[0][:300]}"
            ) from error

    # -- which runs ------------------------------------------------------------------------------------------------

    def find(self, run_id: str) -> RunInfo:
        """The run with this id, own or MLflow's; raises `StoreError` that names the nearest or latest runs."""
        return self._info(self._run(run_id))

    def _run(self, run_id: str) -> Run:
        try:
            return self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                self._asked(lambda: self._client.get_run(run_id))
        except Exception:
            self._asked(lambda: self._client.get_run(run_id))
        if run_id.isalnum():
            found = self._search(list(self._experiments), f"tags.`{OWN_ID}` = '{run_id}'", ViewType.ALL, 1)
            found = found or self._beginning_with(run_id)
            if found:
                return found[0]
        raise StoreError(self._unknown(run_id))

    def _beginning_with(self, run_id: str) -> list[Run]:
        """The one run whose id, its own or MLflow's, begins so; raises `StoreError` for several."""
        if len(run_id) < SHORTEST_ID:
            return []
        found: dict[str, Run] = {}
        for what in (f"tags.`{OWN_ID}`", "attributes.run_id"):
            with contextlib.suppress(StoreError):  # a store that cannot search so: the whole id still finds it
                for run in self._search(list(self._experiments), f"{what} LIKE '{run_id}%'", ViewType.ACTIVE_ONLY, 20):
                    found[run.info.run_id] = run
        if len(found) > 1:
            raise ambiguous(run_id, [f"{name} ({run.info.run_name})" for name, run in found.items()])
        return list(found.values())

    def _unknown(self, run_id: str) -> str:
        recent = self.runs(limit=200)
        ids = {one: run for run in recent for one in (run.run_id, run.own_id) if one}
        near = difflib.get_close_matches(run_id, list(ids), n=1, cutoff=0.8) or [
            one for one in ids if len(run_id) >= 4 and one.startswith(run_id)
        ]
        if near:
            hint = f"Did you mean {near[0]} ({ids[near[0]].name})?"
        elif recent:
            shown = ", ".join(f"{run.run_id} ({run.name})" for run in recent[:SHOWN_RUNS])
            hint = f"The latest runs there are {shown}. Another store is named with --uri."
        else:
            hint = "The store holds no runs. Name the right one with --uri, or set MLFLOW_TRACKING_URI."
        return f"Run {run_id!r} is not in {shown_uri(self.uri)}. {hint}"

    def runs(self, experiment: str | None = None, limit: int = 1000, where: str = "") -> list[RunInfo]:
        """The latest runs of an experiment (name or id) or of all, newest first; raises `StoreError` for no such.

        `where` is a search expression of MLflow's; one that it does not understand is a `StoreError` as well.
        """
        ids = list(self._experiments)
        if experiment is not None:
            ids = [number for number, name in self._experiments.items() if experiment in (name, number)]
            if not ids:
                names = sorted(self._experiments.values())
                near = difflib.get_close_matches(experiment, names, n=1)
                hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(names[:10])}."
                raise StoreError(f"Experiment {experiment!r} is not in {shown_uri(self.uri)}. {hint}")
        try:
            return [self._info(run) for run in self._search(ids, where, ViewType.ACTIVE_ONLY, limit)]
        except StoreError as error:
            cause = error.__cause__
            if where and isinstance(cause, MlflowException) and cause.error_code == "INVALID_PARAMETER_VALUE":
                raise StoreError(f"MLflow does not understand the filter {where!r}: {cause.message}") from cause
            raise

    def _search(self, experiments: list[str], where: str, view: int, limit: int) -> list[Run]:
        found: list[Run] = []
        token: str | None = None
        while experiments and len(found) < limit:
            most, order = min(1000, limit - len(found)), ["attributes.start_time DESC"]
            search = partial(self._client.search_runs, experiments, where, view, most, order, token)
            page = self._asked(search)
            found += page
            token = page.token
            if not token:
                break
        return found

    def _info(self, run: Run) -> RunInfo:
        info, tags = run.info, run.data.tags
        return RunInfo(
            run_id=info.run_id,
            own_id=tags.get(OWN_ID),
            name=info.run_name or tags.get("mlflow.runName", ""),
            experiment_id=info.experiment_id,
            experiment=self._experiments.get(info.experiment_id, info.experiment_id),
            status=info.status,
            started=(info.start_time or 0) / 1000,
            ended=info.end_time / 1000 if info.end_time else None,
        )

    # -- what is in one --------------------------------------------------------------------------------------------

    def records(self, run_id: str) -> Iterator[tuple[float, Record]]:
        """(wall time, record) of the run: the whole series of one of ours, else its metric histories as readings."""
        for found in self.columns(run_id):
            if isinstance(found, Readings):
                yield from found.records()
            else:
                yield found

    def columns(self, run_id: str) -> Iterator[Readings | tuple[float, Record]]:
        """The same records in the same order, with readings that follow on each other as columns."""
        run = self._run(run_id)
        if run.data.tags.get(OWN_ID) and self._has(run.info.run_id, SERIES):
            with tempfile.TemporaryDirectory(prefix="soundrun-") as folder:
                where = self.artifacts_to(run.info.run_id, SERIES, Path(folder))
                try:
                    yield from read_columns(where.glob("part-*.parquet"))
                except SeriesError as error:
                    raise StoreError(str(error)) from error
            return
        histories = self._histories(run)
        if len(histories):
            yield histories

    def _histories(self, run: Run) -> Readings:
        """All points of all metrics, in the order of their times, steps and keys."""
        strings = {0: "", 1: METRIC.name}
        none = np.zeros(0)
        time, name, step, value = [none.astype(np.int64)], [none.astype(np.uint32)], [none.astype(np.int64)], [none]
        for key in sorted(run.data.metrics):
            if key.startswith(_SYSTEM):
                continue
            history = self._asked(partial(self._client.get_metric_history, run.info.run_id, key))
            time.append(np.array([point.timestamp for point in history], np.int64))
            name.append(np.full(len(history), len(strings), np.uint32))
            step.append(np.array([point.step for point in history], np.int64))
            value.append(np.array([_number(point.value) for point in history], np.float64))
            strings[len(strings)] = key
        times, names = np.concatenate(time), np.concatenate(name)
        steps, values = np.concatenate(step), np.concatenate(value)
        order = np.lexsort((names, steps, times))
        signals = np.full(len(order), 1, np.uint32)
        return Readings(times[order] / 1000, signals, names[order], steps[order], values[order], strings)

    def _has(self, run_id: str, folder: str) -> bool:
        return any(item.path == folder for item in self._asked(lambda: self._client.list_artifacts(run_id)))

    def artifacts_to(self, run_id: str, folder: str, into: Path) -> Path:
        """Copies the artifact folder (or file) `folder` of the run below `into`; returns the copy's path."""
        found = self._run(run_id).info.run_id
        into.mkdir(parents=True, exist_ok=True)
        top = folder.split("/", 1)[0]
        if not self._has(found, top):
            raise StoreError(
                f"Run {run_id} has no artifact {folder!r} in {shown_uri(self.uri)}. If it was tracked on this machine "
                "and its upload is not finished, run: tracker sync"
            )
        with _without_bars():
            return Path(self._asked(lambda: self._client.download_artifacts(found, folder, str(into))))

    def params(self, run_id: str) -> dict[str, str]:
        """The run's parameters."""
        return dict(self._run(run_id).data.params)

    def tags(self, run_id: str) -> dict[str, str]:
        """The run's tags."""
        return dict(self._run(run_id).data.tags)

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Sets tags, cut to what MLflow takes."""
        found = self._run(run_id).info.run_id
        items = [RunTag(key, shortened(str(text), MAX_TAG)) for key, text in tags.items()]
        self._asked(lambda: self._client.log_batch(found, tags=items))

    def set_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Logs metrics at step 0; the latest one counts."""
        found = self._run(run_id).info.run_id
        now = round(time.time() * 1000)
        items = [Metric(key, float(value), now, 0) for key, value in metrics.items()]
        self._asked(lambda: self._client.log_batch(found, metrics=items))

    def add_artifact(self, run_id: str, path: Path, folder: str = "") -> None:
        """Stores a file, replacing one of the same name."""
        found = self._run(run_id).info.run_id
        self._asked(lambda: self._client.log_artifact(found, str(path), folder or None))


def _number(value: float) -> float:
    return math.copysign(math.inf, value) if abs(value) == _LARGEST else value
