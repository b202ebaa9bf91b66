"""`tracker preflight`: table, exit codes, JSON, and Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tracker.cli import run
from tracker.rundir import RunDir
from tracker.sidecar.sync import is_uploading

SCRIPT = """
import torch
from torch import nn
torch.manual_seed(0)
x = torch.randn(64, 6)
y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3){})
optimizer = torch.optim.SGD(model.parameters(), 0.1)
for step in range(10_000):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()
"""


def test_a_fault_is_in_the_table_in_the_exit_code_and_in_a_run_of_its_own(project, capsys):
    script = project / "train.py"
    script.write_text(SCRIPT.format(", nn.Softmax(1)"))
    code = run(["preflight", "--only", "determinism", "--json", str(script)])
    said = json.loads(capsys.readouterr().out)
    found = RunDir.find(said["run_id"])
    rows = {row["drill"]: row["status"] for row in said["drills"]}

    assert code == 1
    assert rows == {"first-steps": "failed", "determinism": "passed"}
    assert found.spec["kind"] == "preflight"
    assert found.spec["script"] == str(script)


@pytest.mark.slow
def test_a_healthy_script_passes_every_drill_or_has_them_skipped(project, capsys):
    script = project / "train.py"
    script.write_text(SCRIPT.format(""))
    code = run(["preflight", str(script)])
    said = capsys.readouterr().out

    assert code == 0, said
    assert " 0 failed" in said
    run_id = said.split("run ")[-1].strip()
    rundir = RunDir.find(run_id)
    deadline = time.monotonic() + 120
    while not rundir.state.get("finished") and (is_uploading(rundir) or time.monotonic() < deadline):
        time.sleep(0.2)
    assert rundir.state["suspicious"] == "false" or rundir.state["suspicious"] == "unknown"


@pytest.mark.slow
def test_a_script_without_a_training_could_not_be_judged(project, capsys):
    script = project / "train.py"
    script.write_text("import sys; print('needs --data'); sys.exit(3)")
    code = run(["preflight", "--no-log", str(script)])
    said = capsys.readouterr().out

    assert code == 2
    assert "exit code 3 before a training step was seen" in said
    assert "needs --data" in said


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["preflight"], "a script is missing"),
        (["preflight", "none.py"], "there is no such file"),
        (["preflight", "-m", "package"], "a script is missing"),
        (["preflight", "--only", "x", "train.py"], "There is no drill 'x'"),
    ],
)
def test_wrong_usage_is_told(project, capsys, monkeypatch, words, hint):
    monkeypatch.chdir(project)
    (project / "train.py").write_text("")
    code = run(words)

    assert code == 64
    assert hint in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_preflight_leaves_no_process_and_no_copy(project, tmp_path, number):
    script = project / "train.py"
    script.write_text("import os, time, torch\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(1000)")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-c", "from tracker.cli import main; main()", "preflight", "--no-log", str(script)]
    with subprocess.Popen(
        command, env={**os.environ, "TMPDIR": str(scratch)}, stderr=subprocess.PIPE, text=True, cwd=project
    ) as child:
        deadline = time.monotonic() + 60
        while not (pids := [path.read_text() for path in scratch.rglob("pid") if path.read_text()]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        child.send_signal(number)
        _, said = child.communicate(timeout=60)

    if number == signal.SIGINT:
        assert child.returncode == 130
        assert "interrupted" in said
        assert list(scratch.iterdir()) == []
    deadline = time.monotonic() + 10
    while Path("/proc", pids[0]).exists() and Path("/proc", pids[0], "stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.05)
