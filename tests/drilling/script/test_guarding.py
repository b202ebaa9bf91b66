"""A script in a copy cannot write to the original, whatever path it uses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tracker.drilling.script.guarding import guard_torch_save

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
import os, pathlib, shutil, sqlite3, sys
from tracker.drilling.script.guarding import refuse_writes

below = sys.argv[1]
refuse_writes(below)
inside = os.path.join(below, "kept.txt")
tries = {
    "write": lambda: open(inside, "w"),
    "append": lambda: open(inside, "a"),
    "update": lambda: open(inside, "r+"),
    "new": lambda: pathlib.Path(below, "new.txt").write_text("x"),
    "low": lambda: os.open(inside, os.O_WRONLY),
    "remove": lambda: os.remove(inside),
    "rename": lambda: os.rename(inside, inside + "x"),
    "folder": lambda: os.mkdir(os.path.join(below, "folder")),
    "tree": lambda: shutil.rmtree(below),
    "move into": lambda: os.rename(sys.argv[2], os.path.join(below, "moved")),
    "database": lambda: sqlite3.connect(os.path.join(below, "a.db")),
    "by a link": lambda: open(sys.argv[3], "w"),
    "read": lambda: open(inside).read(),
    "elsewhere": lambda: open(sys.argv[2], "w").write("x"),
}
for name, do in tries.items():
    try:
        do()
        print(name, "done")
    except PermissionError as error:
        print(name, "refused" if "preflight" in str(error) else error)
"""


def test_everything_that_python_writes_below_the_original_is_refused(tmp_path):
    below, link = tmp_path / "original", tmp_path / "link.txt"
    below.mkdir()
    (below / "kept.txt").write_text("kept")
    link.symlink_to(below / "kept.txt")
    (tmp_path / "free.txt").write_text("free")

    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(below), str(tmp_path / "free.txt"), str(link)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert not done.returncode, done.stderr
    said = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())

    assert {name for name, what in said.items() if what == "done"} == {"read", "elsewhere"}
    assert set(said.values()) == {"done", "refused"}
    assert [path.name for path in below.iterdir()] == ["kept.txt"]
    assert (below / "kept.txt").read_text() == "kept"


def test_checkpoints_are_refused_as_well_though_they_are_written_in_cpp(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "save", torch.save)
    guard_torch_save(torch, str(tmp_path / "original"))
    (tmp_path / "original").mkdir()

    with pytest.raises(PermissionError, match="relative path"):
        torch.save({}, tmp_path / "original" / "a.pt")
    torch.save({}, tmp_path / "b.pt")

    assert (tmp_path / "b.pt").exists()
