"""What the settings ask for when a rule fires: a checkpoint, and the end of the training."""

import random
import subprocess
import sys
import textwrap

import numpy as np
import torch
from torch import nn

from tests.trainings import events, tracked
from tracker.launch import prepare

torch.set_num_threads(1)


def train(steps=12, spoil_at=6):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for step in range(steps):
        x = torch.randn(16, 4)
        loss = model(x).pow(2).mean() * (float("nan") if step >= spoil_at else 1.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


def test_a_finding_has_models_optimizers_and_generators_saved_once():
    with tracked(settings={"rules": {"checkpoint": ["nonfinite-loss"]}}) as run:
        train()
    saved = [one.data["path"] for one in events(run, "artifact") if "checkpoints" in str(one.data["path"])]
    assert run._session is not None
    content = torch.load(run._session.rundir.path / saved[0], weights_only=False)

    assert len(saved) == 1
    assert content["rule"] == "nonfinite-loss"
    assert set(content["models"][""]) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert content["optimizers"][0]["param_groups"][0]["lr"] == 0.1
    assert {"python", "numpy", "torch"} <= set(content["random"])


def test_saving_changes_neither_weights_nor_generators():
    def everything():
        model = train()
        drawn = random.random(), float(np.random.rand()), float(torch.rand(()))
        return [p.detach().clone() for p in model.parameters()], drawn

    random.seed(3)
    np.random.seed(3)
    plain, drawn = everything()
    random.seed(3)
    np.random.seed(3)
    with tracked(settings={"rules": {"checkpoint": ["ALL"]}}):
        observed, drawn_observed = everything()

    assert drawn == drawn_observed
    assert all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(plain, observed, strict=True))


def test_nothing_is_saved_unless_asked_for():
    with tracked() as run:
        train()

    assert [one for one in events(run, "artifact") if "checkpoints" in str(one.data["path"])] == []


def test_a_block_is_asked_to_stop_and_never_made_to():
    with tracked(settings={"rules": {"stop": ["nonfinite-loss"]}}) as run:
        train()

    assert run.should_stop


SCRIPT = """
    import torch
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    try:
        for step in range(100_000):
            loss = model(torch.randn(8, 4)).pow(2).mean() * (float("nan") if step > 20 else 1.0)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    except Exception:
        print("swallowed")
    finally:
        print("ended at", step)
"""


def test_an_unmodified_script_is_ended_in_its_next_step(tmp_path):
    (tmp_path / "train.py").write_text(textwrap.dedent(SCRIPT))
    (tmp_path / "pyproject.toml").write_text('[tool.tracker]\nwait_seconds = 0\nrules.stop = ["nonfinite-loss"]\n')
    launch = prepare({"quiet": True}, [sys.executable, "train.py"])
    environment = {**launch.environment, "TRACKER_STRICT": "0"}
    done = subprocess.run(
        [sys.executable, "train.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )

    assert done.returncode == 1
    assert "swallowed" not in done.stdout
    assert int(done.stdout.split()[-1]) < 100
    assert "training stopped: nonfinite-loss" in done.stderr
    assert "Traceback" not in done.stderr
