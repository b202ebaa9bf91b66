"""What a run writes outside of its project is told from what follows the project."""

import os
import tempfile
from pathlib import Path

import pytest
import torch

from tracker.capture.opened import OpenedFiles
from tracker.capture.outputs import MOST, output_rows
from tracker.capture.readers import watch_readers


@pytest.fixture
def opened():
    collector = OpenedFiles()
    collector.start()
    yield collector
    collector.stop()


def test_every_way_to_write_is_seen_and_how_the_file_was_named(tmp_path, opened, monkeypatch):
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    watch_readers(opened)

    Path("plain.txt").write_text("x")
    Path("../up.txt").write_text("x")
    (tmp_path / "absolute.txt").write_text("x")
    torch.save({}, tmp_path / "net.pt")
    torch.save({}, "../up.pt")
    with open("stream.pt", "wb") as stream:
        torch.save({}, stream)

    how = {os.path.basename(row["path"]): (row["absolute"], row["climbing"]) for row in opened.outputs()}
    assert how == {
        "plain.txt": (False, False),
        "up.txt": (False, True),
        "absolute.txt": (True, False),
        "net.pt": (True, False),
        "up.pt": (False, True),
        "stream.pt": (False, False),
    }
    assert torch.load("../up.pt") == {}
    assert opened.paths() == []


def test_an_input_that_was_written_over_is_an_output(tmp_path, opened):
    file = tmp_path / "last.pt"
    file.write_text("x")
    os.utime(file, (1, 1))
    file.read_text()
    file.write_text("y")

    assert [row["path"] for row in opened.outputs()] == [str(file)]


def row(path, absolute=True, climbing=False):
    return {"path": path, "absolute": absolute, "climbing": climbing}


def test_outside_of_the_project_counts_and_inside_only_what_was_named_absolutely():
    written = [
        row("/home/me/project/out.txt", absolute=False),
        row("/home/me/project/named.txt"),
        row("/data/models/net.pt"),
        row("/home/me/up.txt", absolute=False, climbing=True),
        row("/home/me/work/beside.txt", absolute=False),
    ]

    found = output_rows(written, Path("/home/me/project"), Path("/home/me/work"), {"HOME": "/home/me"})

    assert found == [
        {"path": "/home/me/project/named.txt", "absolute": True, "relative": "named.txt"},
        {"path": "/data/models/net.pt", "absolute": True},
        {"path": "/home/me/up.txt", "climbing": True, "from_root": "../up.txt"},
    ]


def test_caches_hidden_folders_of_the_home_and_temporary_files_do_not_count():
    home = {"HOME": "/home/me", "XDG_CACHE_HOME": "/caches"}
    written = [row(path) for path in ("/home/me/.triton/x", "/caches/x", f"{tempfile.gettempdir()}/x", "/home/me/x")]

    assert [one["path"] for one in output_rows(written, Path("/project"), None, home)] == ["/home/me/x"]


def test_a_project_below_the_folder_for_temporary_files_has_outputs_there(tmp_path):
    written = [row(str(tmp_path / "out" / "x"))]

    in_a_temporary_folder = Path(tempfile.gettempdir()) / "project"

    assert output_rows([row(f"{tempfile.gettempdir()}/out/x")], in_a_temporary_folder, None, {"HOME": "/h"})
    assert not output_rows([row(f"{tempfile.gettempdir()}/out/x")], Path("/project"), None, {"HOME": "/h"})
    assert len(output_rows(written * (MOST + 5), None, None, {"HOME": "/h"})) <= MOST
    assert output_rows([{"path": 3}, {}], None) == []
