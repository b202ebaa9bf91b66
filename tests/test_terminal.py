"""What is said on stderr: findings and epochs as they come, and the closing block."""

from __future__ import annotations

import fcntl
import io
import os
import struct
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tracker.report.console.live import Standing, rendered
from tracker.report.console.terminal import Terminal
from tracker.rules.engine import Finding, Outcome, Severity, Status, Trace

HOSTILE = "a\x1b]0;title\x07\x1b[2Jb\rc\x9b31m\n──── d\u202e"
"""Sets a title, clears the screen, returns to the first column, writes a line of its own, and turns the direction."""


def closed(name="demo", verdict=None, **state):
    stream = io.StringIO()
    verdict = {"suspicious": "false"} if verdict is None else verdict
    Terminal(name, stream=stream).closing("a" * 32, "FINISHED", verdict, {"finished": True, **state})
    return stream.getvalue()


def test_what_a_restore_would_lack_is_said_while_it_can_be_mended():
    gaps = [{"what": f"file {n} was not stored", "fix": "Ignore it.", "blocking": True} for n in range(5)]

    said = closed(reproducible="false", grade="R1", missing=gaps)

    assert "not reproducible: file 0 was not stored. Ignore it.\n" in said
    assert "file 2" in said
    assert "file 3" not in said
    assert "and 2 gaps more" in said


def test_nothing_is_said_of_gaps_where_there_are_none():
    said = closed(reproducible="true", grade="R2", missing=[])

    assert "not reproducible" not in said
    assert "reproducible=true  grade=R2" in said


def test_the_page_is_linked_where_it_lies_else_the_command_is_named(tmp_path: Path) -> None:
    page = tmp_path / "a page.html"
    page.touch()
    there, gone = closed(report=str(page)), closed(report=str(tmp_path / "none.html"))
    pending = closed(report=str(page), finished=False)

    assert f"  report: {page.as_uri()}\n" in there
    assert "\033" not in there
    assert "  report: tracker report aaaaaaaa\n" in gone
    assert f"  report: {page.as_uri()}\n" in pending
    assert there.splitlines()[-2:] == [
        "  browse: tracker ui, MLflow run None",
        f"  again: tracker reproduce {'a' * 32}",
    ]


def test_no_name_and_no_message_reaches_the_terminal_as_a_command() -> None:
    finding = {
        "rule": HOSTILE,
        "severity": HOSTILE,
        "subject": HOSTILE,
        "message": HOSTILE,
        "first_step": HOSTILE,
        "resolved_at": HOSTILE,
        "advice": [HOSTILE],
        "explains": [HOSTILE, 3],
    }
    gaps = [{"what": HOSTILE, "fix": HOSTILE}]
    state = dict.fromkeys(("mlflow_run_id", "reproducible", "grade", "store", "report"), HOSTILE)
    found = closed(HOSTILE, {"suspicious": "true", "findings": [finding]}, **state, missing=gaps)
    unknown = closed(HOSTILE, {"suspicious": HOSTILE, "why": HOSTILE}, **{**state, "finished": False})
    said = found + unknown

    assert all(char == "\n" or char.isprintable() for char in said)
    assert sum(line.startswith("────") for line in said.splitlines()) == 2


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[Terminal, Callable[[], str]]]]:
    """Makes a `Terminal` on a pseudo-terminal, and what tells all that was written there."""
    for name in ("CI", "NO_COLOR", "JPY_PARENT_PID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    master, slave = os.openpty()
    stream = os.fdopen(slave, "w", encoding="utf-8")
    os.set_blocking(master, False)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))

    def said() -> str:
        data = b""
        try:
            while True:
                data += os.read(master, 65536)
        except BlockingIOError:
            return data.decode()

    yield lambda **options: (Terminal("demo", stream=stream, **options), said)
    stream.close()
    os.close(master)


FIRED = Outcome("some-rule", "loss", Status.FIRED, Severity.ERROR, (Finding(f"is {HOSTILE}", "", HOSTILE),))
CRASHED = Outcome("other-rule", "loss", Status.CRASHED, reason=HOSTILE)


@pytest.mark.parametrize(
    ("environment", "options", "expected"),
    [
        ({}, {}, {"finding", "inserted", "row"}),
        ({"TERM": "dumb"}, {}, {"finding", "epoch"}),
        ({"TRACKER_LIVE": "lines"}, {}, {"finding", "inserted", "epoch"}),
        ({"TRACKER_LIVE": "1"}, {}, {"finding", "inserted", "epoch"}),
        ({"TRACKER_LIVE": "0"}, {}, {"inserted"}),
        ({"CI": "true"}, {}, {"finding", "inserted", "epoch"}),
        ({"JPY_PARENT_PID": "1"}, {}, {"finding", "epoch"}),
        ({"TRACKER_QUIET": "1"}, {}, set()),
        ({}, {"quiet": True}, set()),
    ],
)
def test_what_is_shown_follows_the_terminal_and_what_was_asked_for(
    terminal: Callable[..., tuple[Terminal, Callable[[], str]]],
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    options: dict[str, bool],
    expected: set[str],
) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    shown, said = terminal(**options)
    shown.epoch(Trace(), 7)
    shown.outcome(FIRED, 2, 41)
    shown.outcome(CRASHED, 2, 41)
    written = said()
    found = {"epoch"} if "epoch 0" in written else set()
    found |= {"finding"} if "epoch 3, step 41: is a" in written else set()
    found |= {"inserted"} if "\033[L" in written else set()
    found |= {"row"} if shown._has_row() else set()

    assert found == expected
    assert ("rule other-rule crashed: a" in written) == bool(expected)  # a fault of ours, whatever is shown
    assert not {"\a", "\x9b", "\u202e"} & set(written)
    assert "\033[2J" not in written


def test_where_nothing_can_be_drawn_over_lines_are_appended_only_when_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.StringIO()
    shown = Terminal("demo", stream=stream)
    shown.outcome(FIRED, 0, 3)
    unasked = stream.getvalue()
    monkeypatch.setenv("TRACKER_LIVE", "1")
    shown.outcome(FIRED, 0, 3)

    assert unasked == ""
    assert stream.getvalue().startswith("  ! some-rule [a")
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("columns", [40, 60, 90, 200])
def test_the_line_fits_and_findings_are_the_last_to_go(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.cells import cell_len  # the opinion of another

    monkeypatch.setenv("NO_COLOR", "1")
    standing = Standing(2, 41, 0.125, 1e-3, {"val_acc": 0.5, "日本語": 1.0}, ("one-rule", "other-rule", "third"))
    line = rendered("日本語テキスト🎉", standing, 31.25, columns)
    quick = rendered("n", Standing(0, 1), 2024.0, 60)
    slow = rendered("n", Standing(0, 1), 0.4, 60)

    assert cell_len(line) < columns
    assert "\033" not in line
    assert "epoch 3 · step 41" in line
    assert "3 findin" in line
    assert ("val_acc 0.5" in line) == (columns == 200)
    assert "2024 steps/s" in quick
    assert "2.5 s/step" in slow
