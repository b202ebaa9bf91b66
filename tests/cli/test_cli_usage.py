"""The command line as a whole: help, exit codes, and errors that say what to do next."""

import json
import os
import subprocess
import sys
import time

import pytest

from tracker.cli import main, run
from tracker.cli.output import clean, finite


def test_help_names_every_command_and_the_exit_codes(capsys):
    code = run(["--help"])

    said = capsys.readouterr().out
    assert code == 0
    for word in ("check", "compare", "reproduce", "rules", "sync", "ui", "Exit codes", "64"):
        assert word in said


def test_without_a_command_help_is_printed(capsys):
    assert run([]) == 0
    assert "reproduce" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["chekc", "x"], "Did you mean 'check'"),
        (["rules", "explian", "x"], "Did you mean 'explain'"),
        (["check", "x", "--setings", "f"], "--settings"),
        (["check"], "RUN_ID, a FILE"),
        (["check", "--all"], "belong together"),
        (["check", "x.csv", "--map", "nonsense"], "NAME=COLUMN"),
        (["compare", "only-one"], "Missing argument"),
        (["reproduce"], "Expected a RUN_ID"),
        (["reproduce", "x", "--timeout", "soon"], "timeout"),
        (["rules", "explain", "overfiting"], "Did you mean 'overfitting'"),
        (["ui", "--port", "99999999"], "port"),
    ],
)
def test_wrong_usage_exits_with_64_and_says_what_was_expected(capsys, arguments, hint):
    code = run(arguments)

    said = capsys.readouterr()
    assert code == 64
    assert hint in said.err
    assert said.out == ""


def test_an_error_has_a_machine_form_too(capsys):
    code = run(["check", "none.csv", "--json"])

    said = json.loads(capsys.readouterr().out)
    assert code == 2
    assert said["kind"] == "StoreError"
    assert "none.csv" in said["error"]


def test_an_error_has_no_traceback_unless_it_is_asked_for(capsys, monkeypatch):
    from tracker.errors import StoreError

    run(["check", "none.csv"])
    assert "Traceback" not in capsys.readouterr().err

    monkeypatch.setenv("TRACKER_DEBUG", "1")
    with pytest.raises(StoreError):
        run(["check", "none.csv"])


def test_a_fault_of_our_own_is_named_as_one(capsys, monkeypatch):
    def broken(*_: object) -> int:
        raise ZeroDivisionError("nothing to divide by")

    monkeypatch.setattr("tracker.cli.rules.list_rules", broken)

    assert run(["rules"]) == 2
    said = capsys.readouterr().err
    assert "ZeroDivisionError: nothing to divide by" in said
    assert "TRACKER_DEBUG=1" in said


def test_ctrl_c_exits_with_130(capsys, monkeypatch):
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("tracker.cli.rules.list_rules", interrupted)

    assert run(["rules"]) == 130


def test_main_exits_with_the_code():
    with pytest.raises(SystemExit) as exit_info:
        main(["no-such-command"])

    assert exit_info.value.code == 64


def test_names_cannot_command_the_terminal():
    assert clean("run\x1b[2J\x07name\u202e") == "run\ufffd[2J\ufffdname\ufffd"
    assert clean("a\tb\nc ü ✓") == "a\tb\nc ü ✓"
    assert clean("\ud800") == "\ufffd"


def test_the_machine_form_is_finite():
    assert finite({"a": [float("nan"), (1.0, float("-inf"))]}) == {"a": ["nan", [1.0, "-inf"]]}


def cold(root, code):
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    return time.perf_counter() - began, done.stdout


def test_help_loads_nothing_heavy(root):
    code = (
        "import sys; from tracker.cli import run; run(['--help'])\n"
        "print([m for m in ('torch', 'mlflow', 'pyarrow', 'git', 'numpy', 'pydantic', 'rich') if m in sys.modules])"
    )

    _, said = cold(root, code)

    # pydantic comes with the package itself; rich draws the help on a terminal only
    assert said.strip().splitlines()[-1] in ("['pydantic']", "[]")


def test_a_closed_pipe_is_no_finding(root):
    code = "from tracker.cli import main; main(['rules', 'list', '--json'])"
    reading, writing = os.pipe()
    child = subprocess.Popen([sys.executable, "-c", code], cwd=root, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    os.close(reading)
    _, error = child.communicate(timeout=60)

    assert child.returncode == 0
    assert error == ""
