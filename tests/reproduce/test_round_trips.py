"""Runs of every kind of project, done again elsewhere after the original was moved away: nothing but real processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tracker.capture.code import capture_code
from tracker.capture.data import digest_files
from tracker.capture.inputs import InputLimits, keep_inputs
from tracker.cli import run
from tracker.reproduce.data import DataCheck
from tracker.reproduce.restore import restore_code
from tracker.rundir import RunDir

KEY = "sk-proj-" + "Ab3dE9xQ7zL2mN8pR4sT6vW1yU5kJ0hG"

SCRIPT = """
    import random, sys
    from tracker import track
    {top}
    with track("{name}") as run:
        import numpy as np
        import torch
        torch.set_num_threads(1)
        {inside}
        x = torch.randn(64, 6)
        net = torch.nn.Linear(6, 2)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1 * (1 + random.random() + float(np.random.rand())))
        loader = torch.utils.data.DataLoader(x, batch_size=16, shuffle=True, num_workers={workers})
        for epoch in range(2):
            for batch in loader:
                optimizer.zero_grad()
                net(batch).pow(2).mean().backward()
                optimizer.step()
        {end}
"""


def script(name="demo", top="", inside="", end="", workers=0):
    return textwrap.dedent(SCRIPT).format(name=name, top=top, inside=inside, end=end, workers=workers)


def git(folder, *arguments):
    settings = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *settings, *arguments], cwd=folder, check=True, capture_output=True)


def fill(folder, **files):
    """Writes files; in a keyword `__` stands for a slash, and a single `_` before the ending for a dot."""
    for name, content in files.items():
        path = folder / ".".join(name.replace("__", "/").rsplit("_", 1))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.fixture
def project(tmp_path, monkeypatch, root):
    """A folder under git; what is written into it before the first `commit` is committed."""
    store = tmp_path / "store"
    store.mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store / 'mlflow.db'}")
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.chdir(store)
    folder = tmp_path / "home" / "project"
    folder.mkdir(parents=True)
    git(folder, "init", "-q")
    return folder


def commit(folder):
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "one")


def captured(folder, into, *read, rewritten=(), limits=None):
    """Captures code and data as the sidecar does for a run that read the files `read`."""
    capture_code(folder, into, script=folder / "train.py")
    digest_files([folder / name for name in read], into, root=folder)
    kept = keep_inputs(into, folder, rewritten=[str(folder / name) for name in rewritten], limits=limits)
    return kept, json.loads((into / "data.json").read_text())


# -- without a training: fast ------------------------------------------------------------------------------------------


def test_folders_that_held_nothing_that_is_stored_come_back_empty(project, tmp_path):
    fill(project, train_py="", checkpoints__old_pt=b"x" * 10, _gitignore="checkpoints\nlogs\n")
    for name in ("logs/deep", "plain", ".hidden", "__pycache__"):
        (project / name).mkdir(parents=True)
    commit(project)
    capture_code(project, tmp_path / "capture", script=project / "train.py")
    shutil.rmtree(project)

    restored = restore_code(tmp_path / "capture", tmp_path / "again")

    assert restored.matches
    found = sorted(path.name for path in restored.root.rglob("*") if path.is_dir() and ".git" not in path.parts)
    assert found == ["checkpoints", "deep", "logs", "plain"]


def test_what_a_run_read_of_what_git_ignores_comes_back_and_its_data_is_checked(project, tmp_path):
    fill(project, train_py="", known_yaml="a: 1", _gitignore="cfg.yaml\ndata\n")
    commit(project)
    fill(project, cfg_yaml="lr: 0.1", data__x_bin=b"\0\1" * 50)
    kept, data = captured(project, tmp_path / "capture", "cfg.yaml", "data/x.bin", "known.yaml")
    shutil.rmtree(project)

    restored = restore_code(tmp_path / "capture", tmp_path / "again")

    assert (kept.gaps, data["stored"]) == ([], ["cfg.yaml", "data/x.bin"])
    assert (restored.root / "cfg.yaml").read_text() == "lr: 0.1"
    assert (restored.root / "data" / "x.bin").read_bytes() == b"\0\1" * 50
    assert restored.matches
    assert DataCheck(data).changed(restored.root) == []
    again = capture_code(restored.root, tmp_path / "second", script=restored.root / "train.py")
    assert again.facts["tree"] == restored.tree


def test_an_ignored_file_with_a_secret_or_too_large_is_named_and_not_stored(project, tmp_path):
    fill(project, train_py="", _gitignore=".env\nbig.bin\n")
    commit(project)
    (project / ".env").write_text(f"OPENAI_API_KEY={KEY}\n")
    (project / "big.bin").write_bytes(bytes(2_000_000))
    kept, data = captured(project, tmp_path / "capture", ".env", "big.bin", limits=InputLimits(1.0, 5.0))

    assert [(gap.part, gap.blocking) for gap in kept.gaps] == [("data", False), ("data", False)]
    assert ".env" in kept.gaps[0].what
    assert "big.bin" in kept.gaps[1].what
    assert data["stored"] == []
    assert not any(KEY.encode() in path.read_bytes() for path in (tmp_path / "capture").rglob("*") if path.is_file())
    assert DataCheck(data).changed(tmp_path / "again") == []

    shutil.rmtree(project)
    assert DataCheck(data).changed(tmp_path / "again") == [".env (missing)", "big.bin (missing)"]


def test_an_ignored_input_that_the_run_wrote_over_stops_the_claim_and_one_in_the_code_does_not(project, tmp_path):
    fill(project, train_py="", seen_pt=b"old", _gitignore="last.pt\n")
    commit(project)
    fill(project, last_pt=b"old")
    names = ["last.pt", "seen.pt"]
    capture_code(project, tmp_path / "capture", script=project / "train.py")
    fill(project, last_pt=b"new", seen_pt=b"new")
    digest_files([project / name for name in names], tmp_path / "capture", root=project)
    kept = keep_inputs(tmp_path / "capture", project, rewritten=[str(project / name) for name in names])

    data = json.loads((tmp_path / "capture" / "data.json").read_text())
    assert [(gap.blocking, gap.what.split()[0]) for gap in kept.gaps] == [(True, "last.pt")]
    assert DataCheck(data).changed(tmp_path / "again") == ["last.pt (written over by the run)"]


def test_a_module_that_came_after_the_code_was_captured_is_kept(project, tmp_path):
    fill(project, train_py="", _gitignore="late.py\n")
    commit(project)
    fill(project, late_py="K = 1")
    (tmp_path / "elsewhere.py").write_text("K = 2")
    captured(project, tmp_path / "capture")

    kept = keep_inputs(
        tmp_path / "capture", project, loaded_files=[project / "late.py", tmp_path / "elsewhere.py", Path(os.__file__)]
    )

    assert [(gap.part, gap.blocking) for gap in kept.gaps] == [("code", True)]
    assert "elsewhere.py" in kept.gaps[0].what
    assert (restore_code(tmp_path / "capture", tmp_path / "again").root / "late.py").read_text() == "K = 1"


UNSEEDED = """
    import tracker
    import json, sys
    import numpy as np
    from tracker.capture.process import randomness
    from tracker.capture.seedings import seedings
    numbers = [np.random.default_rng().random(), np.random.rand(), np.random.RandomState().rand()]
    state = {"at_import": randomness.capture_at_import().as_json(), "seedings": seedings.as_json()}
    print(json.dumps([numbers, state]))
