"""`tracker reproduce`, from the ID alone: real repositories, real processes, a real store."""

import json
import shutil

import pytest

from tests.cli.projects import commit, reproduce, tags_of, train
from tracker.cli import run
from tracker.journal import JournalReader
from tracker.rundir import RunDir

TORCH = """
    import sys
    import torch
    from tracker import Run, track
    from model import build
    torch.set_num_threads(1)
    x = torch.randn(128, 10)
    y = (x.sum(1) > 0).long()
    data = torch.utils.data.TensorDataset(x, y)
    loader = torch.utils.data.DataLoader(data, batch_size=32, shuffle=True)
    net = build()
    optimizer = torch.optim.SGD(net.parameters(), lr=float(sys.argv[1]))
    with track(Run("demo")) as run:
        for epoch in range(3):
            for a, b in loader:
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(net(a), b).backward()
                optimizer.step()
            run.log(accuracy=(net(x).argmax(1) == y).float().mean())
    print("trained")
"""
MODEL = """
    import torch
    def build():
        return torch.nn.Sequential(torch.nn.Linear(10, 8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 2))
"""
PLAIN = """
    import os, random, sys
    from tracker import Run, track
    with track(Run("plain")) as run:
        for step in range(5):
            run.log(score={score}, step=step)
    {end}
"""


@pytest.mark.slow
def test_an_unseeded_training_comes_out_bit_for_bit_after_its_repository_is_gone(project, capfd, tmp_path):
    commit(project, train=TORCH, model=MODEL)
    # Not committed, and not even known to git: part of the run all the same.
    (project / "model.py").write_text((project / "model.py").read_text().replace("8", "6"))
    original = train(project, "0.3")
    shutil.rmtree(project)

    code, said, shown = reproduce(capfd, original.spec["id"], "--into", tmp_path / "again")

    assert (code, said["grade"], said["scope"], said["first_difference"]) == (0, "R5", "host", None), said
    tags, again = tags_of(original.spec["id"]), tags_of(said["rerun_id"])
    assert said["points"] > 12
    assert (tags["repro.grade"], tags["repro.scope"], tags["reproducible"]) == ("R5", "host", "true")
    assert tags["repro.last"].startswith("R5 host 20")
    assert "Reproducible: **true**, R5 (last re-run: R5 host 20" in tags["mlflow.note.content"]
    assert again["repro.of"] == original.spec["id"]
    assert again["repro.grade"] == "R5"
    assert "trained" in shown
    assert "changed: model.py" in shown


@pytest.mark.slow
def test_a_run_is_reproduced_from_its_store_alone(project, capfd, tmp_path):
    commit(project, train=PLAIN.format(score="random.random()", end=""))
    original = train(project)
    shutil.rmtree(original.path)

    code, said, _ = reproduce(capfd, original.path.name, "--into", tmp_path / "again")

    assert (code, said["grade"], said["points"]) == (0, "R4n", 5), said
    assert "weights digest" in said["explanation"]


@pytest.mark.slow
def test_a_run_that_depends_on_chance_is_told_so_with_the_first_number(project, capfd, tmp_path):
    commit(project, train=PLAIN.format(score="float(step > 1 and os.urandom(4)[0] + 1)", end=""))
    original = train(project)

    code, said, _ = reproduce(capfd, original.spec["id"], "--into", tmp_path / "again")

    tags = tags_of(original.spec["id"])
    assert (code, said["grade"]) == (1, "R3"), said
    assert (said["first_difference"]["metric"], said["first_difference"]["step"]) == ("score", 2)
    assert tags["reproducible"] == "false"
    assert tags["repro.last"].startswith("failed: R3 host")
    assert "Reproducible: **false**, R" in tags["mlflow.note.content"]


@pytest.mark.slow
def test_nothing_is_executed_unasked_or_in_a_folder_in_use(project, capfd, tmp_path):
    commit(project, train=PLAIN.format(score="1.0", end=""))
    original = train(project)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "work").touch()
    n_runs = len(RunDir.all())

    unasked = run(["reproduce", original.spec["id"], "--into", str(tmp_path / "again")])
    said = capfd.readouterr().err
    in_use = run(["reproduce", original.spec["id"], "--yes", "--into", str(tmp_path / "full")])

    assert (unasked, in_use) == (64, 2)
    assert "command  python train.py" in said
    assert "--yes" in said
    assert not (tmp_path / "again").exists()
    assert len(RunDir.all()) == n_runs


@pytest.mark.slow
def test_changed_data_is_named_before_anything_is_executed(project, capfd, tmp_path):
    (tmp_path / "data.csv").write_text("1.5\n")
    commit(project, train=PLAIN.format(score=f"float(open({str(tmp_path / 'data.csv')!r}).read())", end=""))
    original = train(project)
    (tmp_path / "data.csv").write_text("2.5\n")

    refused = run(["reproduce", original.spec["id"], "--yes", "--into", str(tmp_path / "again")])
    said = capfd.readouterr().err
    code, forced, _ = reproduce(capfd, original.spec["id"], "--into", tmp_path / "again", "--use-current-data")

    assert refused == 2
    assert "data.csv" in said
    assert (code, forced["first_difference"]["b"]) == (1, 2.5)


