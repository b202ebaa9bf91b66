"""Files that git-lfs keeps: the code has the pointer, the run read the content, and a re-run reads it again."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tracker.capture.code import capture_code
from tracker.capture.data import digest_files
from tracker.capture.inputs import InputLimits, keep_inputs
from tracker.reproduce.data import DataCheck, place_data
from tracker.reproduce.pointers import is_pointer, pointers_of
from tracker.reproduce.restore import restore_code

CONTENT = b"the content of a large file\n" * 100
ODD = 'data/od d [x] "q" #!.bin'


def pointer(content):
    oid = hashlib.sha256(content).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"


def git(folder, *arguments):
    settings = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *settings, *arguments], cwd=folder, check=True, capture_output=True)


def make_project(folder, *names):
    """A repository as git-lfs leaves it: pointers are committed, the content lies on disk."""
    (folder / "data").mkdir(parents=True)
    (folder / "train.py").write_text("")
    (folder / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    for name in names:
        (folder / name).write_text(pointer(CONTENT))
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "one")
    for name in names:
        (folder / name).write_bytes(CONTENT)
    return folder


def capture(project, into, *read, limits=None):
    capture_code(project, into, script=project / "train.py")
    digest_files([project / name for name in read], into, root=project)
    kept = keep_inputs(into, project, limits=limits)
    return kept, json.loads((into / "data.json").read_text())


@pytest.mark.parametrize("name", ["data/a.bin", ODD])
def test_the_content_that_was_read_comes_back_over_its_pointer_and_the_code_is_equal(tmp_path, name):
    project = make_project(tmp_path / "project", name, "data/unread.bin")
    kept, data = capture(project, tmp_path / "capture", name)
    shutil.rmtree(project)

    restored = restore_code(tmp_path / "capture", tmp_path / "again")

    (item,) = data["items"]
    assert (item["lfs"], item["stored"], item.get("in_code"), kept.gaps) == (True, True, None, [])
    assert restored.matches
    assert (restored.root / name).read_bytes() == CONTENT
    assert is_pointer(restored.root / "data" / "unread.bin")
    assert restored.problems == ["data/unread.bin is a git-lfs pointer; 'git lfs pull' brings its content"]
    assert DataCheck(data).changed(restored.root) == []
    again = capture_code(restored.root, tmp_path / "second", script=restored.root / "train.py")
    assert again.facts["tree"] == restored.tree


def test_large_content_is_taken_from_where_it_was_and_missed_where_it_is_not(tmp_path):
    project = make_project(tmp_path / "project", "data/a.bin")
    kept, data = capture(project, tmp_path / "capture", "data/a.bin", limits=InputLimits(0.001, 0.001))
    restored = restore_code(tmp_path / "capture", tmp_path / "again" / "deep")
    check = DataCheck(data)

    assert [(gap.blocking, "git-lfs" in gap.what) for gap in kept.gaps] == [(False, True)]
    assert check.changed(restored.root) == []
    assert place_data(restored.root, check.outside_project(restored.root)) == []
    assert (restored.root / "data" / "a.bin").read_bytes() == CONTENT

    shutil.rmtree(project)
    (restored.root / "data" / "a.bin").write_text(pointer(CONTENT))
    assert check.changed(restored.root) == ["data/a.bin (missing: 'git lfs pull' brings it)"]


def test_an_edited_file_of_git_lfs_comes_back_as_it_was_read(tmp_path):
    project = make_project(tmp_path / "project", "data/a.bin")
    (project / "data" / "a.bin").write_bytes(b"edited, not committed")
    _, data = capture(project, tmp_path / "capture", "data/a.bin")
    shutil.rmtree(project)

    restored = restore_code(tmp_path / "capture", tmp_path / "again")

    assert (restored.root / "data" / "a.bin").read_bytes() == b"edited, not committed"
    assert DataCheck(data).changed(restored.root) == []
    gaps = json.loads((tmp_path / "capture" / "code.json").read_text())["lfs"]
    assert len(gaps) == 1


def test_an_input_of_git_lfs_that_the_run_wrote_over_stops_the_claim(tmp_path):
    project = make_project(tmp_path / "project", "data/a.bin")
    capture_code(project, tmp_path / "capture", script=project / "train.py")
    digest_files([project / "data" / "a.bin"], tmp_path / "capture", root=project)

    kept = keep_inputs(tmp_path / "capture", project, rewritten=[str(project / "data" / "a.bin")])

    assert [gap.blocking for gap in kept.gaps] == [True]


def test_only_a_file_that_the_code_names_as_pointer_is_replaced(tmp_path):
    project = make_project(tmp_path / "project", "data/a.bin")
    capture(project, tmp_path / "capture", "data/a.bin")
    facts = json.loads((tmp_path / "capture" / "code.json").read_text())
    facts["lfs"] = [{"path": "train.py"}, {"path": "../x"}, 3, {"path": 4}]
    (tmp_path / "capture" / "code.json").write_text(json.dumps(facts))

    restored = restore_code(tmp_path / "capture", tmp_path / "again")

    assert is_pointer(restored.root / "data" / "a.bin")
    assert any("its place is taken" in problem for problem in restored.problems)
    assert pointers_of(facts) == {"train.py", "../x"}
    assert pointers_of({"lfs": "x"}) == pointers_of({}) == set()


def test_a_link_or_a_long_file_is_no_pointer(tmp_path):
    (tmp_path / "a").write_text(pointer(b"x"))
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "long").write_text(pointer(b"x") + "x" * 2000)

    assert [is_pointer(tmp_path / name) for name in ("a", "link", "long", "missing")] == [True, False, False, False]
    assert not is_pointer(Path("/"))
