"""What a capture of code says, what it leaves out, and what it stores where git does not help."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.capture.repositories import ENV, code_files, commit, every_byte, git, new_repository
from tracker.capture.captured import Captured, Gap, guarded
from tracker.capture.code import CodeLimits, capture_code
from tracker.capture.plainfiles import entries_of, tree_id
from tracker.reproduce.restore import restore_code

TOKEN = "ghp" + "_" + "a1B2" * 9  # in two pieces, so that no scanner takes this file for a leak


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return new_repository(tmp_path / "project")


def facts_of(root: Path, into: Path, **about: object) -> dict[str, object]:
    """Capture `root` and return what was written to code.json."""
    capture_code(root, into, **about)  # type: ignore[arg-type]
    facts: dict[str, object] = json.loads((into / "code.json").read_text())
    return facts


def objects_in(bundle: Path, scratch: Path) -> bytes:
    """Return every object of a bundle, unpacked, in one string."""
    scratch.mkdir()
    git(scratch, "init", "-q", "--bare")
    git(scratch, "fetch", "-q", str(bundle), "+refs/*:refs/*")
    done = subprocess.run(
        ["git", "cat-file", "--batch", "--batch-all-objects"], cwd=scratch, capture_output=True, env=ENV, check=True
    )
    return done.stdout


def test_a_clean_repository_has_the_tree_of_its_commit(project: Path, tmp_path: Path) -> None:
    facts = facts_of(project / "net", tmp_path / "capture", script=project / "train.py")

    assert facts["kind"] == "git"
    assert facts["commit"] == git(project, "rev-parse", "HEAD")
    assert facts["tree"] == facts["base_tree"] == git(project, "rev-parse", "HEAD^{tree}")
    assert facts["branch"] == "main"
    assert facts["dirty"] is False
    assert facts["base_on_remote"] is False
    assert facts["root"] == str(project)
    assert facts["entry"] == "train.py"
    assert facts["cwd"] == "net"
    assert facts["gaps"] == []
    assert not (tmp_path / "capture" / "changes.patch").exists()


def test_the_tree_of_a_dirty_state_is_what_a_commit_of_it_would_have(project: Path, tmp_path: Path) -> None:
    (project / "train.py").write_text("print('dirty')\n")
    (project / "new.py").write_text("new = 1\n")

    facts = facts_of(project, tmp_path / "capture")
    commit(project)

    assert facts["tree"] == git(project, "rev-parse", "HEAD^{tree}")
    assert facts["dirty"] is True
    assert facts["changed"] == ["new.py", "train.py"]


def test_the_patch_applies_to_the_commit_whatever_the_users_settings_are(project: Path, tmp_path: Path) -> None:
    first = git(project, "rev-parse", "HEAD")
    git(project, "config", "diff.noprefix", "true")
    git(project, "config", "diff.external", "true")
    git(project, "config", "color.ui", "always")
    (project / "train.py").write_text("print('patched')")
    (project / "weights.bin").write_bytes(bytes(range(255, -1, -1)))
    (project / "net" / "model.py").unlink()

    facts = facts_of(project, tmp_path / "capture")
    git(tmp_path, "clone", "-q", str(project), "other")
    git(tmp_path / "other", "checkout", "-q", first)
    git(tmp_path / "other", "apply", "--index", str(tmp_path / "capture" / "changes.patch"))

    assert git(tmp_path / "other", "write-tree") == facts["tree"]
    readable = (tmp_path / "capture" / "changes.patch.txt").read_text()
    assert "+print('patched')" in readable
    assert "\x1b[" not in readable


def test_the_address_of_the_remote_loses_its_credentials(project: Path, tmp_path: Path) -> None:
    git(project, "remote", "add", "origin", "https://ada:l0velace@example.org/project.git")

    assert facts_of(project, tmp_path / "capture")["remote"] == "https://example.org/project.git"


def test_a_pushed_commit_is_known_to_be_on_the_remote(project: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(project), "remote.git")
    git(project, "remote", "add", "origin", str(tmp_path / "remote.git"))
    git(project, "fetch", "-q", "origin")
    pushed = facts_of(project, tmp_path / "pushed")
    commit(project)
    ahead = facts_of(project, tmp_path / "ahead")

    assert pushed["base_on_remote"] is True
    assert ahead["base_on_remote"] is False


def test_a_detached_head_has_no_branch(project: Path, tmp_path: Path) -> None:
    git(project, "checkout", "-q", "--detach")

    assert facts_of(project, tmp_path / "capture")["branch"] is None


def test_a_shallow_clone_is_captured_whole(project: Path, tmp_path: Path) -> None:
    commit(project)
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{project}", "shallow")
    (tmp_path / "shallow" / "new.py").write_text("new = 1\n")
    before = every_byte(tmp_path / "shallow")

    facts = facts_of(tmp_path / "shallow", tmp_path / "capture")
    after = every_byte(tmp_path / "shallow")
    expected = code_files(tmp_path / "shallow")
    shutil.rmtree(tmp_path / "shallow")
    restored = restore_code(tmp_path / "capture", tmp_path / "again")

    assert after == before
    assert facts["shallow"] is True
    assert restored.matches
    assert code_files(restored.root) == expected


def test_a_linked_worktree_is_captured_as_itself(project: Path, tmp_path: Path) -> None:
    git(project, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    (tmp_path / "side" / "train.py").write_text("print('side')\n")
    (tmp_path / "side" / "private.py").write_text("private = 1\n")
    (project / ".git" / "info" / "exclude").write_text("private.py\n")
    before = every_byte(project), every_byte(tmp_path / "side")

    facts = facts_of(tmp_path / "side", tmp_path / "capture")

    assert (every_byte(project), every_byte(tmp_path / "side")) == before
    assert facts["branch"] == "side"
    assert facts["changed"] == ["train.py"]
    assert restore_code(tmp_path / "capture", tmp_path / "again").matches


def test_a_worktree_inside_of_the_project_is_no_part_of_it(project: Path, tmp_path: Path) -> None:
    clean = facts_of(project, tmp_path / "clean")
    git(project, "worktree", "add", "-q", "-b", "side", str(project / "side"))

    assert facts_of(project, tmp_path / "capture")["tree"] == clean["tree"]


def test_a_submodule_is_listed_with_its_own_identity(project: Path, tmp_path: Path) -> None:
    library = new_repository(tmp_path / "library")
    git(project, "submodule", "add", "-q", str(library), "lib")
    commit(project)
    clean = facts_of(project, tmp_path / "clean")
    (project / "lib" / "train.py").write_text("print('changed')\n")
    dirty = facts_of(project, tmp_path / "dirty")

    assert clean["dirty"] is False
    assert clean["submodules"] == [
        {
            "path": "lib",
            "commit": git(library, "rev-parse", "HEAD"),
            "recorded": git(library, "rev-parse", "HEAD"),
            "tree": git(library, "rev-parse", "HEAD^{tree}"),
            "url": str(library),
            "present": True,
        }
    ]
    assert dirty["dirty"] is True
    assert dirty["changed"] == ["lib/train.py"]
    assert dirty["tree"] != clean["tree"]


def test_a_submodule_at_another_commit_makes_the_state_dirty(project: Path, tmp_path: Path) -> None:
    git(project, "submodule", "add", "-q", str(new_repository(tmp_path / "library")), "lib")
    commit(project)
    commit(project / "lib")

    assert facts_of(project, tmp_path / "capture")["dirty"] is True


def test_a_submodule_without_its_repository_is_a_gap(project: Path, tmp_path: Path) -> None:
    git(project, "submodule", "add", "-q", str(new_repository(tmp_path / "library")), "lib")
    commit(project)
    (project / "lib" / ".git").unlink()

    captured = capture_code(project, tmp_path / "capture")

    assert [gap.what for gap in captured.gaps if gap.blocking] == [
        "the submodule in lib could not be captured: its folder is no repository"
    ]


def test_stores_and_folders_of_runs_are_no_code(project: Path, tmp_path: Path) -> None:
    clean = facts_of(project, tmp_path / "clean")
    (project / "mlflow.db").write_bytes(b"\0" * 100)
    (project / "mlflow.db-journal").write_bytes(b"\0" * 100)
    (project / "mlruns").mkdir()
    (project / "mlruns" / "meta.yaml").write_text("x: 1\n")

    own = [project / "mlflow.db", project / "mlruns"]
    facts = facts_of(project, project / "run" / "capture", exclude=[*own, project / "run"])

    assert facts["tree"] == clean["tree"]
    assert facts["dirty"] is False


def test_a_store_that_was_committed_keeps_its_committed_form(project: Path, tmp_path: Path) -> None:
    (project / "mlflow.db").write_bytes(b"committed")
    commit(project)
    (project / "mlflow.db").write_bytes(b"written to by this very run")

    facts = facts_of(project, tmp_path / "capture", exclude=[project / "mlflow.db"])

    assert facts["tree"] == git(project, "rev-parse", "HEAD^{tree}")


def test_an_ignored_module_that_was_imported_is_stored_and_put_back(project: Path, tmp_path: Path) -> None:
    (project / "local_settings.py").write_text("WIDTH = 8\n")
    (project / "ignored").mkdir()
    (project / "ignored" / "odd [name]*.py").write_text("odd = 1\n")
    (project / "ignored" / "unused.py").write_text("unused = 1\n")
    loaded = [
        project / "local_settings.py",
        project / "ignored" / "odd [name]*.py",
        project / "train.py",
        Path(os.__file__),
    ]

    facts = facts_of(project, tmp_path / "capture", loaded_files=loaded)
    shutil.rmtree(project)
    restored = restore_code(tmp_path / "capture", tmp_path / "again")
    again = facts_of(restored.root, tmp_path / "capture2")

    assert facts["ignored"] == [
        {"path": "ignored/odd [name]*.py", "sha256": hashlib.sha256(b"odd = 1\n").hexdigest()},
        {"path": "local_settings.py", "sha256": hashlib.sha256(b"WIDTH = 8\n").hexdigest()},
    ]
    assert (restored.root / "local_settings.py").read_text() == "WIDTH = 8\n"
    assert (restored.root / "ignored" / "odd [name]*.py").read_text() == "odd = 1\n"
    assert not (restored.root / "ignored" / "unused.py").exists()
    assert restored.matches
    assert again["tree"] == facts["tree"]


def test_an_ignored_module_stays_ignored_after_a_restore_without_the_users_own_rules(
    project: Path, tmp_path: Path
) -> None:
    (project / ".git" / "info" / "exclude").write_text("mine.py\n")
    (project / "mine.py").write_text("mine = 1\n")

    facts = facts_of(project, tmp_path / "capture", loaded_files=[project / "mine.py"])
    restored = restore_code(tmp_path / "capture", tmp_path / "again")

    assert (restored.root / "mine.py").exists()
    assert facts_of(restored.root, tmp_path / "capture2")["tree"] == facts["tree"]


def test_an_imported_file_outside_of_the_project_is_a_gap(project: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.py").write_text("x = 1\n")

    captured = capture_code(project, tmp_path / "capture", loaded_files=[tmp_path / "elsewhere.py"])

    assert "elsewhere.py" in captured.gaps[0].what
    assert captured.gaps[0].blocking


def test_a_huge_new_file_is_named_and_not_stored(project: Path, tmp_path: Path) -> None:
    with (project / "data.bin").open("wb") as file:
        file.truncate(40_000_000)
    (project / "small.py").write_text("small = 1\n")

    started = time.perf_counter()
    captured = capture_code(project, tmp_path / "capture")

    assert time.perf_counter() - started < 5
    assert [row["path"] for row in captured.facts["skipped"]] == ["data.bin"]  # type: ignore[index, union-attr, call-overload]
    assert [gap.what for gap in captured.gaps] == [
        "1 uncommitted file(s) of 40.0 MB together were not stored: data.bin"
    ]
    assert captured.gaps[0].blocking
    assert (tmp_path / "capture" / "code.bundle").stat().st_size < 100_000
    restored = restore_code(tmp_path / "capture", tmp_path / "again")
    assert (restored.root / "small.py").exists()
    assert restored.problems == ["data.bin was left out: too large to store"]


def test_the_total_is_limited_and_small_files_come_first(project: Path, tmp_path: Path) -> None:
    for number, size in enumerate([300_000, 400_000, 500_000, 10]):
        (project / f"new{number}.bin").write_bytes(os.urandom(size))

    captured = capture_code(project, tmp_path / "capture", CodeLimits(max_total_mb=0.8))

    assert [row["path"] for row in captured.facts["skipped"]] == ["new2.bin"]  # type: ignore[index, union-attr, call-overload]


def test_a_large_tree_is_stored_as_what_its_remote_lacks(project: Path, tmp_path: Path) -> None:
    (project / "large.bin").write_bytes(os.urandom(400_000))
    published = commit(project)
    git(tmp_path, "clone", "-q", "--bare", str(project), "remote.git")
    git(tmp_path / "remote.git", "config", "uploadpack.allowAnySHA1InWant", "true")
    git(project, "remote", "add", "origin", str(tmp_path / "remote.git"))
    git(project, "fetch", "-q", "origin")
    (project / "train.py").write_text("print('committed here only')\n")
    commit(project)
    (project / "new.py").write_text("new = 1\n")

    captured = capture_code(project, tmp_path / "capture", CodeLimits(max_total_mb=0.1))
    expected = code_files(project)
    shutil.rmtree(project)
    restored = restore_code(tmp_path / "capture", tmp_path / "again")

    assert captured.facts["needs"] == published
    assert [gap.blocking for gap in captured.gaps] == [False]
    assert (tmp_path / "capture" / "code.bundle").stat().st_size < 100_000
    assert restored.matches
    assert code_files(restored.root) == expected


def test_a_large_tree_on_no_remote_is_a_blocking_gap(project: Path, tmp_path: Path) -> None:
    (project / "large.bin").write_bytes(os.urandom(400_000))
    commit(project)

    captured = capture_code(project, tmp_path / "capture", CodeLimits(max_total_mb=0.1))

    assert [gap.blocking for gap in captured.gaps] == [True]
    assert "on no remote" in captured.gaps[0].what
    assert restore_code(tmp_path / "capture", tmp_path / "again", base=project).matches


def test_a_secret_in_an_uncommitted_file_is_not_stored_anywhere(project: Path, tmp_path: Path) -> None:
    (project / "net" / "model.py").write_text(f"WIDTH = 1\nTOKEN = '{TOKEN}'\n")
    (project / "new.py").write_text(f"login('{TOKEN}')\nlr = 0.1\n")
    (project / "local_keys.py").write_text(f"KEY = '{TOKEN}'\n")
    (project / "fine.py").write_text("fine = 1\n")

    captured = capture_code(project, tmp_path / "capture", loaded_files=[project / "local_keys.py"])

    assert sorted(gap.what for gap in captured.gaps) == [
        "secret in local_keys.py (github-token): the file was not stored",
        "secret in net/model.py (github-token): the file was not stored",
        "secret in new.py (github-token): the file was not stored",
    ]
    assert all(gap.blocking for gap in captured.gaps)
    assert captured.facts["dirty"] is True
    for path in (tmp_path / "capture").rglob("*"):
        assert path.is_dir() or TOKEN.encode() not in path.read_bytes(), path.name
    stored = objects_in(tmp_path / "capture" / "code.bundle", tmp_path / "objects")
    assert TOKEN.encode() not in stored
    assert b"fine = 1" in stored
    twins = [path.read_text() for path in captured.files if "redacted" in path.parts]
    assert "login('[redacted:github-token]')\nlr = 0.1\n" in twins
    assert len(twins) == 3
    restored = restore_code(tmp_path / "capture", tmp_path / "again")
    assert (restored.root / "net" / "model.py").read_text() == "WIDTH = 16\n" * 5
    assert len(restored.problems) == 3


def test_a_secret_that_is_committed_already_is_kept_and_counted(project: Path, tmp_path: Path) -> None:
    (project / "net" / "model.py").write_text(f"TOKEN = '{TOKEN}'\n")
    (project / "train.py").write_text(f"TOKEN = '{TOKEN}'\n")
    commit(project)
    (project / "train.py").write_text(f"TOKEN = '{TOKEN}'\nlr = 0.1\n")

    captured = capture_code(project, tmp_path / "capture")

    assert captured.gaps == []
    assert captured.facts["secrets_in_committed"] == 1
    assert TOKEN not in (tmp_path / "capture" / "changes.patch.txt").read_text()
    assert not (tmp_path / "capture" / "changes.patch").exists()
    assert restore_code(tmp_path / "capture", tmp_path / "again").matches


def test_lfs_files_stay_pointers_and_no_filter_runs(project: Path, tmp_path: Path) -> None:
    content = b"large model" * 1000
    pointer = (
        "version https://git-lfs.github.com/spec/v1\n"
        f"oid sha256:{hashlib.sha256(content).hexdigest()}\nsize {len(content)}\n"
    )
    (project / ".gitattributes").write_text("*.pt filter=lfs diff=lfs merge=lfs -text\n")
    (project / "model.pt").write_text(pointer)
    (project / "other.pt").write_text(pointer)
    commit(project)
    git(project, "config", "filter.lfs.process", f"touch {project}/ran")
    git(project, "config", "filter.lfs.clean", f"touch {project}/ran")
    git(project, "config", "filter.lfs.required", "true")
    (project / "model.pt").write_bytes(content)  # what git-lfs puts there

    captured = capture_code(project, tmp_path / "capture")

    assert not (project / "ran").exists()
    assert captured.facts["tree"] == git(project, "rev-parse", "HEAD^{tree}")
    assert captured.facts["lfs"] == [
        {"path": "model.pt", "oid": f"sha256:{hashlib.sha256(content).hexdigest()}", "size": len(content)}
    ]
    assert [gap.what for gap in captured.gaps] == ["1 git-lfs file(s) are stored as pointers: model.pt"]
    assert restore_code(tmp_path / "capture", tmp_path / "again").matches


def test_a_file_that_git_encrypts_is_not_stored_in_the_clear(project: Path, tmp_path: Path) -> None:
    (project / ".gitattributes").write_text("*.key filter=git-crypt diff=git-crypt\n")
    (project / "a.key").write_bytes(b"\0GITCRYPT\0encrypted")
    commit(project)
    (project / "a.key").write_text("the clear text")
    (project / "b.key").write_text("the clear text of b")

    captured = capture_code(project, tmp_path / "capture")

    assert captured.facts["sealed"] == ["a.key", "b.key"]
    assert b"the clear text" not in objects_in(tmp_path / "capture" / "code.bundle", tmp_path / "objects")
    assert any(gap.blocking for gap in captured.gaps)


def test_the_variables_of_a_surrounding_git_command_do_not_mislead(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = new_repository(tmp_path / "other")
    expected = facts_of(project, tmp_path / "expected")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path / "nowhere"))

    facts = facts_of(project, tmp_path / "capture")

    assert (facts["tree"], facts["root"]) == (expected["tree"], str(project))


def test_a_project_reached_through_a_link_is_named_by_its_own_paths(project: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(project)
    (project / "local_x.py").write_text("x = 1\n")
    through = tmp_path / "link"

    facts = facts_of(
        through / "net",
        tmp_path / "capture",
        script=through / "train.py",
        loaded_files=[through / "local_x.py"],
        exclude=[through / "net"],
    )

    assert (facts["entry"], facts["cwd"], facts["root"]) == ("train.py", "net", str(project))
    assert [row["path"] for row in facts["ignored"]] == ["local_x.py"]  # type: ignore[attr-defined]
    assert facts["outside"] == []


def test_a_read_only_repository_is_captured(project: Path, tmp_path: Path) -> None:
    (project / "train.py").write_text("print('read only')\n")
    for folder, folders, names in os.walk(project):
        for name in (*folders, *names):
            Path(folder, name).chmod(Path(folder, name).stat().st_mode & ~0o222)
    try:
        facts = facts_of(project, tmp_path / "capture")
        expected = code_files(project)
    finally:
        subprocess.run(["chmod", "-R", "u+w", str(project)], check=True)

    restored = restore_code(tmp_path / "capture", tmp_path / "again")

    assert facts["kind"] == "git"
    assert code_files(restored.root) == expected


@pytest.fixture
def other_user() -> Iterator[Path]:
    """A folder of user `nobody`, who we are as long as the test runs; root may read everything."""
    if os.geteuid() != 0:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
        return
    folder = Path(tempfile.mkdtemp())
    os.chown(folder, 65534, 65534)
    os.seteuid(65534)
    try:
        yield folder
    finally:
        os.seteuid(0)
        shutil.rmtree(folder)


def test_an_unreadable_file_is_a_named_gap(other_user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENV, "HOME", str(other_user))
    monkeypatch.setenv("HOME", str(other_user))
    root = new_repository(other_user / "project")
    (root / "locked.py").write_text("locked = 1\n")
    (root / "train.py").write_text("changed = 1\n")
    (root / "train.py").chmod(0)
    (root / "locked.py").chmod(0)

    captured = capture_code(root, other_user / "capture")

    assert captured.facts["kind"] == "git", captured.gaps
    assert captured.facts["unreadable"] == ["locked.py", "train.py"] or captured.facts["unreadable"] == [
        "train.py",
        "locked.py",
    ]
    assert [gap.what.split(":")[0] for gap in captured.gaps] == ["file(s) cannot be read"]
    assert captured.gaps[0].blocking


def test_a_repository_of_another_user_is_stored_as_plain_files(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to give a folder away")
    os.chown(project, 65534, 65534)
    os.chown(project / ".git", 65534, 65534)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)

    captured = capture_code(project, tmp_path / "capture", script=project / "train.py")

    assert captured.facts["kind"] == "files"
    assert "dubious ownership" in captured.gaps[-1].what
    assert "safe.directory" in captured.gaps[-1].fix


def test_a_damaged_repository_is_stored_as_plain_files(project: Path, tmp_path: Path) -> None:
    (project / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (project / ".git" / "refs" / "heads" / "main").write_text("0" * 39 + "1\n")

    captured = capture_code(project, tmp_path / "capture", script=project / "train.py")

    assert captured.facts["kind"] == "files"
    assert captured.gaps[-1].blocking
    assert restore_code(tmp_path / "capture", tmp_path / "again").matches


def plain_project(root: Path) -> Path:
    (root / "net").mkdir(parents=True)
    (root / "train.py").write_text("import net\n")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "net" / "__init__.py").write_bytes(b"x = 1\r\n")
    (root / "alias.py").symlink_to("train.py")
    (root / "a-b.py").write_text("")
    (root / "net.py").write_text("sorts between net/ and net0\n")
    return root


def test_files_without_a_repository_come_back_with_the_tree_id_git_would_give(tmp_path: Path) -> None:
    root = plain_project(tmp_path / "plain")
    (root / ".venv" / "lib").mkdir(parents=True)
    (root / ".venv" / "lib" / "x.py").write_text("")
    (root / "photo.jpg").write_bytes(b"\xff")
    before = every_byte(root)

    captured = capture_code(root, tmp_path / "capture", script=root / "train.py")
    assert every_byte(root) == before
    shutil.rmtree(root / ".venv")
    (root / "photo.jpg").unlink()
    expected = code_files(root)
    shutil.rmtree(root)
    restored = restore_code(tmp_path / "capture", tmp_path / "again")

    assert captured.facts["kind"] == "files"
    assert captured.gaps == []
    assert code_files(restored.root) == expected
    assert restored.matches
    assert restored.entry == restored.root / "train.py"
    assert git(restored.root, "rev-parse", "HEAD^{tree}") == captured.facts["tree"]
    assert facts_of(restored.root, tmp_path / "capture2")["tree"] == captured.facts["tree"]


def test_a_secret_in_a_plain_file_is_not_stored(tmp_path: Path) -> None:
    root = plain_project(tmp_path / "plain")
    (root / "keys.py").write_text(f"K = '{TOKEN}'\n")

    captured = capture_code(root, tmp_path / "capture")

    assert [gap.what for gap in captured.gaps] == ["secret in keys.py (github-token): the file was not stored"]
    assert (tmp_path / "capture" / "redacted" / "0.txt").read_text() == "K = '[redacted:github-token]'\n"


def test_a_script_in_a_crowded_folder_takes_only_its_imports_along(tmp_path: Path) -> None:
    root = plain_project(tmp_path / "crowded")
    for number in range(2_100):
        (root / f"n{number}.py").touch()

    captured = capture_code(root, tmp_path / "capture", script=root / "train.py", loaded_files=[root / "net.py"])

    assert sorted(code_files(restore_code(tmp_path / "capture", tmp_path / "again").root)) == ["net.py", "train.py"]
    assert [gap.blocking for gap in captured.gaps] == [True]


def test_without_git_the_files_are_stored_all_the_same(project: Path, tmp_path: Path) -> None:
    """In a process of its own: GitPython raises at its import where it finds no git program."""
    code = (
        "import sys; from pathlib import Path\n"
        "from tracker.capture.code import capture_code\n"
        "from tracker.reproduce.restore import restore_code\n"
        "c = capture_code(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "print(c.facts['kind'], c.gaps[-1].what, c.gaps[-1].blocking)\n"
        "print(restore_code(Path(sys.argv[2]), Path(sys.argv[3])).matches)\n"
    )
    env = {**os.environ, "PATH": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code, str(project), str(tmp_path / "capture"), str(tmp_path / "again")],
        env=env,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("files git is not installed")
    assert done.stdout.splitlines()[0].endswith("True")
    assert done.stdout.splitlines()[-1] == "True"


def test_an_empty_folder_is_a_gap_and_no_failure(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    captured = capture_code(tmp_path / "empty", tmp_path / "capture")

    assert captured.facts["kind"] == "none"
    assert captured.facts["tree"] is None
    assert captured.gaps[0].blocking


def test_our_tree_id_is_gits(project: Path) -> None:
    for name in ("net.py", "net-", "net0", "a b", "é"):
        (project / name).write_text(name)
    (project / "link").symlink_to("net")
    (project / "train.py").chmod(0o755)
    commit(project)

    assert tree_id(entries_of(project)) == git(project, "rev-parse", "HEAD^{tree}")


def test_a_repository_with_sha256_objects_comes_back(tmp_path: Path) -> None:
    project = new_repository(tmp_path / "modern", "--object-format=sha256")
    (project / "train.py").write_text("print('sha256')\n")

    facts = facts_of(project, tmp_path / "capture")
    restored = restore_code(tmp_path / "capture", tmp_path / "again")

    assert len(str(facts["tree"])) == 64
    assert restored.matches


def test_a_part_that_fails_becomes_a_gap_with_its_reason() -> None:
    def broken() -> Captured:
        raise TypeError(f"no way\nwith {TOKEN}")

    captured = guarded("code", broken)

    assert [gap.what for gap in captured.gaps] == [
        "code could not be captured: TypeError: no way with [redacted:github-token]"
    ]
    assert captured.gaps[0].blocking


def test_a_part_that_works_is_passed_on_with_its_arguments() -> None:
    def works(name: str, *, gap: Gap) -> Captured:
        return Captured({"name": name}, [gap])

    gap = Gap("code", "what", "fix", blocking=False)

    assert guarded("code", works, "x", gap=gap) == Captured({"name": "x"}, [gap])


@pytest.mark.slow
def test_five_thousand_files_take_seconds_at_most(tmp_path: Path) -> None:
    project = new_repository(tmp_path / "project")
    for number in range(5_000):
        folder = project / f"part{number % 50}"
        folder.mkdir(exist_ok=True)
        (folder / f"file{number}.py").write_text(f"x = {number}\n" * 20)
    commit(project)
    git(project, "gc", "-q")
    (project / "train.py").write_text("print('one of many')\n")

    started = time.perf_counter()
    facts = facts_of(project, tmp_path / "capture")
    elapsed = time.perf_counter() - started

    # 0.5 s on an idle machine; the bound is there to notice an accident, not a busy neighbour.
    assert elapsed < 10
    assert restore_code(tmp_path / "capture", tmp_path / "again").tree == facts["tree"]
