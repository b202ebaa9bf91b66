"""Whole trainings whose data moved, is kept by git-lfs, or is read unseen: done again elsewhere, bit for bit."""

import json
import shutil
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.reproduce.test_pointers import git, make_project
from tests.reproduce.test_rerun import EMPTY
from tracker.compare.recorded import RecordedRun
from tracker.compare.streams import compare_streams
from tracker.errors import ReproduceError
from tracker.reproduce.moved import Moved
from tracker.reproduce.plan import make_plan
from tracker.reproduce.prepared import prepare_data, warnings_before
from tracker.reproduce.rerun import rerun, wait_for_upload
from tracker.reproduce.restore import restore_code
from tracker.rundir import RunDir

SCRIPT = """
    import json, subprocess, sys
    import torch
    from tracker import Run, track
    torch.set_num_threads(1)
    with track(Run("demo"{options})) as run:
        {read}
        x = torch.randn(32, 4) + scale
        net = torch.nn.Linear(4, 1)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        for batch in torch.utils.data.DataLoader(x, batch_size=8, shuffle=True):
            optimizer.zero_grad()
            net(batch).pow(2).mean().backward()
            optimizer.step()
"""


def script(read, options=""):
    return textwrap.dedent(SCRIPT).format(read=read, options=options)


@pytest.fixture
def project(tmp_path, monkeypatch, root):
    (tmp_path / "store").mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'store' / 'mlflow.db'}")
    monkeypatch.setenv("PYTHONPATH", str(root))
    folder = tmp_path / "home" / "project"
    folder.mkdir(parents=True)
    git(folder, "init", "-q")
    return folder


