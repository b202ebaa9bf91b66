"""What somebody stored who means ill is refused before it is written: too much of it, and names that lead out."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.capture.repositories import code_files, git, new_repository
from tracker.capture.code import capture_code
from tracker.errors import ReproduceError
from tracker.reproduce import admitting
from tracker.reproduce.admitting import VARIABLE, Room, check_name, folds_case, read_admitted
from tracker.reproduce.restore import restore_code

REGULAR, LINK = 0o100644, 0o120000


def archive_of(target: Path, *files: tuple[str, int, bytes]) -> Path:
    """Write a zip archive of (name, mode, content), in order and unchecked."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, mode, content in files:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = mode << 16
            archive.writestr(info, content)
    return target


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """The capture of a folder without a repository, which is gone."""
    root = tmp_path / "plain"
    root.mkdir()
    (root / "train.py").write_text("print('plain')\n")
    capture_code(root, tmp_path / "capture", script=root / "train.py")
    shutil.rmtree(root)
    return tmp_path / "capture"


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """The capture of a repository, which is gone."""
    root = new_repository(tmp_path / "home" / "project")
    (root / "local_settings.py").write_text("WIDTH = 8\n")
    capture_code(
        root, tmp_path / "capture", script=root / "train.py", loaded_files=[root / "local_settings.py"], cwd=root
    )
    shutil.rmtree(tmp_path / "home")
    return tmp_path / "capture"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "evil").mkdir()
    git(tmp_path / "evil", "init", "-q", "--bare")
    return tmp_path / "evil"


def change_facts(capture: Path, **changes: object) -> None:
    facts = json.loads((capture / "code.json").read_text())
    (capture / "code.json").write_text(json.dumps({**facts, **changes}))


def tree_of(store: Path, *rows: tuple[str, str, str]) -> str:
    """Write a tree of (mode, object id, name)."""
    lines = "".join(
        f"{mode} {'tree' if mode == '040000' else 'blob'} {oid}\t{name}\n" for mode, oid, name in sorted(rows)
    )
    return git(store, "mktree", "--missing", stdin=lines.encode())


def blob_of(store: Path, content: bytes) -> str:
    return git(store, "hash-object", "-w", "--stdin", stdin=content)


def exchange_bundle(store: Path, capture: Path, tree: str, *more: str) -> None:
    """Put a bundle of `tree` in the place of the captured one, with the refs `more`."""
    git(store, "update-ref", "refs/heads/snapshot", git(store, "commit-tree", tree, "-m", "evil"))
    git(store, "bundle", "create", "-q", str(capture / "code.bundle"), "refs/heads/snapshot", *more)
    change_facts(capture, tree=tree, ignored_tree=None)


