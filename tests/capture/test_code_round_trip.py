"""Whatever state a repository is in: it is captured without a trace, and comes back bit for bit when it is gone."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.capture.repositories import code_files, commit, every_byte, git, new_repository
from tracker.capture.code import CodeLimits, capture_code
from tracker.reproduce.restore import restore_code

CASES: dict[str, Callable[[Path], None]] = {}
"""What was done to a fresh repository; the function's name is the name of the case."""


def case(build: Callable[[Path], None]) -> Callable[[Path], None]:
    CASES[build.__name__] = build
    return build


@case
def clean(root: Path) -> None:
    pass


@case
def tracked_file_edited(root: Path) -> None:
    (root / "net" / "model.py").write_text("WIDTH = 32\n")


@case
def edited_at_once_to_the_same_size(root: Path) -> None:
    commit(root)
    before = (root / "net" / "model.py").stat()
    (root / "net" / "model.py").write_text("WIDTH = 99\n" * 5)
    os.utime(root / "net" / "model.py", ns=(before.st_atime_ns, before.st_mtime_ns))


@case
def staged_and_edited_again(root: Path) -> None:
    (root / "train.py").write_text("print('staged')\n")
    git(root, "add", "train.py")
    (root / "train.py").write_text("print('on disk')\n")


@case
def new_files(root: Path) -> None:
    (root / "deep" / "er").mkdir(parents=True)
    (root / "deep" / "er" / "new.py").write_text("x = 1")
    (root / "empty.txt").write_text("")


@case
def intent_to_add(root: Path) -> None:
    (root / "soon.py").write_text("soon = True\n")
    git(root, "add", "-N", "soon.py")


@case
def binary_edited_and_new(root: Path) -> None:
    (root / "weights.bin").write_bytes(bytes(reversed(range(256))) * 7)
    (root / "new.bin").write_bytes(b"\0\1\2\r\n" * 100)


@case
def deleted(root: Path) -> None:
    (root / "weights.bin").unlink()
    git(root, "rm", "-q", "net/model.py")


@case
def renamed(root: Path) -> None:
    git(root, "mv", "net/model.py", "net/network.py")
    (root / "train.py").rename(root / "main.py")


@case
def mode_changed(root: Path) -> None:
    (root / "train.py").chmod(0o755)


@case
def links(root: Path) -> None:
    (root / "to_file").symlink_to("train.py")
    (root / "to_folder").symlink_to("net")
    (root / "dangling").symlink_to("nowhere/at all")
    (root / "absolute").symlink_to("/etc/hostname")
    commit(root)
    (root / "to_file").unlink()
    (root / "to_file").symlink_to("weights.bin")


@case
def folder_became_a_link(root: Path) -> None:
    (root / "net").rename(root / "net2")
    (root / "net").symlink_to("net2")


@case
def folder_became_a_file(root: Path) -> None:
    shutil.rmtree(root / "net")
    (root / "net").write_text("a file now\n")


@case
def file_became_a_folder(root: Path) -> None:
    (root / "train.py").unlink()
    (root / "train.py").mkdir()
    (root / "train.py" / "inner.py").write_text("inner = 1\n")


@case
def hostile_names(root: Path) -> None:
    names = [
        "with space.py",
        "new\nline.py",
        "tab\t.py",
        "ünïcode.py",
        'quo"te.py',
        "back\\slash.py",
        "-rf",
        "#hash",
        "*",
    ]
    for number, name in enumerate([*names, " leading", "trailing ", ":(top)x", os.fsdecode(b"latin-\xe9.py")]):
        (root / name).write_text(f"n = {number}\n")
        if number % 3 == 0:
            git(root, "add", "--", f":(literal){name}")


@case
def line_ends(root: Path) -> None:
    git(root, "config", "core.autocrlf", "true")
    (root / "windows.py").write_bytes(b"a = 1\r\nb = 2\r\n")
    commit(root)
    (root / "mixed.py").write_bytes(b"a = 1\r\nb = 2\n")
    (root / "train.py").write_bytes(b"print('crlf')\r\n")


@case
def attributes_that_convert(root: Path) -> None:
    (root / ".gitattributes").write_text("*.py text eol=lf ident\n*.txt text=auto\n*.w working-tree-encoding=UTF-16\n")
    (root / "ident.py").write_text("# $Id$\n")
    (root / "dos.txt").write_bytes(b"a\r\nb\r\n")
    (root / "wide.w").write_bytes("wide".encode("utf-16"))
    commit(root)
    git(root, "checkout", "-q", ".")
    (root / "ident.py").write_bytes(b"# $Id: kept as it is $\r\n")