"""


def test_numpy_generators_without_a_seed_that_come_after_the_tracker_give_the_same_again(tmp_path, root):
    def numbers(**variables):
        environment = {**os.environ, "PYTHONPATH": str(root), **variables}
        command = [sys.executable, "-c", textwrap.dedent(UNSEEDED)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    first, state = numbers()
    requests = [value.split(":") for values in state["seedings"]["numpy.entropy"].values() for value in values]
    older = {"at_import": state["at_import"], "numpy_entropy": [[int(bits), number] for bits, number in requests]}
    plan, of_older = tmp_path / "plan.json", tmp_path / "older.json"
    plan.write_text(json.dumps({"of": "x", "index": 0, "randomness": state}))
    of_older.write_text(json.dumps({"of": "x", "index": 0, "randomness": older}))

    assert numbers()[0] != first
    assert numbers(TRACKER_REPRODUCE=str(plan))[0] == first
    assert numbers(TRACKER_REPRODUCE=str(of_older))[0] == first


# -- whole trainings ---------------------------------------------------------------------------------------------------


def train(folder, *command, status=0, **variables):
    """Runs a command as a user would, waits for its upload, and returns the folder of the last run it made."""
    before = {rundir.path for rundir in RunDir.all()}
    words = [sys.executable, *(command or ("train.py",))]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, env={**os.environ, **variables})
    assert done.returncode == status, done.stderr
    made = [one for one in RunDir.all() if one.path not in before]
    deadline = time.monotonic() + 120
    while not all(one.state.get("finished") for one in made) and time.monotonic() < deadline:
        time.sleep(0.1)
    return sorted(made, key=lambda one: one.spec["index"])[-1]


def evidence(rundir):
    return rundir.read_json("reproducibility.json")


def reproduce(capfd, rundir, *arguments):
    capfd.readouterr()
    code = run(["reproduce", rundir.spec["id"], "--yes", "--json", *map(str, arguments)])
    said = capfd.readouterr()
    print(said.err)
    return code, json.loads(said.out)


def comes_back(capfd, rundir, project, into):
    """Moves the project away and does the run again elsewhere; asserts that every bit is the same."""
    assert evidence(rundir)["reproducible"] == "true", evidence(rundir)
    project.rename(project.with_name("moved"))
    code, said = reproduce(capfd, rundir, "--into", into)
    assert (code, said.get("grade")) == (0, "R5"), json.dumps(said)
    again = next(found for found in RunDir.all() if found.spec.get("reproduce_of") == rundir.spec["id"])
    assert evidence(again)["reproducible"] == "true", evidence(again)
    return said


@pytest.mark.slow
def test_an_unseeded_run_that_loads_numpy_and_torch_late_comes_back(project, capfd, tmp_path):
    top = "import module, ignored; K = random.random()"
    inside = "x0 = np.random.default_rng().random() + K + module.V + ignored.V + len(open('settings.json').read())"
    end = "torch.save(net.state_dict(), 'out/net.pt'); torch.load('out/net.pt'); open('new.txt', 'w').write('x')"
    source = script(top=top, inside=f"{inside}; random.seed(x0)", end=end, workers=2)
    fill(project, train_py=source, module_py="V = 1", gone_py="", _gitignore="ignored.py\nsettings.json\nout\n")
    commit(project)
    (project / "gone.py").unlink()
    (project / "out").mkdir()
    fill(project, module_py="V = 2", ignored_py="V = 3", settings_json="{}", untracked_py="W = 1")

    assert comes_back(capfd, train(project), project, tmp_path / "again")["grade"] == "R5"


@pytest.mark.slow
def test_a_module_run_with_hard_arguments_from_a_subfolder_comes_back(project, capfd, tmp_path):
    source = script(inside="random.seed(repr(sys.argv[1:]))")
    fill(project, sub__package__train_py=source, sub__package____init___py="")
    commit(project)
    hard = ["a b  c", "", "--flag=väl ue", "x'y\"z", "new\nline"]
    rundir = train(project / "sub", "-m", "package.train", *hard)

    assert comes_back(capfd, rundir, project, tmp_path / "again")["grade"] == "R5"


@pytest.mark.slow
def test_a_run_inside_another_that_is_the_third_of_its_script_comes_back(project, capfd, tmp_path):
    second = script("second").replace('with track("second") as run:', 'with track("second") as run, track("inner"):')
    fill(project, train_py=script("first") + second)
    commit(project)
    inner = train(project)

    said = comes_back(capfd, inner, project, tmp_path / "again")

    assert inner.spec["index"] == 2
    assert RunDir.find(said["rerun_id"]).spec["name"] == "inner"


@pytest.mark.slow
def test_a_checkpoint_that_is_resumed_and_written_over_is_told_from_one_that_git_knows(project, capfd, tmp_path):
    inside = "import os; resumed = os.path.exists('last.pt') and torch.load('last.pt')"
    end = "torch.save({'epoch': (resumed or {'epoch': 0})['epoch'] + 1}, 'last.pt'); print(resumed)"
    fill(project, train_py=script(inside=inside, end=end))
    commit(project)
    train(project)

    resumed = train(project)
    (project / ".gitignore").write_text("last.pt\n")
    ignored = train(project)

    assert evidence(ignored)["reproducible"] == "false"
    assert any("last.pt" in gap["what"] for gap in evidence(ignored)["gaps"] if gap["blocking"])
    comes_back(capfd, resumed, project, tmp_path / "again")


@pytest.mark.slow
def test_data_out_of_the_project_is_needed_where_it_was_and_the_next_move_is_named(project, capfd, tmp_path):
    data = project.parent / "data"
    fill(data, x_bin=b"12")
    fill(project, train_py=script(inside="y = open('../data/x.bin', 'rb').read()"))
    commit(project)
    rundir = train(project)

    assert evidence(rundir)["reproducible"] == "true"
    code, said = reproduce(capfd, rundir, "--into", tmp_path / "far" / "away")
    assert code == 2
    assert f"--into {project.parent}" in said["error"]
    beside = comes_back(capfd, rundir, project, project.parent / "again")
    assert beside["points"] > 10

    fill(data, x_bin=b"21")
    code, said = reproduce(capfd, rundir, "--into", project.parent / "third")
    assert code == 2
    assert "x.bin (changed)" in said["error"]


@pytest.mark.slow
def test_a_killed_run_keeps_what_it_read_and_says_that_it_died(project):
    end = f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})"
    fill(project, train_py=script(inside="y = open('cfg.txt').read()", end=end), _gitignore="cfg.txt\n")
    commit(project)
    fill(project, cfg_txt="1")
    rundir = train(project, status=-signal.SIGKILL)

    data = json.loads((rundir.capture / "data.json").read_text())

    assert data["stored"] == ["cfg.txt"]
    assert any("died" in gap["what"] for gap in evidence(rundir)["gaps"])
