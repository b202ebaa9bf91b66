"""The server behind `tracker ui`: the real MLflow, all of it, and gone when the command is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tracker.cli.ui import _environment


def group(leader: int) -> list[str]:
    """Command lines of the processes whose group is that of `leader`'s children."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            stat, line = (entry / "stat").read_text(), (entry / "cmdline").read_text()
        except OSError:
            continue
        # Fields behind the name in brackets: state, parent, group, and so on.
        if int(stat.rpartition(")")[2].split()[2]) == leader and line:
            found.append(line)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_no_process_of_the_server_outlives_the_command(tmp_path, root, number):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    make = f"from mlflow import MlflowClient as C; C({uri!r}).create_run('0')"
    subprocess.run([sys.executable, "-c", make], check=True, capture_output=True, cwd=tmp_path)
    shadow = tmp_path / "work"
    shadow.mkdir()
    for name in ("mlflow.py", "uvicorn.py"):
        (shadow / name).write_text("raise SystemExit('the wrong one')\n")
    command = [sys.executable, "-c", "from tracker.cli import main; main()", "ui", "--port", "0", "--uri", uri]
    environment = {**os.environ, "PYTHONPATH": str(root), "http_proxy": "http://127.0.0.1:9"}
    # `-c` would put the folder with the wrong modules first; the command that is installed does not.
    command[1:3] = ["-c", f"import sys, os; os.chdir({str(shadow)!r}); sys.path.remove(''); {command[2]}"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=root)
    try:
        assert child.stdout.readline().startswith("http://127.0.0.1:")
        children = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
        servers = [int(one) for one in children if group(int(one))]
        before = [line for server in servers for line in group(server)]
    finally:
        child.send_signal(number)
    code = child.wait(60)
    child.stdout.close()
    deadline = time.monotonic() + 10
    while any(map(group, servers)) and time.monotonic() < deadline:
        time.sleep(0.1)

    assert code == 0
    assert len(before) > 1
    assert [line for server in servers for line in group(server)] == []
    assert sorted(path.name for path in shadow.iterdir()) == ["mlflow.py", "uvicorn.py"]


def test_only_the_place_of_mlflow_itself_stays_on_the_path_of_its_server(monkeypatch, tmp_path):
    import mlflow

    place = str(Path(mlflow.__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), place]))

    assert _environment()["PYTHONPATH"] == place
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert "PYTHONPATH" not in _environment()
