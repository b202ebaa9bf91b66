"""What the tests of commands share."""

import pytest


@pytest.fixture
def project(tmp_path, monkeypatch, root):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'store' / 'mlflow.db'}")
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store").mkdir()
    folder = tmp_path / "project"
    folder.mkdir()
    return folder
