"""A working directory and processes of its own for each test of several ranks."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture(autouse=True)
def _no_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the variables that say who this process is among others."""
    for name in [name for name in os.environ if name.startswith(("SLURM_", "OMPI_", "TORCHELASTIC_"))]:
        monkeypatch.delenv(name)
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)


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
        patch.chdir(path.parent)
        MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def uri(cwd: Path, database: Path) -> str:
    """The store that is MLflow's default in `cwd`, empty."""
    shutil.copy(database, cwd / "mlflow.db")
    return f"sqlite:///{cwd / 'mlflow.db'}"


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
        process.communicate()
