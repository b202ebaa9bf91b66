"""Runs whose code came from no file are done again elsewhere, bit for bit: nothing but real kernels and processes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tracker.rundir import RunDir

CELLS = [
    "%matplotlib inline\nimport random\nimport numpy as np\nimport torch\n"
    "from tracker import Run, track\nfrom near import WIDTH",
    "undefined_name",
    "def model():\n    return torch.nn.Linear(4, WIDTH)\n\n"
    "def train(net, name, epochs):\n"
    "    x, y = torch.randn(32, 4), torch.randint(0, 2, (32,))\n"
    "    rate = 0.1 + 0.1 * random.random() + 0.1 * random.Random().random() + 0.1 * np.random.default_rng().random()\n"
    "    optimizer = torch.optim.SGD(net.parameters(), lr=rate)\n"
    "    run = Run(name, settings={'wait_seconds': 120})\n"
    "    with track(run):\n"
    "        for _ in range(4 * epochs):\n"
    "            optimizer.zero_grad()\n"
    "            torch.nn.functional.cross_entropy(net(x + torch.randn(())), y).backward()\n"
    "            optimizer.step()\n"
    "    return run.id",
    "net = model()\ntrain(net, 'first', 1)",
    "%%time\nfound = train(net, 'second', 2)",
    "print(found)",
]

SCRIPT = """
import random, sys, torch
torch.set_num_threads(1)
net = torch.nn.Linear(6, 2)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1 + 0.1 * random.random())
for _ in range(8):
    optimizer.zero_grad()
    net(torch.randn(16, 6)).pow(2).mean().backward()
    optimizer.step()
assert sys.argv[1:] == ["--some", "words"]
"""


@pytest.fixture
def project(tmp_path, monkeypatch, root):
    """A folder under git with a file that is not committed."""
    store = tmp_path / "store"
    store.mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store / 'mlflow.db'}")
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.chdir(store)
    folder = tmp_path / "project"
    folder.mkdir()
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    (folder / "old.txt").write_text("old\n")
    for words in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "one"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    (folder / "near.py").write_text("WIDTH = 3\n")
    return folder


def tracker(*words, **options):
    """The command line, in a process of its own."""
    call = "import sys; from tracker.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", call, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


def again(run_id, project, tmp_path):
    """What `tracker reproduce` says of a run whose project has moved away."""
    shutil.move(project, tmp_path / "moved")
    return tracker("reproduce", run_id, "--yes", "--into", tmp_path / "again")


@pytest.mark.slow
def test_the_second_training_of_a_notebook_that_seeds_nothing_comes_back_bit_for_bit(project, tmp_path: Path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    notebook.cells[1].metadata["tags"] = ["raises-exception"]
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(project)}}).execute()
    run_id = notebook.cells[-1].outputs[0]["text"].strip()
    rundir = RunDir.find(run_id)

    done = again(run_id, project, tmp_path)

    assert rundir is not None
    assert rundir.state["reproducible"] == "true"
    gaps = [gap["what"] for gap in rundir.read_json("reproducibility.json")["gaps"] if gap["part"] == "command"]
    assert gaps == ["cell [2] failed with NameError: it is repeated as far as it goes"]
    assert done.returncode == 0, done.stderr
    assert "R5 bit for bit" in done.stdout
    assert (tmp_path / "again" / f"notebook_{run_id[:8]}.py").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("given", ["command", "stdin"])
def test_code_behind_c_and_a_file_on_standard_input_come_back_bit_for_bit(given, project, tmp_path):
    (tmp_path / "code.txt").write_text(SCRIPT)
    words = ["-c", SCRIPT] if given == "command" else ["-"]
    with (tmp_path / "code.txt").open() as file:
        tracker("run", "--", sys.executable, *words, "--some", "words", cwd=project, stdin=file, check=True)
    (rundir,) = RunDir.all()

    done = again(rundir.spec["id"], project, tmp_path)

    assert rundir.state["reproducible"] == "true"
    assert done.returncode == 0, done.stderr
    assert "R5 bit for bit" in done.stdout
    assert f"{given}_{rundir.spec['id'][:8]}.py --some words" in done.stderr


@pytest.mark.slow
def test_code_that_came_through_a_pipe_is_a_gap_and_says_what_to_do(project):
    done = tracker("run", "--", sys.executable, "-", "--some", "words", cwd=project, input=SCRIPT, env={**os.environ})
    (rundir,) = RunDir.all()
    gaps = [gap for gap in rundir.read_json("reproducibility.json")["gaps"] if gap["blocking"]]

    assert done.returncode == 0, done.stderr
    assert ["standard input" in gap["what"] for gap in gaps] == [True]
    assert tracker("reproduce", rundir.spec["id"], "--yes").returncode == 2
