"""Comments in the user's code that accept a finding."""

import textwrap

import pytest

from tracker.capture.inline import own_files, suppressions
from tracker.rules import Registry

REGISTRY = Registry.discover()


def found(tmp_path, text):
    path = tmp_path / "train.py"
    path.write_text(textwrap.dedent(text))
    warnings = []
    entries = suppressions([path], REGISTRY, warnings.append)
    return [(one.rule, one.subject, one.reason) for one in entries], warnings


def test_a_comment_of_its_own_is_about_the_whole_run(tmp_path):
    assert found(tmp_path, "# tracker: ignore[loss-spike, data] bursts in the stream\n") == (
        [("loss-spike", "*", "bursts in the stream"), ("data", "*", "bursts in the stream")],
        [],
    )


@pytest.mark.parametrize("line", ["self.gate = Linear(4, 4)", "gate = Linear(4, 4)", "self.gate: Module = Linear()"])
def test_a_comment_behind_a_module_is_about_that_module(tmp_path, line):
    entries, _ = found(tmp_path, f"{line}  # tracker: ignore[update-ratio] frozen on purpose\n")

    assert [subject for _, subject, _ in entries] == ["gate", "*.gate"]


def test_what_stands_in_a_string_is_no_comment(tmp_path):
    assert found(tmp_path, 'text = "# tracker: ignore[loss-spike] no"\n') == ([], [])


@pytest.mark.parametrize(
    ("comment", "problem"),
    [
        ("# tracker: ignore because", "names no rule"),
        ("# tracker: ignore[loss-spike]", "gives no reason"),
        ("# tracker: ignore[los-spike] typo", "'los-spike', which is no rule"),
    ],
)
def test_a_comment_that_cannot_be_used_is_told_and_not_heeded(tmp_path, comment, problem):
    entries, warnings = found(tmp_path, comment + "\n")

    assert entries == []
    assert len(warnings) == 1
    assert problem in warnings[0]


def test_code_that_does_not_end_is_passed_over(tmp_path):
    assert found(tmp_path, "'''unfinished\n# tracker: ignore[loss-spike] x\n") == ([], [])


def test_only_the_script_and_what_lies_beside_it_is_the_users(tmp_path, monkeypatch):
    (tmp_path / "net_of_mine.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    __import__("net_of_mine")

    assert {path.name for path in own_files(str(tmp_path / "train.py"))} == {"train.py", "net_of_mine.py"}
    assert own_files(None) == []
