"""What holds for every test: our own faults are raised, nothing lands in the user's folders, one thread."""

import os
from pathlib import Path

import pytest

# Read by torch when it is first imported, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


@pytest.fixture(autouse=True)
def _apart(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of its own for the runs of each test, and none of the caller's settings."""
    for name in [name for name in os.environ if name.startswith(("TRACKER_", "MLFLOW_")) and "TELEMETRY" not in name]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TRACKER_STRICT", "1")
    monkeypatch.setenv("TRACKER_NO_RESOLVE", "1")  # no test asks a package index
    monkeypatch.setenv("TRACKER_NO_REPORT", "1")  # half a second of drawing for each run; tests of the page unset it
    monkeypatch.setenv("TRACKER_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return Path(__file__).resolve().parents[1]
