"""Small projects that are trained and done again, as a user would: real repositories, real processes, a real store."""

import json
import os
import subprocess
import sys
import textwrap
import time

from tracker.cli import run
from tracker.rundir import RunDir


def commit(folder, **sources):
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(source))
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *command], cwd=folder, check=True)


def train(folder, *arguments, status=0):
    """Runs train.py as a user would, waits for its upload, and returns the run's folder."""
    before = {rundir.path for rundir in RunDir.all()}
    done = subprocess.run([sys.executable, "train.py", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    (rundir,) = [one for one in RunDir.all() if one.path not in before]
    deadline = time.monotonic() + 120
    while not rundir.state.get("finished") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert rundir.state.get("finished"), rundir.path.joinpath("sidecar.log").read_text()
    return rundir


def tags_of(run_id):
    from tracker.stores import open_store

    return open_store(os.environ["MLFLOW_TRACKING_URI"]).tags(run_id)


def reproduce(capfd, run_id, *arguments):
    code = run(["reproduce", run_id, "--yes", "--json", *map(str, arguments)])
    said = capfd.readouterr()
    assert said.out.startswith("{"), said.err
    return code, json.loads(said.out), said.err
