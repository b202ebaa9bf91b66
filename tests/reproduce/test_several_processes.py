"""A launch of several processes is done again as one: the command is known, and the generators of every rank."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tracker.capture.launchers import launcher_of, seedings_of, started_by
from tracker.rundir import RunDir

PYTHON, TORCHRUN = "/usr/bin/python3", "/usr/bin/torchrun"
RUN = ["-m", "torch.distributed.run"]

SCRIPT = """
import os
import random
import socket
import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

def main(rank=-1, size=-1):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=size)
    model = DistributedDataParallel(torch.nn.Linear(6, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.1 + 0.1 * float(np.random.default_rng().random()))
    for _ in range(6):
        optimizer.zero_grad()
        x = torch.randn(8, 6) + random.random() + float(np.random.rand())
        torch.nn.functional.cross_entropy(model(x), torch.randint(0, 3, (8,))).backward()
        optimizer.step()
    dist.destroy_process_group()

"""
SPAWN = """
if __name__ == "__main__":
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(found.getsockname()[1]))
    mp.spawn(main, args=(2,), nprocs=2)
"""


@pytest.fixture
def two_here(monkeypatch):
    """This process is one of two on one machine."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")


@pytest.mark.parametrize(
    ("parent", "own", "launcher"),
    [
        ([PYTHON, TORCHRUN, "--nproc-per-node", "2", "train.py", "--lr", "3"], ["-u", "train.py", "--lr", "3"],
         [*RUN, "--nproc-per-node", "2"]),
        ([TORCHRUN, "--nproc_per_node=gpu", "train.py"], ["-u", "train.py"], [*RUN, "--nproc_per_node=2"]),
        ([PYTHON, "-X", "dev", *RUN, "--nproc-per-node", "auto", "-m", "pkg", "a"], ["-u", "-m", "pkg", "a"],
         [*RUN, "--nproc-per-node", "2"]),
        ([PYTHON, "-m", "torch.distributed.launch", "--use-env", "--standalone", "t.py"], ["-u", "t.py"],
         [*RUN, "--use-env", "--standalone"]),
        ([PYTHON, "/usr/bin/accelerate", "launch", "--num_processes", "2", "t.py", "x"], ["-u", "t.py", "x"],
         ["-m", "accelerate.commands.launch", "--num_processes", "2"]),
        ([PYTHON, "-m", "torch.distributed.launch", "t.py"], ["-u", "t.py", "--local-rank=0"], None),
        ([TORCHRUN, "--no-python", "t.py"], ["-u", "t.py"], None),
        (["mpirun", "-n", "2", "python", "t.py"], ["t.py"], None),
        (["bash", "start.sh"], ["t.py"], None),
        ([], ["t.py"], None),
    ],
)  # fmt: skip
def test_the_words_of_a_launcher_are_told_from_those_of_its_script(parent, own, launcher, two_here):
    assert started_by(parent, [PYTHON, *own]) == launcher


def test_one_of_several_machines_cannot_start_the_others(two_here, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")

    assert started_by([TORCHRUN, "--nproc-per-node", "2", "t.py"], [PYTHON, "-u", "t.py"]) is None


@pytest.mark.parametrize(
    "words", [["-c", "print(1)"], ["-m", "os"], ["train.py"], ["-m"], "-m torch", [1], None, [*RUN, "--no-python"]]
)
def test_stored_words_that_are_no_launcher_are_not_started(words):
    assert launcher_of({"launcher": words}) is None


def test_what_torchrun_makes_up_for_one_launch_is_no_fact_of_the_run():
    code = "from tracker.capture.environment import capture_process as c; print(c().facts['variables']['values'])"
    environment = {**os.environ, "TORCHELASTIC_RUN_ID": "made-up", "WORLD_SIZE": "2"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)

    assert "made-up" not in done.stdout
    assert "'WORLD_SIZE': '2'" in done.stdout


def test_a_rank_of_a_rerun_begins_as_that_rank_did(tmp_path, root):
    plan = {"randomness": {"at_entry": 0}, "ranks": {"1": {"at_entry": 1}}}
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan))
    code = "from tracker import reproducing as r; print([r._stored(n).get('at_entry') for n in (None, 0, 1, 2)])"
    found = []
    for rank in ("0", "1", "2"):
        environment = {
            **os.environ,
            "TRACKER_REPRODUCE": str(tmp_path / "plan.json"),
            "RANK": rank,
            "PYTHONPATH": str(root),
        }
        environment["TRACKER_SIDECAR"] = "1"  # nothing is restored while it is asked
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout.replace("None", "null")))

    assert found == [[0, 0, 1, None], [1, 0, 1, None], [None, 0, 1, None]]


def test_what_the_children_of_a_script_began_with_is_found_by_their_names():
    ranks = [
        {"started_as": "SpawnProcess-1", "randomness": {"seedings": {"started": {"torch": ["a"]}}}},
        {"started_as": "SpawnProcess-2", "randomness": {"seedings": {"started": {"torch": ["b"]}}}},
        {"started_as": None, "randomness": {"seedings": {"started": {"torch": ["c"]}}}},
        {"started_as": "SpawnProcess-4", "randomness": "damaged"},
        {},
    ]
    found = seedings_of(ranks)

    assert found == {
        "SpawnProcess-1": {"started": {"torch": ["a"]}},
        "SpawnProcess-2": {"started": {"torch": ["b"]}},
    }


@pytest.mark.slow
@pytest.mark.parametrize("how", ["torchrun", "spawn"])
def test_two_ranks_that_seed_nothing_come_back_bit_for_bit(how, tmp_path, monkeypatch, root):
    store, project = tmp_path / "store", tmp_path / "project"
    store.mkdir()
    project.mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store / 'mlflow.db'}")
    monkeypatch.setenv("PYTHONPATH", str(root))
    (project / "train.py").write_text(SCRIPT + {"torchrun": "main()\n", "spawn": SPAWN}[how])
    call = [sys.executable, "-c", "import sys; from tracker.cli import main; sys.exit(main())"]
    words = ["--nproc-per-node", "2", "--standalone"]
    launch = [sys.executable, *([*RUN, *words] if how == "torchrun" else []), "train.py", "--lr", "3"]
    done = subprocess.run([*call, "run", "--", *launch], cwd=project, capture_output=True, text=True, timeout=300)
    (rundir,) = RunDir.all()
    shutil.move(project, tmp_path / "moved")

    asked = ["reproduce", rundir.spec["id"], "--yes", "--into", str(tmp_path / "again")]
    again = subprocess.run([*call, *asked], cwd=store, capture_output=True, text=True, timeout=300)

    assert done.returncode == 0, done.stderr
    assert rundir.state["reproducible"] == "true"
    assert again.returncode == 0, again.stderr
    shown = " ".join(["python", *launch[1:]])
    assert f"command  {shown}" in again.stderr
    assert "R5 bit for bit" in again.stdout
    assert RunDir.all()[-1].read_json("capture/ranks.json")["seen"] == [0, 1]