@pytest.mark.slow
def test_a_failed_run_that_fails_again_is_reproduced(project, capfd, tmp_path):
    source = PLAIN.format(score="1.0", end="").rstrip() + "\n        raise ValueError('as before')\n"
    commit(project, train=source)
    original = train(project, status=1)

    code, said, _ = reproduce(capfd, original.spec["id"], "--into", tmp_path / "again")

    assert (code, said["grade"]) == (0, "R4n"), said


@pytest.mark.slow
def test_an_exchanged_bundle_is_refused(project, capfd, tmp_path):
    commit(project, train=PLAIN.format(score="1.0", end=""))
    original = train(project)
    (project / "train.py").write_text((project / "train.py").read_text() + "print('evil')\n")
    other = train(project)
    shutil.copy(other.capture / "code.bundle", original.capture / "code.bundle")

    code = run(["reproduce", original.spec["id"], "--yes", "--into", str(tmp_path / "again")])

    assert code == 2
    assert "exchanged" in capfd.readouterr().err


def test_a_run_without_captured_code_cannot_be_reproduced(capfd, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    rundir = RunDir.create({"schema": 1, "id": "c" * 32, "name": "bare", "index": 0})

    code = run(["reproduce", rundir.spec["id"], "--yes", "--into", str(tmp_path / "again")])

    assert code == 2
    assert "not captured" in capfd.readouterr().err
    assert not (tmp_path / "again").exists()


SPOILT = """
    import torch
    from tracker import Run, track
    torch.set_num_threads(1)
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.body = torch.nn.Linear(4, 4)
            self.scale = torch.nn.Linear(4, 4)
        def forward(self, x, spoil):
            return self.scale(self.body(x)) - (torch.zeros(1).log() if spoil else 0.0)
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    with track(Run("spoilt")):
        for step in range(80):
            optimizer.zero_grad()
            net(torch.randn(8, 4), step == 61).pow(2).mean().backward()
            optimizer.step()
"""


@pytest.mark.slow
def test_a_step_can_be_gone_back_to_and_looked_at_closely(project, capfd, tmp_path):
    commit(project, train=SPOILT)
    original = train(project)
    code, said, _ = reproduce(capfd, original.spec["id"], "--into", tmp_path / "b", "--until", 61, "--debug")
    (again,) = [one for one in RunDir.all() if one.spec.get("reproduce_of")]
    norms = [one.step for _, one in JournalReader(again.journal).read() if getattr(one, "signal", "") == "weight_norm"]
    fired = json.dumps(said["findings"])

    assert code == 1
    assert "nonfinite-loss" in fired
    assert set(norms) >= set(range(41, 62))
    assert max(norms) == 61
    assert "repro.last" not in tags_of(original.spec["id"])  # a look is no proof


@pytest.mark.slow
def test_the_beginning_of_a_run_is_proved_in_a_part_of_its_time(project, capfd, tmp_path):
    commit(project, train=TORCH, model=MODEL)
    original = train(project, "0.3")

    code, said, shown = reproduce(capfd, original.spec["id"], "--into", tmp_path / "a", "--steps", 5)
    (again,) = [one for one in RunDir.all() if one.spec.get("reproduce_of")]
    losses = [one.step for _, one in JournalReader(again.journal).read() if getattr(one, "signal", "") == "loss"]
    epoch, by_epoch, _ = reproduce(capfd, original.spec["id"], "--into", tmp_path / "b", "--epochs", 1)

    tags = tags_of(original.spec["id"])
    assert (code, said["grade"], said["scope"], said["first_difference"]) == (0, "R5[4]", "host", None), said
    assert (epoch, by_epoch["grade"]) == (0, "R5[4]"), by_epoch
    assert "the first 5 steps" in shown
    assert losses == list(range(6))
    assert (tags["repro.grade"], tags["repro.prefix"], tags["reproducible"]) == ("R2", "R5[4] host", "true")


@pytest.mark.slow
def test_a_beginning_that_comes_out_otherwise_speaks_against_the_run(project, capfd, tmp_path):
    source = TORCH.replace("accuracy=(net(x).argmax(1) == y).float().mean()", "chance=float(time.time_ns() % 1000)")
    commit(project, train=source.replace("import sys", "import sys, time"), model=MODEL)
    original = train(project, "0.3")

    code, said, _ = reproduce(capfd, original.spec["id"], "--into", tmp_path / "a", "--epochs", 2)

    assert (code, said["grade"]) == (1, "R3[8]"), said
    assert said["first_difference"]["metric"] == "chance"
    assert tags_of(original.spec["id"])["reproducible"] == "false"
