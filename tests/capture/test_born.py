"""What a run makes before its code is captured is no part of the state that it started from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.capture.repositories import code_files, git, new_repository
from tracker.capture.born import born, made_since, process_began
from tracker.capture.code import capture_code
from tracker.capture.data import digest_files
from tracker.capture.inputs import keep_inputs
from tracker.reproduce.restore import restore_code


def now(folder: Path) -> float:
    """The time as the file system keeps it, which lags a little behind the clock; what is made next is later."""
    probe = folder / "clock-probe"
    probe.touch()
    moment = probe.stat().st_mtime
    probe.unlink()
    while time.time() < moment + 0.02:
        time.sleep(0.005)
    return moment


@pytest.fixture(autouse=True)
def knows_births(tmp_path: Path) -> None:
    if born(tmp_path) is None:
        pytest.skip("this file system does not keep when a file was made")


def results(root: Path) -> None:
    """Leave what a training leaves."""
    (root / "out" / "deep").mkdir(parents=True)
    (root / "out" / "log.csv").write_text("0,1.5\n")
    (root / "model.pt").write_bytes(bytes(range(256)) * 100)
    (root / "done.json").write_text("{}")
    (root / "latest").symlink_to("model.pt")


def test_a_file_a_folder_and_a_link_have_a_time_of_birth_that_writing_does_not_move(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    names = ("file", "folder", "link")
    before = {name: born(tmp_path / name) for name in names}
    moment = now(tmp_path)
    (tmp_path / "file").write_text("b")
    (tmp_path / "folder" / "inner").touch()

    assert all(at is not None and at <= moment for at in before.values())
    assert {name: born(tmp_path / name) for name in names} == before
    assert made_since(moment)(tmp_path / "folder" / "inner")
    assert not made_since(moment)(tmp_path / "file")
    assert not made_since(None)(tmp_path / "folder" / "inner")
    assert born(tmp_path / "none") is None


def test_results_that_are_there_already_when_the_code_is_captured_are_left_out(tmp_path: Path) -> None:
    root = new_repository(tmp_path / "project")
    (root / "new.py").write_text("NEW = 1\n")
    (root / "logs").mkdir()
    expected = code_files(root)
    began = now(tmp_path)
    results(root)

    captured = capture_code(root, tmp_path / "kept", script=root / "train.py", began=began)
    restored = restore_code(tmp_path / "kept", tmp_path / "again")

    assert captured.facts["made"] == ["done.json", "latest", "model.pt", "out/log.csv"]
    assert captured.facts["folders"] == ["logs"]
    assert captured.facts["changed"] == ["new.py"]
    assert captured.gaps == []
    assert restored.matches
    assert code_files(restored.root) == expected
    assert not (restored.root / "out").exists()


def test_a_huge_result_is_no_gap(tmp_path: Path) -> None:
    root = new_repository(tmp_path / "project")
    began = now(tmp_path)
    (root / "model.pt").write_bytes(bytes(11_000_000))

    assert capture_code(root, tmp_path / "kept", script=root / "train.py", began=began).gaps == []
    assert len(capture_code(root, tmp_path / "kept2", script=root / "train.py").gaps) == 1


def test_a_module_that_the_script_wrote_and_imported_is_kept(tmp_path: Path) -> None:
    root = new_repository(tmp_path / "project")
    began = now(tmp_path)
    (root / "made.py").write_text("MADE = 1\n")

    captured = capture_code(
        root, tmp_path / "kept", script=root / "train.py", loaded_files=[root / "made.py"], began=began, cwd=root
    )

    assert (captured.facts["made"], captured.facts["changed"]) == ([], ["made.py"])
    assert (restore_code(tmp_path / "kept", tmp_path / "again").root / "made.py").read_text() == "MADE = 1\n"


def test_results_in_a_submodule_and_without_a_repository_are_left_out(tmp_path: Path) -> None:
    library = new_repository(tmp_path / "library")
    root = new_repository(tmp_path / "project")
    git(root, "submodule", "add", "-q", str(library), "lib")
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "train.py").write_text("print('plain')\n")
    (plain / "settings.json").write_text("{}")
    began = now(tmp_path)
    results(root / "lib")
    results(plain)

    inner = capture_code(root, tmp_path / "kept", script=root / "train.py", began=began)
    outer = capture_code(plain, tmp_path / "kept2", script=plain / "train.py", began=began)

    assert inner.facts["made"] == ["lib/done.json", "lib/latest", "lib/model.pt", "lib/out/log.csv"]
    assert outer.facts["folders"] == []
    assert set(code_files(restore_code(tmp_path / "kept2", tmp_path / "again").root)) == {"train.py", "settings.json"}


def test_a_file_that_was_read_and_written_over_before_the_capture_is_a_gap(tmp_path: Path) -> None:
    root = new_repository(tmp_path / "project")
    for name in ("counter.txt", "log.txt"):
        (root / name).write_text("1")
    began = now(tmp_path)
    for name in ("counter.txt", "log.txt"):
        (root / name).write_text("22")

    captured = capture_code(root, tmp_path / "kept", script=root / "train.py", began=began)
    read = [root / "counter.txt", root / "log.txt"]
    digest_files(read, tmp_path / "kept", root=root)
    kept = keep_inputs(tmp_path / "kept", root, rewritten=[str(root / "counter.txt")])

    assert {"counter.txt", "log.txt"} == {*captured.facts["late"]}  # type: ignore[misc]
    assert [(gap.blocking, gap.what.split()[0]) for gap in kept.gaps] == [(True, "counter.txt")]
    rows = json.loads((tmp_path / "kept" / "data.json").read_text())["items"]
    assert {os.path.basename(row["path"]): bool(row.get("rewritten")) for row in rows} == {
        "counter.txt": True,
        "log.txt": False,
    }


def test_the_time_a_process_began_is_never_before_what_lay_there_already(tmp_path: Path) -> None:
    (tmp_path / "before").touch()
    before = born(tmp_path / "before")
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        began = process_began(child.pid)
        after = time.time() + 1

        assert began is not None
        assert before is not None
        assert before < began < after
        assert process_began(child.pid, run_began=began - 5) is None
        assert process_began(child.pid, launched=tmp_path / "before") == pytest.approx(before, abs=0.01)
        assert process_began(child.pid, launched=tmp_path / "none") == pytest.approx(began, abs=0.1)
    finally:
        child.communicate(b"\n")
    assert process_began(child.pid) is None
