"""Files that a run saw the names of belong to its data: a folder that is listed again lists the same."""

import json
import os
import time
from pathlib import Path

import pytest

from tracker.capture.data import changed_files, digest_files
from tracker.capture.inputs import keep_inputs
from tracker.capture.listed import listed_files
from tracker.capture.opened import OpenedFiles
from tracker.reproduce.data import DataCheck, place_data


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    (folder / "data").mkdir(parents=True)
    for number in range(4):
        (folder / "data" / f"{number}.txt").write_text(str(number))
    (folder / "beside.txt").write_text("x")
    time.sleep(0.02)  # file systems know the time to some 10 ms
    return folder


@pytest.fixture
def opened(project):
    collector = OpenedFiles()
    collector.start()
    yield collector
    collector.stop()


def named(project, opened, **more):
    found = listed_files(opened.listed(), [Path(path) for path in opened.paths()], project, **more)
    return [path.relative_to(project).as_posix() for path in found]


@pytest.mark.parametrize(
    "how", [os.listdir, lambda folder: list(os.scandir(folder)), lambda folder: [*folder.iterdir()]]
)
def test_what_lies_beside_the_files_that_were_read_counts_and_what_the_run_made_does_not(project, opened, how):
    how(project / "data")
    (project / "data" / "1.txt").read_text()
    (project / "data" / "made.txt").write_text("out")

    assert named(project, opened) == ["data/0.txt", "data/2.txt", "data/3.txt"]


def test_a_folder_that_was_not_listed_not_read_from_or_holds_code_does_not_count(project, opened, monkeypatch):
    monkeypatch.chdir(project)
    (project / "data" / "1.txt").read_text()
    (project / "beside.txt").read_text()
    os.listdir()
    os.listdir(project)

    (project / "checkpoints").mkdir()
    (project / "checkpoints" / "old.pt").write_text("x")
    os.utime(project / "checkpoints" / "old.pt", (1, 1))
    os.listdir("checkpoints")

    assert named(project, opened) == []
    os.listdir("data")
    assert len(named(project, opened)) == 3
    assert named(project, opened, sys_path=[str(project / "data")]) == []
    assert listed_files(opened.listed(), [project / "data" / "1.txt"], project / "data" / "deeper") == []


def test_the_folders_of_installed_packages_take_no_place(opened):
    for folder in (os.path.dirname(pytest.__file__), os.path.join(os.path.dirname(os.__file__), "json")):
        os.listdir(folder)

    assert not any("-packages" in folder or folder.endswith("json") for folder in opened._listed)


@pytest.mark.parametrize("told", [None, [], "x", [["/x"], "y"], [5, 5], [[None, "/"], 1]])
def test_what_is_no_account_of_folders_is_passed_over(told, tmp_path):
    assert listed_files(told, [tmp_path / "x"], tmp_path) == []


def record(project, into):
    """data.json of a run that read 1.txt and listed its folder; the others are ignored by git."""
    beside = [project / "data" / f"{number}.txt" for number in (0, 2, 3)]
    captured = digest_files([project / "data" / "1.txt"], into, root=project, listed=beside)
    (into / "code.files.txt").write_text("")
    keep_inputs(into, project)
    return captured, json.loads((into / "data.json").read_text())


def test_they_are_stored_without_a_digest_and_only_their_presence_is_checked(project, tmp_path):
    captured, data = record(project, tmp_path / "capture")
    check = DataCheck(data)

    assert captured.facts["files"] == 1
    assert [row.get("sha256") is not None for row in data["items"]] == [True, False, False, False]
    assert len(data["stored"]) == 4
    (project / "data" / "0.txt").write_text("other")
    assert check.changed(tmp_path / "again") == []
    (project / "data" / "0.txt").unlink()
    assert check.changed(tmp_path / "again") == ["data/0.txt (missing)"]


def test_they_are_put_beside_the_files_that_were_read(project, tmp_path):
    _, data = record(project, tmp_path / "capture")
    (tmp_path / "again").mkdir()
    check = DataCheck(data)

    place_data(tmp_path / "again", check.outside_project(tmp_path / "again"))

    assert sorted(os.listdir(tmp_path / "again" / "data")) == ["0.txt", "1.txt", "2.txt", "3.txt"]


def test_a_file_that_one_run_read_and_another_listed_is_compared_by_its_size(project, tmp_path):
    _, listed = record(project, tmp_path / "one")
    digest_files(sorted((project / "data").iterdir()), tmp_path / "two", root=project)
    read = json.loads((tmp_path / "two" / "data.json").read_text())

    assert changed_files(listed["items"], read["items"]) == []
    read["items"][0]["size"] += 1
    assert changed_files(listed["items"], read["items"]) == ["data/0.txt"]
