"""Every test has its own home for runs and its own working directory."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import playing
import pytest

from tracker.rundir import RunDir
from tracker.sidecar import upload_run

PLAYER = Path(playing.__file__)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that holds the runs of this test."""
    folder = tmp_path / "home"
    monkeypatch.setenv("TRACKER_HOME", str(folder))
    monkeypatch.setenv("PYTHONPATH", str(PLAYER.parents[2]))
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    """The directory the training is started in."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of MLflow's: to make one takes seconds."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path.parent)  # the artifacts of its default experiment are kept where it was made
        MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def fresh_uri(cwd: Path) -> str:
    """A SQLite store that does not exist yet: the one MLflow uses in `cwd` by default."""
    return f"sqlite:///{cwd / 'mlflow.db'}"


@pytest.fixture
def uri(fresh_uri: str, database: Path, cwd: Path) -> str:
    """The same store, empty."""
    shutil.copy(database, cwd / "mlflow.db")
    return fresh_uri


@pytest.fixture
def upload_here(cwd: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[RunDir], bool]:
    """Uploads a run that has ended as the sidecar does, but in this process: its start takes longer than its work."""

    def upload(rundir: RunDir) -> bool:
        monkeypatch.chdir(cwd)
        return upload_run(rundir, patience=0.0)

    return upload


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts processes, and ends at the end of the test those that still live."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*command: str, **options: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, **options)
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
