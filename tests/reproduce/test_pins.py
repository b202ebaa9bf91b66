"""Recorded distributions as requirements: exact, and nothing but that, whatever was stored."""

import pytest

from tracker.reproduce.pins import pins_of

SHA = "a" * 64


def pin(**row):
    return pins_of({"packages": [{"name": "six", "version": "1.0", "origin": "index", **row}]})[0]


@pytest.mark.parametrize(
    ("origin", "line"),
    [
        ("index", "six==1.0"),
        (f"file six-1.0-py3-none-any.whl {SHA}", f"six==1.0 --hash=sha256:{SHA}"),
        ("file six-1.0-py3-none-any.whl unknown", "six==1.0"),
        (f"url https://host/six.whl {SHA}", f"six @ https://host/six.whl#sha256={SHA}"),
        ("url https://host/six.zip#subdirectory=a " + SHA, f"six @ https://host/six.zip#subdirectory=a&sha256={SHA}"),
        ("vcs git+https://host/six@0123456789", "six @ git+https://host/six@0123456789"),
        ("vcs git+ssh://git@host/six@0123456789#subdirectory=b", None),
    ],
)
def test_a_distribution_is_asked_for_as_it_had_been_installed(origin, line):
    assert pin(origin=origin).problem == ""
    assert pin(origin=origin).requirement() == (line or f"six @ {origin[4:]}")


def test_hashes_are_asked_for_where_the_wheel_comes_from_an_index():
    assert pin().requirement([SHA, "not a digest"]) == f"six==1.0 --hash=sha256:{SHA}"


@pytest.mark.parametrize(
    "row",
    [
        {"name": "six --index-url=https://evil"},
        {"name": "-r/etc/passwd"},
        {"name": ""},
        {"version": "1.0\n--index-url https://evil"},
        {"version": "1.0 ; python_version > '0'"},
        {"version": "1.1build1"},
        {"version": "unknown"},
        {"origin": "url file:///etc/passwd"},
        {"origin": "url https://host/x\n-r/etc/passwd"},
        {"origin": "url https://host/x y"},
        {"origin": "vcs git+https://host/six@main"},
        {"origin": "vcs git+https://host/six@0123456789 --evil"},
        {"origin": "vcs git+https://host/six@0123456789#subdirectory=a\n-r/etc/passwd"},
        {"origin": "vcs hg+https://host/six@0123456789"},
        {"origin": "vcs git+https://[redacted:token]host/six@0123456789"},
        {"origin": "elsewhere"},
        {"origin": "editable relative/path"},
    ],
)
def test_what_is_no_exact_distribution_is_a_problem_and_never_a_line(row):
    found = pin(**row)

    assert found.problem
    with pytest.raises(ValueError, match="nothing to install"):
        found.requirement()


def test_a_folder_is_nothing_to_install():
    found = pin(origin="editable /home/me/six")

    assert found.is_local
    with pytest.raises(ValueError, match="editable"):
        found.requirement()


def test_what_was_not_imported_is_not_needed_but_for_libraries_that_load_without_an_import():
    assert not pin(imported=False).is_needed
    assert pin(imported=True).is_needed
    assert pin(imported=None).is_needed
    assert pin(name="nvidia-cublas", imported=False).is_needed


def test_our_own_distribution_and_damaged_rows_are_left_out():
    assert pins_of({"packages": [{"name": "soundrun", "version": "1"}, "x", None, 3]}) == []
    assert pins_of({"packages": "x"}) == []
    assert pins_of({}) == []
