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
    again = run(["check", "--json", said["run_id"]])
    verdict = json.loads(capsys.readouterr().out)
    once_more = run(["reproduce", said["run_id"]])

    assert code == again == 1
    assert rows == {"first-steps": "failed", "determinism": "passed"}
    assert found.spec["kind"] == "preflight"
    assert found.spec["script"] == str(script)
    assert (verdict["suspicious"], verdict["findings"][0]["rule"]) == ("true", "double-softmax")
    assert once_more == 2
    assert "is a preflight" in capsys.readouterr().err


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
    assert rundir.state["suspicious"] == "false"
    assert run(["check", "--write", run_id]) == 0
    assert "drills: " in capsys.readouterr().out


@pytest.mark.slow
def test_a_script_without_a_training_could_not_be_judged(project, capsys):
    script = project / "train.py"
    script.write_text("import sys; print('needs --data'); sys.exit(3)")
    code = run(["preflight", "--no-log", str(script)])
    said = capsys.readouterr().out

    assert code == 2
    assert "exit code 3 before a training step was seen" in said
    assert "needs --data" in said


@pytest.mark.slow
def test_a_module_is_drilled_in_the_copy_as_python_would_start_it(project, capsys, monkeypatch):
    package = project / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "sizes.py").write_text("ROWS = 64")
    (package / "fit.py").write_text(
        "import sys; from .sizes import ROWS; open('args', 'w').write(' '.join(sys.argv[1:]))\n"
        + SCRIPT.format("").replace("randn(64", "randn(ROWS")
    )
    monkeypatch.chdir(project)
    code = run(["preflight", "--only", "determinism", "--json", "-m", "package.fit", "--lr", "1"])
    said = json.loads(capsys.readouterr().out)
    rows = {row["drill"]: row["status"] for row in said["drills"]}

    assert code == 0, said
    assert rows == {"first-steps": "passed", "determinism": "passed"}
    assert RunDir.find(said["run_id"]).spec["argv"] == [str(package / "fit.py"), "--lr", "1"]
    assert not (project / "args").exists()


@pytest.mark.slow
@pytest.mark.parametrize("regularised", [False, True])
def test_dropout_stays_on_while_a_batch_is_overfitted_where_it_is_asked_for(project, capsys, regularised):
    script = project / "train.py"
    script.write_text(SCRIPT.format("").replace("nn.ReLU()", "nn.ReLU(), nn.Dropout(0.9)"))
    words = ["--only", "overfit-one-batch", "--no-log", "--json", *(["--regularised"] if regularised else [])]
    run(["preflight", *words, str(script)])
    said = json.loads(capsys.readouterr().out)
    row = next(row for row in said["drills"] if row["drill"] == "overfit-one-batch")

    assert (row["status"] == "passed") is not regularised, row


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["preflight"], "a script is missing"),
        (["preflight", "none.py"], "there is no such file"),
        (["preflight", "--", "make"], "a script is missing"),
        (["preflight", "-m", "package"], "there is no such module"),
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
