"""The copy that a script runs in: what is in it, and that it goes away."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tracker.drilling.script import scratch
from tracker.drilling.script.scratch import root_of, scratch_copy
from tracker.errors import ConfigError


@pytest.fixture
def project(tmp_path):
    """A script with data, an environment, a history and caches beside it."""
    root = tmp_path / "project"
    for name in (
        "src/train.py",
        "data/x.bin",
        ".git/HEAD",
        ".venv/pyvenv.cfg",
        "other/pyvenv.cfg",
        "__pycache__/a.pyc",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return root


def test_a_copy_has_what_a_training_reads_and_nothing_that_can_be_made_again(project):
    with scratch_copy(project / "src" / "train.py", project) as copied:
        files = sorted(str(path.relative_to(copied.root)) for path in copied.root.rglob("*") if path.is_file())
        moved = copied.moved(project / "src" / "train.py")

        assert files == ["data/x.bin", "src/train.py"]
        assert moved == copied.root / "src" / "train.py"
        assert copied.moved(project.parent / "elsewhere") == project.parent / "elsewhere"


def test_what_is_written_in_the_copy_does_not_reach_the_original_and_goes_with_it(project):
    (project / "linked.bin").symlink_to(project / "data" / "x.bin")

    with scratch_copy(project / "src" / "train.py", project) as copied:
        (copied.root / "linked.bin").write_text("overwritten")
        (copied.root / "new.txt").write_text("new")
        folder = copied.folder

    assert (project / "data" / "x.bin").read_text() == "data/x.bin"
    assert not (project / "new.txt").exists()
    assert not folder.exists()


def test_the_copy_goes_away_also_when_the_block_raises(project):
    copies = []

    def leave():
        with scratch_copy(project / "src" / "train.py", project) as copied:
            copies.append(copied.folder)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        leave()

    assert not copies[0].exists()


def test_files_beyond_the_limit_are_linked_to(project, monkeypatch):
    monkeypatch.setattr(scratch, "MOST_BYTES", 15)

    with scratch_copy(project / "src" / "train.py", project) as copied:
        links = [name for name in copied.linked if os.path.islink(copied.root / name)]
        read = [(copied.root / name).read_text() for name in links]

    assert len(links) == 1
    assert read == links


def test_the_current_folder_is_copied_where_the_script_is_in_it_and_it_is_no_home(project, monkeypatch):
    script = project / "src" / "train.py"

    assert root_of(script, project) == project
    assert root_of(script, project / "data") == project / "src"
    monkeypatch.setenv("HOME", str(project))
    assert root_of(script, project) == project / "src"


def test_copies_of_processes_that_were_killed_are_removed_by_the_next_one(project, tmp_path, monkeypatch):
    monkeypatch.setattr(scratch.tempfile, "tempdir", str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    dead, alive = tmp_path / f"preflight-{ended.pid}-x", tmp_path / f"preflight-{os.getpid()}-y"
    dead.mkdir()
    alive.mkdir()

    with scratch_copy(project / "src" / "train.py", project):
        pass

    assert not dead.exists()
    assert alive.exists()


def test_a_home_folder_is_copied_without_its_hidden_folders_and_never_when_it_is_large(project, monkeypatch):
    (project / ".cache" / "weights").mkdir(parents=True)
    (project / ".cache" / "weights" / "large.bin").write_text("x")
    (project / ".env").write_text("x")
    (project / "train.py").write_text("")
    monkeypatch.setenv("HOME", str(project))
    with scratch_copy(project / "train.py", project) as copied:
        names = {path.name for path in copied.root.rglob("*")}
    monkeypatch.setattr("tracker.drilling.script.scratch.MOST_FILES", 2)

    assert {"train.py", ".env"} <= names
    assert not names & {".cache", "large.bin"}
    with pytest.raises(ConfigError, match="into a folder of its own"):
        root_of(project / "train.py", project)
