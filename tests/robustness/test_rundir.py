"""The folders of runs: how a run is found by an id or its beginning."""

from __future__ import annotations

import pytest

from tracker.errors import StoreError
from tracker.rundir import RunDir, home

ONE, OTHER = "abcdef01" + "0" * 24, "abcdef02" + "0" * 24


@pytest.fixture
def two() -> RunDir:
    RunDir.create({"id": OTHER, "name": "other"})
    rundir = RunDir.create({"id": ONE, "name": "one"})
    rundir.update_state(mlflow_run_id="fedcba" + "1" * 26)
    return rundir


@pytest.mark.parametrize("given", [ONE, ONE[:8], "fedcba" + "1" * 26, "fedcba"])
def test_a_run_is_found_by_either_id_and_by_its_beginning(two, given):
    found = RunDir.find(given)

    assert found is not None
    assert found.path == two.path


def test_a_beginning_that_two_runs_share_names_both(two):
    with pytest.raises(StoreError, match="2 runs begin with 'abcdef'") as caught:
        RunDir.find("abcdef")

    assert ONE in str(caught.value)
    assert OTHER in str(caught.value)


@pytest.mark.parametrize("given", ["", "abcde", "0" * 32, "../runs/" + ONE, ONE + "/", "*"])
def test_what_is_no_id_finds_nothing(two, given):
    assert RunDir.find(given) is None


def test_a_folder_that_is_there_is_never_touched(two):
    again = RunDir.create({"id": ONE, "name": "again"})

    assert again.path != two.path
    assert two.spec["name"] == "one"
    assert two.state["mlflow_run_id"]


@pytest.mark.parametrize("name", ["TRACKER_HOME", "XDG_CACHE_HOME"])
def test_a_home_of_nobody_is_no_folder_in_the_work_tree(name, tmp_path, monkeypatch):
    monkeypatch.delenv("TRACKER_HOME")
    monkeypatch.setenv(name, "~nobody-of-that-name/x")
    monkeypatch.chdir(tmp_path)

    assert home().parent == tmp_path / "tmp"
    rundir = RunDir.create({"id": ONE, "name": "one"})
    assert [run.path for run in RunDir.all()] == [rundir.path]
