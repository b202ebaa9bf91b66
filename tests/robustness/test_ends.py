"""Runs that end in unusual ways: the training is unharmed, and its run says how it ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tracker.journal import JournalReader
from tracker.rules.engine.records import Event, Reading
from tracker.rundir import RunDir

PREAMBLE = """
import os, sys
from tracker import Run, session, track
def captured(rundir):  # in the place of the process that uploads
    (rundir.capture / "code.json").write_text("{}")
    rundir.update_state(captured=True, capture_gaps=[])
session.start_sidecar = captured
def block(name="x"):
    return track(Run(name, settings={"wait_seconds": 0}))
"""


def run_script(root: Path, place: Path, body: str) -> subprocess.CompletedProcess[str]:
    """Runs a script in a process of its own, as a user would: our faults are not raised."""
    (place / "script.py").write_text(PREAMBLE + body)
    environment = {**os.environ, "PYTHONPATH": str(root)}
    environment.pop("TRACKER_STRICT")
    command = [sys.executable, "script.py"]
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=120)


def ends() -> dict[str, dict[str, str]]:
    """How each run on this machine says that it ended; nothing for one that did not say."""
    found: dict[str, dict[str, str]] = {}
    for rundir in RunDir.all():
        records = [record for _, record in JournalReader(rundir.journal).read()]
        told = [record.data for record in records if isinstance(record, Event) and record.name == "end"]
        found[rundir.spec["name"]] = {key: str(value) for key, value in (told[0] if told else {}).items()}
    return found


def metrics(name: str) -> list[float]:
    rundir = next(one for one in RunDir.all() if one.spec["name"] == name)
    return [record.value for _, record in JournalReader(rundir.journal).read() if isinstance(record, Reading)]


def test_a_block_that_is_open_when_python_ends_is_closed(root, tmp_path):
    body = "def g():\n    with block() as run:\n        for i in 0, 1:\n            run.log(a=i)\n            yield\n"
    done = run_script(root, tmp_path, body + "it = g(); next(it); next(it)\n")

    assert done.returncode == 0
    assert "is off" not in done.stderr
    assert "x " in done.stderr
    assert ends() == {"x": {"status": "FINISHED", "reason": "the interpreter ended inside the block"}}
    assert metrics("x") == [0.0, 1.0]


def test_an_exit_deep_inside_passes_through_and_fails_every_run_around_it(root, tmp_path):
    body = "def f(): sys.exit(3)\nwith block('outer'):\n    with block('inner'):\n        f()\n"
    done = run_script(root, tmp_path, body)

    assert done.returncode == 3
    assert {name: end["status"] for name, end in ends().items()} == {"outer": "FAILED", "inner": "FAILED"}


def test_what_a_forked_child_does_is_not_in_the_run(root, tmp_path):
    body = (
        "with block() as run:\n    run.log(a=1)\n    pid = os.fork()\n    if not pid:\n        run.log(a=2)\n"
        "        run.epoch()\n        sys.exit(5)\n    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
        "    run.log(a=3)\n"
    )
    done = run_script(root, tmp_path, body)

    assert done.stdout == "5\n"
    assert ends()["x"]["status"] == "FINISHED"
    assert metrics("x") == [1.0, 3.0]
    assert done.stderr.count("finished") == 1


def test_a_process_that_ends_without_a_word_leaves_its_records(root, tmp_path):
    done = run_script(root, tmp_path, "with block() as run:\n    run.log(a=1)\n    os._exit(0)\n")

    assert done.returncode == 0
    assert ends() == {"x": {}}
    assert metrics("x") == [1.0]
    assert not RunDir.all()[0].is_alive()


def test_runs_in_a_loop_leave_no_open_files_and_no_threads(root, tmp_path):
    body = (
        "import json, threading\ncounts = []\nfor i in range(8):\n    with block() as run:\n        run.log(a=i)\n"
        "    counts.append((len(os.listdir('/proc/self/fd')), threading.active_count()))\nprint(json.dumps(counts))\n"
    )
    done = run_script(root, tmp_path, body)
    counts = json.loads(done.stdout)

    assert counts[-1] == counts[0]


def test_the_directory_of_a_run_may_be_gone_before_it_begins(root, tmp_path):
    body = "import tempfile\nd = tempfile.mkdtemp(); os.chdir(d); os.rmdir(d)\nwith block() as run:\n    run.log(a=1)\n"
    done = run_script(root, tmp_path, body + "print('trained')\n")

    assert done.returncode == 0, done.stderr
    assert done.stdout == "trained\n"


@pytest.mark.parametrize("what", ["SystemExit(0)", "GeneratorExit()"])
def test_a_calm_exception_is_a_finished_run(root, tmp_path, what):
    run_script(root, tmp_path, f"with block():\n    raise {what}\n")

    assert ends()["x"]["status"] == "FINISHED"
