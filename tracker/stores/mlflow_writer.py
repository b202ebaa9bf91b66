"""Writes one run into MLflow, through its client only; every call may be repeated without changing the result."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import mlflow
import mlflow.tracking
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from ..errors import StoreError
from .connect import alone, database_of, has_old_file_store, shown_uri
from .keys import MAX_PARAM, MAX_TAG, shortened

T = TypeVar("T")

RUN_ID_TAG = "tracker.id"
METRICS_A_BATCH = 1000
OTHERS_A_BATCH = 100
_OF_THE_DATA = frozenset(
    {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS", "MALFORMED_REQUEST", "INVALID_STATE"}
)
"""Error codes that mean: this request is wrong, and will be wrong when it is sent again."""


class StoreUnreachable(StoreError):
    """The store does not answer; trying again later may help."""


class StoreRefused(StoreError):
    """The store answers and will not take the run; the message says what the user can do."""


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else ""
    return f"{type(error).__name__}: {text if len(text) <= 300 else text[:299] + '…'}"


def _asked(what: str, uri: str, call: Callable[[], T]) -> T:
    """The result of `call`; what it raises becomes `StoreUnreachable`, or `StoreRefused` where data is at fault."""
    try:
        return call()
    except MlflowException as error:
        if error.error_code in _OF_THE_DATA:
            raise StoreRefused(f"{what} was refused by {shown_uri(uri)}: {_first_line(error)}") from error
        raise StoreUnreachable(f"{what} failed at {shown_uri(uri)}: {_first_line(error)}") from error
    except Exception as error:  # sqlalchemy, requests, OSError, a plug-in's own: all mean "not now"
        raise StoreUnreachable(f"{what} failed at {shown_uri(uri)}: {_first_line(error)}") from error


class RunWriter:
    """The one run of a sidecar, in the store at `uri`."""

    def __init__(self, uri: str, cwd: Path) -> None:
        """Opens the store, and creates it when it is a local database that does not exist yet.

        Raises `StoreUnreachable` or `StoreRefused`.
        """
        self.uri = uri
        self._cwd = cwd
        self.run_id = ""
        self.experiment_id = ""
        self.refused: dict[str, str] = {}
        """What the store did not take, by name, and why."""
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        if _is_file_store(uri) and not _file_store_is_allowed():
            fix = (
                f"Convert it with: mlflow migrate-filestore --source {cwd / 'mlruns'} "
                f"--target sqlite:///{cwd / 'mlflow.db'}"
                if has_old_file_store(cwd)
                else "Name a database instead, as sqlite:///mlflow.db, or set MLFLOW_ALLOW_FILE_STORE=true."
            )
            raise StoreRefused(f"{uri} is a store of MLflow's former file format, which MLflow no longer opens. {fix}")
        _check_database(uri)
        with alone(uri):
            _asked("making the database", uri, lambda: _make_database(uri))
            self.client: MlflowClient = _asked("opening the store", uri, lambda: MlflowClient(tracking_uri=uri))
            _asked("opening the store", uri, lambda: self.client.search_experiments(max_results=1))

    # -- which run -------------------------------------------------------------------------------------------------

    def use_experiment(self, name: str | None) -> None:
        """Makes sure the experiment exists; None is the one MLflow itself would use. Raises `StoreRefused`."""
        if name is None:
            chosen = os.environ.get("MLFLOW_EXPERIMENT_ID")
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "Default"
            if chosen:
                self._use_experiment_number(chosen)
                return
        wanted = name
        found = _asked("finding the experiment", self.uri, lambda: self.client.get_experiment_by_name(wanted))
        if found is None:
            with alone(self.uri):
                try:
                    create = partial(self.client.create_experiment, wanted, self._artifacts_of(wanted))
                    self.experiment_id = str(_asked("creating the experiment", self.uri, create))
                    return
                except StoreRefused as error:
                    if "already exists" not in str(error):  # else another run was faster
                        raise
            found = _asked("finding the experiment", self.uri, lambda: self.client.get_experiment_by_name(wanted))
        if found is None or found.lifecycle_stage != "active":
            number = found.experiment_id if found is not None else "?"
            raise StoreRefused(
                f"Experiment {wanted!r} is deleted in {shown_uri(self.uri)}, expected an active one. Restore it with: "
                f"mlflow experiments restore --experiment-id {number}, then: tracker sync."
            )
        self.experiment_id = str(found.experiment_id)

    def _artifacts_of(self, experiment: str) -> str | None:
        """Where the artifacts of a new experiment go; None for the place that MLflow chooses.

        For a database elsewhere that would be the folder of the script, and the run would be lost with it.
        """
        database = database_of(self.uri)
        if database is None or database.parent == self._cwd:
            return None
        name = re.sub(r"[^\w.-]+", "-", experiment).strip("-.")[:40]
        return str(database.parent / "mlruns" / "-".join(filter(None, [name, os.urandom(4).hex()])))

    def _use_experiment_number(self, number: str) -> None:
        try:
            self.client.get_experiment(number)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise StoreRefused(
                    f"MLFLOW_EXPERIMENT_ID is {number}, and {shown_uri(self.uri)} has no such experiment. "
                    "Name one that exists, or give the run an experiment, then: tracker sync."
                ) from error
            raise StoreUnreachable(f"finding experiment {number} failed: {_first_line(error)}") from error
        except Exception as error:
            raise StoreUnreachable(f"finding experiment {number} failed: {_first_line(error)}") from error
        self.experiment_id = number

    def find_or_create(self, own_id: str, name: str | None, started: float, tags: Mapping[str, str]) -> None:
        """Takes the run with this own id, or makes it. `started` in Unix seconds.

        Of the tags a new run has only those that MLflow itself reads: what it does not take would refuse the whole run.
        """
        runs = _asked(
            "finding the run",
            self.uri,
            lambda: self.client.search_runs(
                [self.experiment_id], f"tags.`{RUN_ID_TAG}` = '{own_id}'", ViewType.ALL, max_results=1
            ),
        )
        if runs:
            self._take(runs[0])
            return
        first = {key: shortened(text, MAX_TAG) for key, text in tags.items() if key.startswith("mlflow.")}
        # A name in the user's tags is the name: MLflow refuses a run that has two.
        shown = first.pop("mlflow.runName", None) or (shortened(name, MAX_TAG) if name is not None else None)
        run = _asked(
            "creating the run",
            self.uri,
            lambda: self.client.create_run(
                self.experiment_id, start_time=round(started * 1000), tags={**first, RUN_ID_TAG: own_id}, run_name=shown
            ),
        )
        self.run_id = run.info.run_id

    def adopt(self, run_id: str) -> None:
        """Takes a run that user code has made. Raises `StoreRefused` when it does not exist here."""
        try:
            run = self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise StoreRefused(f"Run {run_id} does not exist in {shown_uri(self.uri)}.") from error
            raise StoreUnreachable(f"finding run {run_id} failed: {_first_line(error)}") from error
        except Exception as error:
            raise StoreUnreachable(f"finding run {run_id} failed: {_first_line(error)}") from error
        self.experiment_id = run.info.experiment_id
        self._take(run)

    def _take(self, run: mlflow.entities.Run) -> None:
        self.run_id = run.info.run_id
        if run.info.lifecycle_stage != "active":
            raise StoreRefused(
                f"Run {self.run_id} was deleted in {shown_uri(self.uri)}. Restore it with: "
                f"mlflow runs restore --run-id {self.run_id}, then: tracker sync."
            )

    def discard(self, run_id: str) -> None:
        """Deletes a run of ours that another has taken the place of; one that is gone already is fine."""
        try:
            self.client.delete_run(run_id)
        except MlflowException as error:
            if error.error_code not in {*_OF_THE_DATA, "RESOURCE_DOES_NOT_EXIST"}:
                raise StoreUnreachable(f"deleting run {run_id} failed: {_first_line(error)}") from error

    # -- what is in it ---------------------------------------------------------------------------------------------

    def metrics(self, points: Sequence[tuple[str, float, int, int]]) -> None:
        """Logs (key, value, time in ms, step); a point that is there already is not stored twice."""
        for batch in _batches(points, METRICS_A_BATCH):
            self._batch(
                [Metric(*point) for point in batch], lambda some: self.client.log_batch(self.run_id, metrics=some)
            )

    def params(self, params: Mapping[str, str]) -> None:
        """Logs parameters; one that the run already has with another value is left as it is, and noted as refused."""
        for batch in _batches([Param(key, shortened(text, MAX_PARAM)) for key, text in params.items()], OTHERS_A_BATCH):
            self._batch(batch, lambda some: self.client.log_batch(self.run_id, params=some))

    def tags(self, tags: Mapping[str, str]) -> None:
        """Sets tags."""
        for batch in _batches([RunTag(key, shortened(text, MAX_TAG)) for key, text in tags.items()], OTHERS_A_BATCH):
            self._batch(batch, lambda some: self.client.log_batch(self.run_id, tags=some))

    def untag(self, key: str) -> None:
        """Takes a tag away; the run must have it."""
        _asked("taking a tag away", self.uri, lambda: self.client.delete_tag(self.run_id, key))

    def _batch(self, items: list[T], log: Callable[[list[T]], object]) -> None:
        """Logs a batch; one that is refused is halved until what is at fault stands alone, and that is noted."""
        if not items:
            return
        try:
            _asked("logging", self.uri, lambda: log(items))
        except StoreRefused as error:
            self._check_it_exists()
            if len(items) == 1:
                self.refused[str(getattr(items[0], "key", "?"))] = str(error)
                return
            middle = len(items) // 2
            self._batch(items[:middle], log)
            self._batch(items[middle:], log)

    def _check_it_exists(self) -> None:
        self._take(_asked("finding the run", self.uri, lambda: self.client.get_run(self.run_id)))

    def artifact(self, path: Path, folder: str) -> None:
        """Stores a file, replacing one of the same name."""
        _asked(
            f"storing {path.name}", self.uri, lambda: self.client.log_artifact(self.run_id, str(path), folder or None)
        )

    def folder(self, path: Path, folder: str) -> None:
        """Stores a folder with everything in it."""
        _asked(f"storing {path.name}", self.uri, lambda: self.client.log_artifacts(self.run_id, str(path), folder))

    def current(self) -> tuple[str, dict[str, str]]:
        """Status and tags of the run as the store has them."""
        run = _asked("reading the run", self.uri, lambda: self.client.get_run(self.run_id))
        return str(run.info.status), dict(run.data.tags)

    def stored(self) -> tuple[dict[str, str], dict[str, str]]:
        """Parameters and tags of the run as the store has them."""
        run = _asked("reading the run", self.uri, lambda: self.client.get_run(self.run_id))
        return dict(run.data.params), dict(run.data.tags)

    def end(self, status: str, ended: float) -> None:
        """Closes the run; `ended` in Unix seconds."""
        end_time = round((ended if math.isfinite(ended) and ended > 0 else time.time()) * 1000)
        _asked("closing the run", self.uri, lambda: self.client.set_terminated(self.run_id, status, end_time))


def _check_database(uri: str) -> None:
    """Raises `StoreRefused` for a SQLite file that cannot be: MLflow would try for minutes before it says so."""
    database = database_of(uri)
    if database is None:
        return
    fix = "Name another store with tracking_uri or MLFLOW_TRACKING_URI, then: tracker sync --uri URI."
    if database.exists():
        if not database.is_file():
            raise StoreRefused(f"{database} is no file, expected a SQLite database. {fix}")
        if not os.access(database, os.W_OK):
            raise StoreRefused(f"The database {database} cannot be written, expected a writable file. {fix}")
        return
    folder = next(parent for parent in database.parents if parent.exists())
    if not os.access(folder, os.W_OK):
        raise StoreRefused(f"The database {database} cannot be made: {folder} cannot be written. {fix}")


def _make_database(uri: str) -> None:
    """Makes the SQLite file of a store that has none, whole or not at all.

    MLflow makes its tables in place, over seconds; killed meanwhile, it leaves a file that no MLflow can open again.
    Hence it is made elsewhere, and put into its place in one step.
    """
    database = database_of(uri)
    if database is None or database.exists():
        return
    with tempfile.TemporaryDirectory(prefix="soundrun-", ignore_cleanup_errors=True) as folder:
        made = Path(folder) / "mlflow.db"
        MlflowClient(tracking_uri=f"sqlite:///{made}").search_experiments(max_results=1)
        with contextlib.closing(sqlite3.connect(made)) as connection, connection:
            # MLflow would keep the artifacts below the folder of the script, and lose them with it.
            place = str(database.parent / "mlruns" / "0")
            connection.execute("UPDATE experiments SET artifact_location = ? WHERE experiment_id = 0", (place,))
        beside = database.with_name(f".{database.name}.{os.getpid()}")
        try:
            shutil.copyfile(made, beside)
            try:
                os.link(beside, database)  # unlike a renaming, never over a file that is there
            except FileExistsError:
                return
            except OSError:  # a file system without links
                os.replace(beside, database)
        finally:
            beside.unlink(missing_ok=True)


def _is_file_store(uri: str) -> bool:
    return uri.startswith("file:") or ("://" not in uri and not uri.startswith(("databricks", "uc")))


def _file_store_is_allowed() -> bool:
    return os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() in ("true", "1")


def _batches(items: Iterable[T], size: int) -> Iterable[list[T]]:
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
