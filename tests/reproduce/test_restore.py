"""A restore writes into an empty folder, only there, runs nothing, and says what is missing."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest

from tests.capture.repositories import code_files, git, new_repository
from tracker.capture.code import capture_code
from tracker.errors import ReproduceError
from tracker.reproduce.restore import restore_code


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """The captured code of a project that is gone."""
    project = new_repository(tmp_path / "home" / "project")
    (project / "scripts").mkdir()
    (project / "scripts" / "new.py").write_text("new = 1\n")
    capture_code(
        project / "scripts", tmp_path / "capture", script=project / "scripts" / "new.py", cwd=project / "scripts"
    )
    shutil.rmtree(tmp_path / "home")
    return tmp_path / "capture"


@pytest.fixture
def plain_capture(tmp_path: Path) -> Path:
    root = tmp_path / "plain"
    root.mkdir()
    (root / "train.py").write_text("print('plain')\n")
    capture_code(root, tmp_path / "capture", script=root / "train.py")
    shutil.rmtree(root)
    return tmp_path / "capture"


def change_facts(capture: Path, **changes: object) -> None:
    facts = json.loads((capture / "code.json").read_text())
    (capture / "code.json").write_text(json.dumps({**facts, **changes}))


def raw_tree(store: Path, content: bytes) -> str:
    """Write a tree object as it is given, checked by nobody."""
    return git(store, "hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=content)


def blob(store: Path, content: bytes) -> bytes:
    return bytes.fromhex(git(store, "hash-object", "-w", "--stdin", stdin=content))


def exchange_bundle(store: Path, capture: Path, tree: str) -> None:
    """Put a bundle of `tree` in the place of the captured one."""
    git(store, "update-ref", "refs/heads/snapshot", git(store, "commit-tree", tree, "-m", "evil"))
    git(store, "bundle", "create", "-q", str(capture / "code.bundle"), "refs/heads/snapshot")
    change_facts(capture, tree=tree)


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """An object store to make trees in that git itself would not make."""
    (tmp_path / "evil").mkdir()
    git(tmp_path / "evil", "init", "-q", "--bare")
    return tmp_path / "evil"


def test_the_restored_folder_names_its_script_and_its_working_directory(capture: Path, tmp_path: Path) -> None:
    restored = restore_code(capture, tmp_path / "new" / "folder")

    assert restored.root == tmp_path / "new" / "folder"
    assert restored.entry == restored.root / "scripts" / "new.py"
    assert restored.cwd == restored.root / "scripts"
    assert restored.matches
    assert restored.problems == []


def test_the_restored_folder_is_a_clean_work_tree(capture: Path, tmp_path: Path) -> None:
    restored = restore_code(capture, tmp_path / "again")

    assert git(restored.root, "status", "--porcelain") == ""
    assert git(restored.root, "rev-parse", "HEAD^{tree}") == restored.tree
    assert git(restored.root, "branch", "--show-current") == "snapshot"


def test_an_empty_folder_that_exists_is_used(capture: Path, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()

    assert restore_code(capture, tmp_path / "again").matches


def test_a_folder_in_use_is_refused_and_left_as_it_was(capture: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious.txt").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")

    with pytest.raises(ReproduceError, match="not an empty folder"):
        restore_code(capture, tmp_path / "mine")
    with pytest.raises(ReproduceError, match="not an empty folder"):
        restore_code(capture, tmp_path / "link")
    assert code_files(tmp_path / "mine") == {"precious.txt": ("file", b"precious")}


def test_nothing_captured_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "capture").mkdir()
    with pytest.raises(ReproduceError, match=r"no code\.json"):
        restore_code(tmp_path / "capture", tmp_path / "again")

    (tmp_path / "capture" / "code.json").write_text('{"kind": "none", "tree": null}')
    with pytest.raises(ReproduceError, match="kind 'none'"):
        restore_code(tmp_path / "capture", tmp_path / "again")

    (tmp_path / "capture" / "code.json").write_text("{")
    with pytest.raises(ReproduceError, match="cannot be read"):
        restore_code(tmp_path / "capture", tmp_path / "again")


def test_a_damaged_bundle_is_refused(capture: Path, tmp_path: Path) -> None:
    content = bytearray((capture / "code.bundle").read_bytes())
    content[-30] ^= 0xFF
    (capture / "code.bundle").write_bytes(content)

    with pytest.raises(ReproduceError, match="cannot be restored"):
        restore_code(capture, tmp_path / "again")


def test_a_missing_bundle_is_named(capture: Path, tmp_path: Path) -> None:
    (capture / "code.bundle").unlink()

    with pytest.raises(ReproduceError, match=r"code\.bundle is missing"):
        restore_code(capture, tmp_path / "again")


def test_a_bundle_of_another_tree_is_refused(capture: Path, tmp_path: Path) -> None:
    change_facts(capture, tree="1" * 40)

    with pytest.raises(ReproduceError, match="another tree"):
        restore_code(capture, tmp_path / "again")


@pytest.mark.parametrize("name", [b"..", b".git", b".GIT", b"git~1", b".", b".git\xe2\x80\x8c", b".git. "])
def test_a_tree_that_would_leave_its_folder_is_refused(name: bytes, evil: Path, capture: Path, tmp_path: Path) -> None:
    inner = raw_tree(evil, b"100644 config\0" + blob(evil, b"[core]\n\tfsmonitor = touch ran\n"))
    exchange_bundle(evil, capture, raw_tree(evil, b"40000 " + name + b"\0" + bytes.fromhex(inner)))

    with pytest.raises(ReproduceError, match="Nothing was written"):
        restore_code(capture, tmp_path / "in" / "again")
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["again"]
    assert [path.name for path in (tmp_path / "in" / "again").iterdir()] == [".git"]
    assert "touch" not in (tmp_path / "in" / "again" / ".git" / "config").read_text()


def test_a_tree_that_writes_through_a_link_is_refused(evil: Path, capture: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    inner = raw_tree(evil, b"100644 file\0" + blob(evil, b"written outside"))
    link = b"120000 a\0" + blob(evil, os.fsencode(tmp_path / "outside"))
    exchange_bundle(evil, capture, raw_tree(evil, link + b"40000 a\0" + bytes.fromhex(inner)))

    with pytest.raises(ReproduceError, match="twice"):
        restore_code(capture, tmp_path / "again")
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_script_outside_of_the_folder_is_not_taken(capture: Path, tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text("evil = 1\n")
    change_facts(capture, entry="../evil.py", cwd="../..")

    restored = restore_code(capture, tmp_path / "again")

    assert restored.entry is None
    assert restored.cwd == restored.root
    assert restored.problems == ["the script ../evil.py is not among the restored files"]


def test_an_address_that_would_run_a_program_is_refused(capture: Path, tmp_path: Path) -> None:
    change_facts(capture, needs="1" * 40, remote=f"ext::touch {tmp_path}/ran")

    with pytest.raises(ReproduceError, match="does not give it"):
        restore_code(capture, tmp_path / "again")
    assert not (tmp_path / "ran").exists()


def test_a_commit_that_is_an_option_is_refused(capture: Path, tmp_path: Path) -> None:
    change_facts(capture, needs=f"--upload-pack=touch {tmp_path}/ran", remote=str(tmp_path))

    with pytest.raises(ReproduceError, match="no commit id"):
        restore_code(capture, tmp_path / "again")


def test_a_bundle_without_its_base_asks_for_one(capture: Path, tmp_path: Path) -> None:
    change_facts(capture, needs="1" * 40, remote=None)

    with pytest.raises(ReproduceError, match="--base"):
        restore_code(capture, tmp_path / "again")


def test_settings_hooks_and_filters_of_the_user_do_not_run(
    capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "user"
    template = home / "template" / "hooks"
    template.mkdir(parents=True)
    for name in ("post-checkout", "reference-transaction", "post-index-change"):
        (template / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        (template / name).chmod(0o755)
    (home / ".gitconfig").write_text(
        f"[init]\n\ttemplateDir = {home}/template\n[core]\n\tautocrlf = true\n\thooksPath = {template}\n"
        f'[filter "x"]\n\tsmudge = touch {tmp_path}/ran; cat\n[core]\n\tattributesFile = {home}/attributes\n'
    )
    (home / "attributes").write_text("* filter=x text eol=crlf\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(home / "template"))

    restored = restore_code(capture, tmp_path / "again")

    assert restored.matches
    assert not (tmp_path / "ran").exists()
    assert (restored.root / "train.py").read_bytes() == b"import net.model\nprint('train')\n"


@pytest.mark.parametrize("name", ["../evil.py", "/tmp/evil.py", ".git/config", "a/../../evil.py", "x/.GIT/hooks/y"])
def test_an_archive_that_would_leave_its_folder_is_refused(name: str, plain_capture: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(plain_capture / "code.zip", "a") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = 0o100644 << 16
        archive.writestr(info, "evil = 1\n")

    with pytest.raises(ReproduceError, match="Nothing was written"):
        restore_code(plain_capture, tmp_path / "in" / "again")
    assert list((tmp_path / "in" / "again").iterdir()) == []


def test_an_archive_that_writes_through_a_link_is_refused(plain_capture: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    with zipfile.ZipFile(plain_capture / "code.zip", "a") as archive:
        for name, mode, content in (("d", 0o120000, str(tmp_path / "outside")), ("d/x.py", 0o100644, "x")):
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, content)

    with pytest.raises(ReproduceError, match="below another file"):
        restore_code(plain_capture, tmp_path / "again")
    assert list((tmp_path / "outside").iterdir()) == []


def test_an_archive_with_other_content_does_not_match(plain_capture: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(plain_capture / "code.zip", "w") as archive:
        info = zipfile.ZipInfo("train.py")
        info.external_attr = 0o100644 << 16
        archive.writestr(info, "print('another')\n")

    restored = restore_code(plain_capture, tmp_path / "again")

    assert not restored.matches
    assert "identity" in restored.problems[0]


def test_a_restore_inside_of_another_repository_keeps_to_itself(plain_capture: Path, tmp_path: Path) -> None:
    outer = new_repository(tmp_path / "outer")

    restored = restore_code(plain_capture, outer / "ignored" / "again")
    again = capture_code(restored.root, tmp_path / "capture2")

    assert again.facts["root"] == str(restored.root)
    assert again.facts["tree"] == restored.tree