@case
def rules_that_a_checkout_would_follow(root: Path) -> None:
    (root / ".gitattributes").write_text("*.bat eol=crlf\n*.id ident\n*.txt text=auto\n")
    (root / "unix.bat").write_bytes(b"a\nb\n")
    (root / "a.id").write_bytes(b"$Id$\n")
    git(root, "config", "core.eol", "crlf")
    (root / "b.txt").write_bytes(b"a\nb\n")


@case
def converted_long_ago(root: Path) -> None:
    (root / "dos.txt").write_bytes(b"a\r\nb\r\n")
    (root / ".gitattributes").write_text("*.txt text=auto\n*.w working-tree-encoding=UTF-16\n")
    (root / "wide.w").write_bytes("wide".encode("utf-16"))
    for name in ("dos.txt", "wide.w"):
        # Older than the index: git sees by the times alone that nothing changed, and does not look into the files.
        os.utime(root / name, (1_700_000_000, 1_700_000_000))
    commit(root)


@case
def filter_of_the_users(root: Path) -> None:
    (root / ".gitattributes").write_text("*.py filter=shout\n")
    git(root, "config", "filter.shout.clean", "touch ran; tr a-z A-Z")
    git(root, "config", "filter.shout.required", "true")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "filtered")
    (root / "ran").unlink()
    (root / "train.py").write_text("print('filtered')\n")


@case
def assume_unchanged_and_edited(root: Path) -> None:
    git(root, "update-index", "--assume-unchanged", "train.py")
    git(root, "update-index", "--skip-worktree", "net/model.py")
    (root / "train.py").write_text("print('unseen')\n")
    (root / "net" / "model.py").write_text("UNSEEN = 1\n")


@case
def settings_that_spoil_a_diff(root: Path) -> None:
    for name, value in [
        ("diff.external", "touch ran"),
        ("diff.noprefix", "true"),
        ("diff.mnemonicPrefix", "true"),
        ("color.ui", "always"),
        ("core.quotePath", "true"),
        ("core.pager", "touch ran"),
        ("core.fsmonitor", "touch ran"),
        ("core.untrackedCache", "true"),
        ("core.splitIndex", "true"),
        ("status.showUntrackedFiles", "no"),
        ("core.bigFileThreshold", "10"),
    ]:
        git(root, "config", name, value)
    git(root, "update-index", "--split-index", "--untracked-cache", "--no-fsmonitor")
    (root / "ran").unlink(missing_ok=True)
    (root / "train.py").write_text("print('diff')\n")
    (root / "new.py").write_text("n = 1\n")


@case
def hooks_that_touch_a_file(root: Path) -> None:
    for name in ("pre-commit", "post-checkout", "post-index-change", "reference-transaction", "pre-auto-gc"):
        hook = root / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {root}/hook-ran\n")
        hook.chmod(0o755)
    (root / "train.py").write_text("print('hooks')\n")


@case
def submodule_edited(root: Path) -> None:
    lib = new_repository(root.parent / "lib")
    git(root, "submodule", "add", "-q", str(lib), "third/lib")
    commit(root)
    (root / "third" / "lib" / "train.py").write_text("print('dirty submodule')\n")
    (root / "third" / "lib" / "extra.py").write_text("extra = 1\n")


@case
def submodule_clean(root: Path) -> None:
    lib = new_repository(root.parent / "lib")
    git(root, "submodule", "add", "-q", str(lib), "lib")
    commit(root)


@case
def submodule_not_initialised(root: Path) -> None:
    submodule_clean(root)
    git(root, "submodule", "deinit", "-q", "-f", "lib")


@case
def submodule_in_a_submodule(root: Path) -> None:
    lib = new_repository(root.parent / "lib")
    git(lib, "submodule", "add", "-q", str(new_repository(root.parent / "inner")), "inner")
    commit(lib)
    git(root, "submodule", "add", "-q", str(lib), "lib")
    git(root, "submodule", "update", "-q", "--init", "--recursive")
    commit(root)
    (root / "lib" / "inner" / "train.py").write_text("print('three levels down')\n")


@case
def embedded_repository(root: Path) -> None:
    inner = new_repository(root / "vendor" / "inner")
    (inner / "train.py").write_text("print('embedded')\n")
    (inner / "new.py").write_text("new = 1\n")


@case
def embedded_repository_without_a_commit(root: Path) -> None:
    (root / "scratch").mkdir()
    git(root / "scratch", "init", "-q")
    (root / "scratch" / "a.py").write_text("a = 1\n")


@case
def detached_head(root: Path) -> None:
    commit(root)
    git(root, "checkout", "-q", "--detach", "HEAD~1")
    (root / "train.py").write_text("print('detached')\n")


@case
def no_commit_yet(root: Path) -> None:
    shutil.rmtree(root / ".git")
    git(root, "init", "-q")


