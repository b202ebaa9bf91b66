"""Ctrl-C in the middle of a command: exit code 130, one line that says what is left, nothing half done."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.projects import commit, train
from tests.report.screens import Seen
from tests.trainings import tracked
from tracker.cli.reproduce_many import RESULTS, _append, _results
from tracker.rundir import RunDir
from tracker.sidecar.sync import is_uploading

TRACKER = (sys.executable, "-c", "import sys; del sys.path[0]; from tracker.cli import main; main()")


def interrupted(seen: Seen) -> str:
    """Presses Ctrl-C, and returns the last line that is to be seen once the command has ended as it should."""
    seen.type(b"\x03")
    seen.to_the_end()

    assert seen.process.returncode == 130
    assert not any("/tracker/" in row for row in seen.text())  # that of a script which is run again is its own
    return " ".join(" ".join(seen.text()).replace("^C", "").split())


def test_what_takes_long_is_shown_on_a_terminal_and_can_be_interrupted(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    seen = Seen([*TRACKER, "compare", "a" * 32, "b" * 32, "--uri", uri], columns=100, cwd=tmp_path)
    seen.until(lambda seen: any("reading the runs" in row for row in seen.text()))
    last = interrupted(seen)

    assert last == "tracker: interrupted; nothing was changed."
    assert seen.scrolls_whole


def test_check_says_how_many_were_judged(tmp_path: Path) -> None:
    names = []
    for number in range(400):
        (tmp_path / f"{number}.csv").write_text("step,loss\n" + "".join(f"{i},{1 / (i + 1)}\n" for i in range(40)))
        names.append(f"{number}.csv")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    command = [*TRACKER, "check", *names]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.send_signal(signal.SIGINT)
        _, told = child.communicate(timeout=60)
    *lines, last = told.splitlines()

    assert child.returncode == 130
    assert lines[0] == "[1/400] judging 0.csv"
    assert last.startswith("tracker: interrupted; ")
    assert " of 400 were judged; the same command judges all of them anew." in last


@pytest.fixture
def deaf() -> Iterator[str]:
    """The address of a tracking server that takes calls and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_an_upload_that_is_interrupted_is_still_pending_and_nobody_is_at_it(tmp_path: Path, deaf: str) -> None:
    with tracked("pending", tracking_uri=deaf) as run:
        run.log(score=1.0)
    rundir = RunDir.find(run.id)
    assert rundir is not None
    seen = Seen([*TRACKER, "sync", run.id], columns=120, cwd=tmp_path)
    seen.until(lambda seen: any("uploading pending" in row for row in seen.text()) and is_uploading(rundir))
    last = interrupted(seen)

    assert last == (
        "tracker: interrupted; 0 of 1 runs are in their store, nothing is lost; 'tracker sync' goes on with the rest."
    )
    assert not is_uploading(rundir)
    assert not rundir.state.get("finished")


def test_a_result_that_was_cut_off_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / RESULTS
    path.write_text('{"run_id": "cut o')
    _append(path, {"run_id": "a"})
    _append(path, {"run_id": "b"})

    assert sorted(_results(path)) == ["a", "b"]
    assert path.read_text().count("\n") == 3


WAITS = """
    import os, time
    from tracker import Run, track
    with track(Run("waits", experiment="waits")) as run:
        run.log(score=1.0)
        if os.environ.get("WAITS"):
            open(os.environ["WAITS"], "w").close()
            time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.parametrize("many", [False, True])
def test_a_re_run_that_is_interrupted_is_not_graded(project: Path, tmp_path: Path, many: bool) -> None:
    commit(project, train=WAITS)
    original = train(project)
    what = ["--experiment", "waits"] if many else [original.spec["id"]]
    ready = tmp_path / "ready"
    seen = Seen(
        [*TRACKER, "reproduce", *what, "--yes", "--use-current-env", "--into", str(tmp_path / "again")],
        columns=160,
        cwd=tmp_path,
        environment={"WAITS": str(ready)},
    )
    seen.until(lambda seen: ready.exists())
    last = interrupted(seen)

    assert "tracker: interrupted; " in last
    assert ("the same command goes on" in last) if many else ("the run is not graded" in last)
    assert not (tmp_path / "again" / RESULTS).exists()


@pytest.mark.slow
def test_a_ui_that_is_interrupted_while_it_starts_leaves_no_server(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    code = f"from mlflow.tracking import MlflowClient as C; c = C({uri!r}); c.create_run(c.create_experiment('digits'))"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    seen = Seen([*TRACKER, "ui", "--port", "0", "--uri", uri], columns=120, cwd=tmp_path)
    seen.until(lambda seen: any("starting MLflow's UI" in row for row in seen.text()))
    last = interrupted(seen)

    assert "tracker: interrupted; the UI had not started yet, and nothing of it is left." in last
