"""`tracker sync` and `tracker ui`."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from tracker.cli import run
from tracker.rundir import RunDir


def test_with_nothing_to_upload_sync_says_so(capsys):
    assert run(["sync"]) == 0
    assert "Every run" in capsys.readouterr().out


def test_a_run_that_is_not_on_this_machine_cannot_be_uploaded(capsys):
    RunDir.create({"id": "b" * 32})

    code = run(["sync", "f" * 32])

    assert code == 2
    assert "b" * 32 in capsys.readouterr().err


def test_a_run_that_is_whole_is_listed_as_such(capsys):
    rundir = RunDir.create({"id": "b" * 32})
    rundir.update_state(finished=True, store="ok", mlflow_run_id="m" * 32, status="FINISHED")

    code = run(["sync", "b" * 32, "--json"])

    assert code == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["result"] == "whole"


def test_the_ui_needs_a_store(capsys, tmp_path):
    code = run(["ui", "--tracking-uri", f"sqlite:///{tmp_path / 'none.db'}"])

    assert code == 2
    assert "none.db" in capsys.readouterr().err


@pytest.mark.slow
def test_the_ui_answers_at_the_link_it_prints_and_ends_with_ctrl_c(tmp_path, root):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    script = (
        f"from mlflow.tracking import MlflowClient as C; c = C({uri!r}); c.create_run(c.create_experiment('digits'))"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    code = "from tracker.cli import main; main()"
    command = [sys.executable, "-c", code, "ui", "--port", "0", "--tracking-uri", uri]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)}, cwd=tmp_path
    )
    try:
        base, view = child.stdout.readline().strip(), child.stdout.readline().strip()
        with urllib.request.urlopen(base, timeout=20) as page:
            assert page.status == 200
    finally:
        child.send_signal(signal.SIGINT)
    assert child.wait(60) == 0
    child.stdout.close()
    assert view.startswith(f"digits: {base}/#/experiments/")
    port = int(base.rsplit(":", 1)[1])
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return
        time.sleep(0.1)
    pytest.fail("the server is still there after Ctrl-C")


@pytest.mark.slow
def test_a_port_in_use_is_wrong_usage(tmp_path, capsys):
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    MlflowClient(uri).create_experiment("digits")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code = run(["ui", "--port", str(taken.getsockname()[1]), "--tracking-uri", uri])

    assert code == 64
    assert "--port" in capsys.readouterr().err