@case
def unpushed_commits(root: Path) -> None:
    git(root.parent, "clone", "-q", "--bare", str(root), "remote.git")
    git(root, "remote", "add", "origin", str(root.parent / "remote.git"))
    git(root, "fetch", "-q", "origin")
    (root / "train.py").write_text("print('not pushed')\n")
    commit(root)


@case
def merge_conflict(root: Path) -> None:
    git(root, "checkout", "-q", "-b", "other")
    (root / "train.py").write_text("print('theirs')\n")
    commit(root)
    git(root, "checkout", "-q", "main")
    (root / "train.py").write_text("print('ours')\n")
    commit(root)
    with suppress(AssertionError):  # it conflicts, as it should
        git(root, "merge", "-q", "other")


@case
def sparse_checkout(root: Path) -> None:
    git(root, "sparse-checkout", "set", "--cone", "--sparse-index", "net")


def _partial_clone(root: Path, *options: str) -> None:
    git(root, "config", "uploadpack.allowFilter", "true")
    (root / "far").mkdir()
    (root / "far" / "away.txt").write_text("never fetched\n")
    commit(root)
    root.rename(root.parent / "full")
    git(root.parent, "clone", "-q", "--filter=blob:none", *options, f"file://{root.parent}/full", root.name)


@case
def partial_clone_of_a_part(root: Path) -> None:
    _partial_clone(root, "--sparse")
    git(root, "sparse-checkout", "set", "net")
    (root / "train.py").write_text("print('partial')\n")


@case
def partial_clone_with_files_of_before(root: Path) -> None:
    _partial_clone(root, "--no-checkout")
    for name in ("train.py", "weights.bin", ".gitignore"):
        shutil.copy2(root.parent / "full" / name, root / name)
    git(root, "read-tree", "HEAD")
    git(root, "update-index", "-q", "--refresh", env={"GIT_NO_LAZY_FETCH": "1"})


@case
def borrowed_objects(root: Path) -> None:
    root.rename(root.parent / "full")
    git(root.parent, "clone", "-q", "--shared", "full", root.name)
    (root / "train.py").write_text("print('borrowed')\n")


@case
def git_folder_elsewhere(root: Path) -> None:
    git(root, "init", "-q", "--separate-git-dir", str(root.parent / "elsewhere.git"))
    (root / "train.py").write_text("print('separate')\n")


@case
def links_in_a_circle(root: Path) -> None:
    (root / "here").symlink_to(".")
    (root / "round").symlink_to("round")


@case
def replaced_history(root: Path) -> None:
    first = git(root, "rev-parse", "HEAD")
    (root / "train.py").write_text("print('second')\n")
    git(root, "replace", commit(root), first)
    (root / "new.py").write_text("n = 1\n")


@case
def packed(root: Path) -> None:
    git(root, "gc", "-q")
    git(root, "commit-graph", "write", "--reachable")
    (root / "train.py").write_text("print('packed')\n")


@case
def index_of_version_four(root: Path) -> None:
    git(root, "update-index", "--index-version", "4")
    (root / "train.py").write_text("print('v4')\n")


@case
def sockets_and_pipes(root: Path) -> None:
    os.mkfifo(root / "pipe")
    here = os.getcwd()
    os.chdir(root)  # the name of a socket has at most 108 characters
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind("socket")
    os.chdir(here)


def round_trip(root: Path, scratch: Path, without: tuple[str, ...] = ()) -> dict[str, object]:
    """Capture, check that nothing was touched, move everything away, restore, compare; return the facts."""
    before = every_byte(root)
    captured = capture_code(root, scratch / "capture", CodeLimits(), script=root / "train.py")

    assert every_byte(root) == before
    assert captured.facts["kind"] == "git", captured.gaps
    assert [gap for gap in captured.gaps if gap.blocking] == []

    expected = code_files(root, without)
    root.parent.rename(scratch / "gone")
    restored = restore_code(scratch / "capture", scratch / "again")

    assert code_files(restored.root) == expected
    assert restored.matches, restored.problems
    assert restored.tree == captured.facts["tree"]
    again = capture_code(restored.root, scratch / "capture2")
    assert again.facts["tree"] == captured.facts["tree"]
    assert again.facts["dirty"] is False
    return dict(captured.facts)


@pytest.mark.parametrize("name", CASES)
def test_a_repository_comes_back_bit_for_bit(name: str, tmp_path: Path) -> None:
    root = new_repository(tmp_path / "home" / "project")
    CASES[name](root)

    facts = round_trip(root, tmp_path)

    assert facts["dirty"] is (name not in CLEAN)


CLEAN = {
    "clean",
    "converted_long_ago",
    "submodule_clean",
    "submodule_not_initialised",
    "unpushed_commits",
    "sparse_checkout",
    "sockets_and_pipes",
}
