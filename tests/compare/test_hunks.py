"""The lines that differ between two folders, and one of them taken from one into the other."""

import os

import pytest

from tracker.compare.hunks import Hunk, apply, hunks_between, program_of


@pytest.fixture
def sides(tmp_path):
    """Two folders, and a function that fills one of them."""
    for side in "ab":
        (tmp_path / side).mkdir()

    def fill(side, **files):
        for name, content in files.items():
            path = tmp_path / side / name.replace("__", ".").replace("IN", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return tmp_path / "a", tmp_path / "b", fill


def places(found):
    return [(hunk.id, hunk.removed, hunk.added) for hunk in found]


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_each_changed_place_of_a_file_is_a_hunk_of_its_own(sides):
    a, b, fill = sides
    fill("a", t__py="one = 1\nsame = 0\ntwo = 2\n", pINm__py="x = 1\n")
    fill("b", t__py="one = 10\nsame = 0\ntwo = 2\nthree = 3\n", pINm__py="x = 1\n")

    found = hunks_between(a, b)

    assert places(found) == [
        ("code:t.py:1", ("one = 1",), ("one = 10",)),
        ("code:t.py:4", (), ("three = 3",)),
    ]
    assert found[0].short == "`one = 1` against `one = 10`"


def test_files_of_one_side_binary_files_links_and_modes_are_told_as_a_whole(sides):
    a, b, fill = sides
    fill("a", gone__py="x = 1\n", b__bin=b"\0a", run__sh="echo\n")
    fill("b", new__py="y = 1\n", b__bin=b"\0b", run__sh="echo\n")
    (b / "run.sh").chmod(0o755)
    (a / "link").symlink_to("gone.py")
    (b / "link").symlink_to("new.py")

    found = hunks_between(a, b)

    assert {(hunk.file, hunk.whole) for hunk in found} == {
        ("b.bin", "binary"), ("gone.py", "only in A"), ("new.py", "only in B"), ("link", "kind"), ("run.sh", "mode"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "is_program"),
    [
        ("x = 1\n", "x = 1  # one\n", False),
        ("x = 1\n", "\n\nx = 1\n", False),
        ('def f():\n    "Old."\n    return 1\n', 'def f():\n    "New."\n    return 1\n', False),
        ("x = 1\n", "x = 2\n", True),
        ("x = '#1'\n", "x = '#2'\n", True),
        ("x = (\n", "x = (1\n", True),
    ],
)
def test_comments_and_layout_are_told_from_the_program(sides, before, after, is_program):
    a, b, fill = sides
    fill("a", t__py=before)
    fill("b", t__py=after)

    assert {hunk.is_program for hunk in hunks_between(a, b)} == {is_program}


def test_a_comment_beside_a_change_is_told_from_it(sides):
    a, b, fill = sides
    fill("a", t__py="# old\nx = 1\ny = 1\n")
    fill("b", t__py="# new\nx = 1\ny = 2\n")

    assert [hunk.is_program for hunk in hunks_between(a, b)] == [False, True]


def test_all_hunks_together_make_one_side_of_the_other_byte_by_byte(sides):
    a, b, fill = sides
    fill("a", t__py="1\n2\n3\n4\r\n5", gone="x", b__bin=b"\0a", nINo="n")
    fill("b", t__py=b"0\n1\n3\nfour\r\n5\xff\n6", newINfile="y", b__bin=b"\0b", nINo="n")

    apply(hunks_between(a, b), a, b)

    assert content(a) == content(b)


def test_one_hunk_leaves_all_other_lines_as_they_were(sides):
    a, b, fill = sides
    fill("a", t__py="a = 1\n\nb = 1\n\nc = 1\n")
    fill("b", t__py="x = 0\na = 2\n\nb = 2\n\nc = 2\n")

    apply([hunks_between(a, b)[1]], a, b)

    assert (a / "t.py").read_text() == "a = 1\n\nb = 2\n\nc = 1\n"


@pytest.mark.parametrize("name", ["../out.py", "/out.py", ".git/config", "down/out.py", "link.py"])
def test_a_hunk_that_leads_out_of_the_folder_is_refused(sides, tmp_path, name):
    a, b, fill = sides
    fill("b", t__py="x\n", downINout__py="x\n", link__py="x\n")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "out.py").write_text("mine\n")
    (a / "down").symlink_to(tmp_path / "outside")
    (a / "link.py").symlink_to(tmp_path / "outside" / "out.py")

    with pytest.raises(ValueError, match=r"leads out of|is a link"):
        apply([Hunk(name, 1, 1, 1, 1)], a, b)

    assert (tmp_path / "outside" / "out.py").read_text() == "mine\n"


def test_a_hunk_of_other_code_is_refused(sides):
    a, b, fill = sides
    fill("a", t__py="x\n")
    fill("b", t__py="y\n")

    with pytest.raises(ValueError, match="has 1 lines"):
        apply([Hunk("t.py", 5, 2, 1, 1)], a, b)


def test_large_changes_are_matched_as_one_and_what_is_shown_is_cut(sides):
    a, b, fill = sides
    fill("a", t__txt="".join(f"a{number}\n" for number in range(5000)))
    fill("b", t__txt="".join(f"b{number}\n" for number in range(5000)))

    [hunk] = hunks_between(a, b)

    assert (hunk.n_lines, hunk.n_b_lines) == (5000, 5000)
    assert hunk.removed[-1] == "... 4960 lines more"


def test_what_is_no_python_has_no_program_and_odd_python_says_nothing(recwarn):
    assert program_of(b"def f(") is None
    assert program_of(b'x = "\\d"\n') is not None
    assert not recwarn.list


def test_the_git_folder_is_no_part_of_the_code(sides):
    a, b, _ = sides
    os.makedirs(a / ".git")
    (a / ".git" / "config").write_text("x")

    assert hunks_between(a, b) == []
