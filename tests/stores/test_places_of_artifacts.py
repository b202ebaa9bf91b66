"""Where the artifacts of a local database are kept."""

import sqlite3

import pytest

from tracker.stores.mlflow_writer import RunWriter


def locations(database):
    with sqlite3.connect(database) as connection:
        return dict(connection.execute("SELECT name, artifact_location FROM experiments").fetchall())


@pytest.mark.parametrize("inside", [True, False])
def test_the_artifacts_lie_beside_the_database_and_not_beside_the_script(inside, tmp_path, monkeypatch):
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    folder = project if inside else tmp_path / "store"

    RunWriter(f"sqlite:///{folder / 'mlflow.db'}", project).use_experiment("über / 1")

    found = locations(folder / "mlflow.db")
    assert found["Default"] == str(folder / "mlruns" / "0")
    assert found["über / 1"].startswith(str(folder / "mlruns") + "/")


def test_two_experiments_whose_names_look_alike_do_not_share_a_folder(tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    writer = RunWriter(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "project")
    for name in ("a b", "a/b"):
        writer.use_experiment(name)

    found = locations(tmp_path / "mlflow.db")
    assert found["a b"] != found["a/b"]