def train(folder, *arguments):
    """Runs train.py as a user would, waits for its upload, and returns the run's folder."""
    before = {one.path for one in RunDir.all()}
    done = subprocess.run([sys.executable, "train.py", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (rundir,) = [one for one in RunDir.all() if one.path not in before]
    deadline = time.monotonic() + 120
    while not rundir.state.get("finished") and time.monotonic() < deadline:
        time.sleep(0.1)
    return rundir


def data_of(rundir):
    return json.loads((rundir.capture / "data.json").read_text())


def run_again(rundir, into, *moves):
    """Does a run again below `into`; returns whether every number is the same, and what was said of its data."""
    said = []
    original = RecordedRun.find(rundir.spec["id"])
    plan = make_plan(original)
    plan, moved = Moved.parse(moves, plan.project, plan.cwd).applied(plan)
    restored = restore_code(original.capture, into)
    assert restored.matches
    prepare_data(plan, moved, restored.root, False, said.append)
    done = rerun(plan, restored.root, restored.cwd)
    assert done.returncode == 0
    wait_for_upload(done.rundir, 60)
    compared = compare_streams(original.ledger, RecordedRun.find(done.rundir.spec["id"]).ledger)
    return compared.is_bitwise and compared.same_shape, said


@pytest.mark.slow
def test_data_that_moved_is_mapped_in_the_command_and_into_the_project(project, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "x.json").write_text("3")
    (project / "train.py").write_text(
        script(
            "scale = json.load(open(sys.argv[1])) + len(open('local/big.bin', 'rb').read()) / 1e8; "
            "torch.save(scale, sys.argv[2])"
        )
    )
    (project / ".gitignore").write_text("local\n")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "one")
    (project / "local").mkdir()
    (project / "local" / "big.bin").write_bytes(bytes(11_000_000))
    rundir = train(project, str(data / "x.json"), str(tmp_path / "out.pt"))
    project.rename(tmp_path / "elsewhere")
    data.rename(tmp_path / "new")

    with pytest.raises(ReproduceError, match=r"moved to .*new/x.json: go on with --data"):
        run_again(rundir, tmp_path / "first")
    moves = [f"{data}={tmp_path / 'new'}", f"local={tmp_path / 'elsewhere' / 'local'}"]
    is_same, said = run_again(rundir, tmp_path / "again", *moves)

    assert is_same
    assert "data: 2 of 2 files as recorded (complete)" in said
    assert f"warning: the re-run will write to {tmp_path / 'out.pt'} again" in said


@pytest.mark.slow
def test_content_that_git_lfs_keeps_is_read_again_where_only_the_store_is_left(project, tmp_path):
    shutil.rmtree(project)
    make_project(project, "data/a.bin")
    (project / "train.py").write_text(script("scale = len(open('data/a.bin').read()) / 1e4"))
    git(project, "add", "train.py")
    git(project, "commit", "-qm", "two")
    rundir = train(project)
    project.rename(tmp_path / "elsewhere")

    is_same, said = run_again(rundir, tmp_path / "again")

    assert rundir.read_json("reproducibility.json")["reproducible"] == "true"
    assert is_same
    assert "data: 1 of 1 files as recorded (complete)" in said
    trees = [json.loads((one.capture / "code.json").read_text())["tree"] for one in RunDir.all()]
    assert len(trees) == 2
    assert len(set(trees)) == 1


@pytest.mark.slow
def test_declared_data_that_no_hook_sees_is_checked_before_the_next_run(project, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.txt").write_text("3")
    (project / "duckdb.py").write_text("")  # by its name a library that reads unseen
    read = f"import duckdb; scale = float(subprocess.check_output(['cat', {str(data / 'a.txt')!r}]))"
    options = f", data={{'train': {str(data)!r}}}"
    (project / "train.py").write_text(script(read, options=options))
    git(project, "add", "-A")
    git(project, "commit", "-qm", "one")
    rundir = train(project)

    found = data_of(rundir)
    assert (found["identity"], found["unseen_readers"]) == ("complete", ["duckdb"])
    assert [(one["name"], one["files"]) for one in found["declared"]] == [("train", 1)]
    (data / "a.txt").write_text("4")
    with pytest.raises(ReproduceError, match=r"a.txt \(changed\)"):
        run_again(rundir, tmp_path / "first")
    (data / "a.txt").rename(tmp_path / "kept.txt")
    (tmp_path / "kept.txt").write_text("3")
    with pytest.raises(ReproduceError, match=r"the code \(train.py:\d+\) names .*ln -s"):
        run_again(rundir, tmp_path / "second", f"{data / 'a.txt'}={tmp_path / 'kept.txt'}")


@pytest.mark.slow
def test_a_script_that_counts_the_files_of_a_folder_counts_as_many_again(project, tmp_path):
    read = "import glob; names = sorted(glob.glob('data/*.txt')); scale = len(names) + float(open(names[1]).read())"
    (project / "train.py").write_text(script(read))
    (project / ".gitignore").write_text("data\n")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "one")
    (project / "data").mkdir()
    for number in range(5):
        (project / "data" / f"{number}.txt").write_text(str(number))
    rundir = train(project)
    project.rename(tmp_path / "elsewhere")

    is_same, said = run_again(rundir, tmp_path / "again")

    assert [one["kind"] for one in data_of(rundir)["items"]] == ["full", *["listed"] * 4]
    assert is_same
    assert "data: 5 of 5 files as recorded (complete)" in said


def test_the_warnings_are_few_and_name_the_argument_and_the_file(tmp_path):
    root = tmp_path / "again"
    root.mkdir()
    (root / "run.yaml").write_text("out: /home/p/out\n")
    rows = [{"path": f"/models/{number}", "absolute": True} for number in range(7)]
    plan = replace(EMPTY, project=Path("/home/p"), arguments=("--out=/home/p/x",), data={"outputs": rows})

    said = warnings_before(plan, root)
    later: list[str] = []
    prepare_data(plan, Moved(), root, False, later.append)

    assert [line.count("write to /models") for line in said[:5]] == [1] * 5
    assert said[5:] == [
        f"and to 2 more files outside of {root}",
        f"the argument '--out=/home/p/x' names the original project, not {root}",
    ]
    assert later[-1] == f"warning: run.yaml:1 names the original project, not {root}"