def test_an_archive_of_a_few_kilobytes_that_would_fill_the_disk_is_refused(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive_of(plain / "code.zip", ("a.bin", REGULAR, bytes(8_000_000)), ("b.bin", REGULAR, bytes(8_000_000)))
    monkeypatch.setenv(VARIABLE, "10")

    with pytest.raises(ReproduceError, match=r"code\.zip unpacks to 16 MB, expected no more than 10 MB.*=17"):
        restore_code(plain, tmp_path / "again")
    assert list((tmp_path / "again").iterdir()) == []

    monkeypatch.setenv(VARIABLE, "17")
    assert (restore_code(plain, tmp_path / "again").root / "b.bin").stat().st_size == 8_000_000


def test_a_bundle_of_a_few_kilobytes_that_would_fill_the_disk_is_refused(
    capture: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zeros = blob_of(store, bytes(6_000_000))
    exchange_bundle(store, capture, tree_of(store, *(("100644", zeros, f"{n}.bin") for n in range(3))))
    monkeypatch.setenv(VARIABLE, "10")

    with pytest.raises(ReproduceError, match="The stored code unpacks to 18 MB, expected no more than 10 MB"):
        restore_code(capture, tmp_path / "again")
    assert code_files(tmp_path / "again") == {}
    assert (capture / "code.bundle").stat().st_size < 50_000


def test_a_tree_of_trees_with_more_names_than_can_be_listed_is_refused(
    capture: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admitting, "_LISTING_BYTES", 1_000_000)
    mode, inner = "100644", blob_of(store, b"x")
    for _ in range(12):
        inner = tree_of(store, *((mode, inner, f"n{n}") for n in range(10)))
        mode = "040000"
    exchange_bundle(store, capture, inner)

    with pytest.raises(ReproduceError, match="listed in more than 1 MB"):
        restore_code(capture, tmp_path / "again")
    assert code_files(tmp_path / "again") == {}


def test_one_room_is_shared_by_all_that_is_restored(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive_of(capture / "inputs.zip", ("data.bin", REGULAR, bytes(2_000_000)))
    monkeypatch.setenv(VARIABLE, "2")

    with pytest.raises(ReproduceError, match=r"inputs\.zip unpacks to 2 MB"):
        restore_code(capture, capture.parent / "again")


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "a.zip", *((f"{n}.txt", REGULAR, b"") for n in range(3)))

    with pytest.raises(ReproduceError, match="holds 3 files, expected no more than 2"):
        next(read_admitted(archive, Room(tmp_path, 1000, files=2)))
    assert len(list(read_admitted(archive, Room(tmp_path, 1000, files=3)))) == 3


def test_more_than_the_disk_has_left_is_refused_whatever_is_allowed(tmp_path: Path) -> None:
    everything = shutil.disk_usage(tmp_path).total

    with pytest.raises(ReproduceError, match="MB left"):
        Room(tmp_path, everything * 4).admit("It", [everything * 2])


def test_an_archive_with_more_in_it_than_it_tells_is_refused(plain: Path, tmp_path: Path) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        info = zipfile.ZipInfo("train.py")
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = REGULAR << 16
        archive.writestr(info, bytes(5_000_000))
    content = made.getvalue().replace(struct.pack("<I", 5_000_000), struct.pack("<I", 5))
    (plain / "code.zip").write_bytes(content)

    with pytest.raises(ReproduceError, match="cannot be read"):
        restore_code(plain, tmp_path / "again")
    assert not (tmp_path / "again" / "train.py").exists()


@pytest.mark.parametrize("spoil", [lambda content: content[:-40], lambda content: b"PK", lambda content: b""])
def test_a_damaged_archive_is_an_error_of_one_line(
    spoil: Callable[[bytes], bytes], plain: Path, tmp_path: Path
) -> None:
    (plain / "code.zip").write_bytes(spoil((plain / "code.zip").read_bytes()))

    with pytest.raises(ReproduceError, match=r"code\.zip cannot be read"):
        restore_code(plain, tmp_path / "again")


def test_damaged_content_of_an_archive_is_an_error_of_one_line(plain: Path, tmp_path: Path) -> None:
    archive_of(plain / "code.zip", ("train.py", REGULAR, bytes(range(256)) * 20))
    content = bytearray((plain / "code.zip").read_bytes())
    content[45:60] = b"\xff" * 15
    (plain / "code.zip").write_bytes(content)

    with pytest.raises(ReproduceError, match=r"code\.zip cannot be read"):
        restore_code(plain, tmp_path / "again")


def test_names_for_one_place_are_refused_where_the_file_system_folds_case(tmp_path: Path) -> None:
    names = [("LINK", "100644"), ("link/inner.py", "100644"), ("Straße.py", "100644"), ("STRASSE.py", "100644")]

    admitting._check_places(names, "It", folds=False)
    with pytest.raises(ReproduceError, match="below another file"):
        admitting._check_places(names[:2], "It", folds=True)
    with pytest.raises(ReproduceError, match="one name to the file system here"):
        admitting._check_places(names[2:], "It", folds=True)
    assert folds_case(tmp_path) is (tmp_path / "X").exists()


def test_names_that_differ_in_case_alone_come_back_here(tmp_path: Path) -> None:
    root = new_repository(tmp_path / "home" / "project")
    (root / "Net").mkdir()
    (root / "Net" / "model.py").write_text("OTHER = 1\n")
    (root / "TRAIN.py").write_text("print('other')\n")
    capture_code(root, tmp_path / "capture", script=root / "train.py")

    restored = restore_code(tmp_path / "capture", tmp_path / "again")

    assert restored.matches
    assert code_files(restored.root) == code_files(root)


@pytest.mark.parametrize("name", ["a/../../b", "a//b", "/etc/passwd", "x/.Git/y", ".git\u200c/config", "a\0b", "", "."])
def test_a_name_that_leads_out_is_refused(name: str) -> None:
    with pytest.raises(ReproduceError, match="Nothing was written"):
        check_name(name)


def test_a_replaced_object_in_a_bundle_replaces_nothing(capture: Path, store: Path, tmp_path: Path) -> None:
    shown, hidden = blob_of(store, b"print('shown')\n"), blob_of(store, b"print('hidden')\n")
    git(store, "update-ref", f"refs/replace/{shown}", hidden)
    tree = tree_of(store, ("100644", shown, "train.py"))
    exchange_bundle(store, capture, tree, f"refs/replace/{shown}")

    restored = restore_code(capture, tmp_path / "again")

    assert (restored.root / "train.py").read_text() == "print('shown')\n"
    assert git(restored.root, "for-each-ref", "--format=%(refname)") == "refs/heads/snapshot\nrefs/restored/snapshot"


def test_ignored_files_that_were_exchanged_are_refused(capture: Path, tmp_path: Path) -> None:
    change_facts(capture, ignored_tree="1" * 40)

    with pytest.raises(ReproduceError, match="another tree"):
        restore_code(capture, tmp_path / "again")


def test_an_input_does_not_reach_into_the_git_folder_through_a_link(capture: Path, store: Path, tmp_path: Path) -> None:
    tree = tree_of(store, ("120000", blob_of(store, b".git"), "data"), ("100644", blob_of(store, b""), "train.py"))
    exchange_bundle(store, capture, tree)
    archive_of(capture / "inputs.zip", ("data/commondir", REGULAR, b"/tmp"), ("fine.txt", REGULAR, b"fine"))
    change_facts(capture, folders=["data/made", "empty", "../out", 7, "a\0b"], cwd="data/there")

    restored = restore_code(capture, tmp_path / "again")

    assert not (restored.root / ".git" / "commondir").exists()
    assert not (restored.root / ".git" / "made").exists()
    assert not (restored.root / ".git" / "there").exists()
    assert restored.cwd == restored.root
    assert (restored.root / "empty").is_dir()
    assert (restored.root / "fine.txt").read_bytes() == b"fine"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", [7, "text", [[]], {"a": 1}, None, [None]])
def test_facts_of_another_kind_than_ours_do_not_matter(wrong: object, capture: Path, tmp_path: Path) -> None:
    names = ("skipped", "withheld", "unreadable", "lfs", "sealed", "links", "folders", "entry", "cwd")
    change_facts(capture, **dict.fromkeys(names, wrong))

    assert restore_code(capture, tmp_path / "again").matches


def test_a_name_longer_than_the_file_system_takes_is_an_error_of_one_line(plain: Path, tmp_path: Path) -> None:
    archive_of(plain / "code.zip", ("x" * 300 + ".py", REGULAR, b""))

    with pytest.raises(ReproduceError, match="cannot be restored into"):
        restore_code(plain, tmp_path / "again")


def test_an_amount_that_is_no_number_is_named(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "10 GB")

    with pytest.raises(ReproduceError, match=f"{VARIABLE} is '10 GB'; expected a whole number of megabytes"):
        restore_code(plain, tmp_path / "again")


def test_links_come_back_as_links_and_are_not_followed(plain: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    archive_of(plain / "code.zip", ("link", LINK, os.fsencode(outside)), ("other", LINK, b"nowhere"))

    restored = restore_code(plain, tmp_path / "again")

    assert (restored.root / "link").is_symlink()
    assert outside.read_text() == "mine"
    assert not restored.matches
