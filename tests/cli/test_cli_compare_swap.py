"""Runs made different on purpose, each by one thing: it is named first, and taken over alone it is the whole cause."""

import json
import os
import subprocess
import sys
import textwrap
import time

import pytest

from tests.cli.projects import commit
from tracker.cli.compare import compare
from tracker.rundir import RunDir

TRACKER = (sys.executable, "-c", "import sys; del sys.path[0]; from tracker.cli import main; main()")

SOURCE = """
    import sys
    import pandas_like
    import torch
    torch.manual_seed(1)
    rows = [[float(word) for word in line.split(",")] for line in open("train.csv")]
    data = torch.tensor(rows) * pandas_like.SCALE
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    scale = torch.linspace(0.1, 1.1, 2_000_001).sin().sum() / 1_000_000  # its last bit depends on the threads
    loader = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True)
    for epoch in range(2):
        for batch in loader:
            optimizer.zero_grad()
            loss = (net(batch[:, :4]) - batch[:, 4:]).pow(2).mean() * scale
            loss.backward()
            optimizer.step()
"""


@pytest.fixture
def trained(project, monkeypatch):
    """Trains the project as it is now, with these variables; returns the ID of the run."""
    (project / "train.csv").write_text("".join(f"{n % 7},{n % 5},{n % 3},{n % 2},{n % 4}\n" for n in range(32)))
    (project / "pandas_like.py").write_text("SCALE = 0.25\n")
    commit(project, train=SOURCE)

    def train(*arguments, status=0, **variables):
        before = {rundir.path for rundir in RunDir.all()}
        done = subprocess.run(
            [*TRACKER, "run", "train.py", *arguments],
            cwd=project, capture_output=True, text=True, env={**os.environ, **variables},
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        (rundir,) = [one for one in RunDir.all() if one.path not in before]
        deadline = time.monotonic() + 120
        while not rundir.state.get("finished") and time.monotonic() < deadline:
            time.sleep(0.1)
        return rundir.spec["id"]

    return train


def edit(project, name, old, new):
    path = project / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def explained(capfd, a, b):
    capfd.readouterr()
    compare(a, b, None, True)
    return json.loads(capfd.readouterr().out)["explanation"]


def swapped(capfd, a, b, *names, **options):
    capfd.readouterr()
    code = compare(a, b, None, True, swap=names, yes=True, **options)
    said = capfd.readouterr()
    print(said.err)
    return code, json.loads(said.out)


def outcomes(said):
    return {trial["swapped"]: trial["outcome"] for trial in said["trials"]}


@pytest.mark.slow
def test_another_line_of_code(project, trained, capfd):
    a = trained()
    edit(project, "train.py", "lr=0.1", "lr=0.2")
    (project / "train.py").write_text("# a comment\n" + (project / "train.py").read_text())
    b = trained()

    found = explained(capfd, a, b)
    code, said = swapped(capfd, a, b, "all", steps=3)

    assert found["likeliest"] == "code:train.py:9"
    assert (code, said["enough_alone"]) == (0, ["code:train.py:9"])
    assert outcomes(said)["nothing"] == "A"
    assert said["trials"][1]["as_b"] == said["trials"][1]["points"]


@pytest.mark.slow
def test_another_seed(project, trained, capfd):
    a = trained()
    edit(project, "train.py", "manual_seed(1)", "manual_seed(2)")
    b = trained()

    found = explained(capfd, a, b)
    code, said = swapped(capfd, a, b, "code", steps=3)

    assert (found["likeliest"], found["where"]) == ("code:train.py:5", "initialisation")
    assert found["differences"][1]["id"] == "seed:torch"
    assert (code, outcomes(said)) == (0, {"nothing": "A", "code": "B"})


@pytest.mark.slow
def test_another_data_file(project, trained, capfd):
    a = trained()
    edit(project, "train.csv", "0,0,0,0,0\n", "0,1,0,0,0\n")
    b = trained()

    found = explained(capfd, a, b)
    code, said = swapped(capfd, a, b, "all")

    assert found["likeliest"] == "data:train.csv"
    assert (code, said["enough_alone"]) == (0, ["data:train.csv"])
    assert said["trials"][1]["as_b"] == said["trials"][1]["points"]


@pytest.mark.slow
def test_another_number_of_threads(trained, capfd):
    a, b = trained(OMP_NUM_THREADS="1"), trained(OMP_NUM_THREADS="2")

    found = explained(capfd, a, b)
    code, said = swapped(capfd, a, b, "threads")

    assert found["likeliest"] == "threads"
    assert "OMP_NUM_THREADS 1 against 2" in found["headline"]
    assert (code, outcomes(said)) == (0, {"nothing": "A", "threads": "B"})


@pytest.mark.slow
def test_another_version_of_a_package(project, trained, capfd, tmp_path):
    (project / "pandas_like.py").unlink()
    for number, scale in (("1.0", 0.25), ("2.0", 0.5)):
        place = tmp_path / f"site-{number}"
        (place / f"pandas_like-{number}.dist-info").mkdir(parents=True)
        (place / "pandas_like.py").write_text(f"SCALE = {scale}\n")
        meta = f"Metadata-Version: 2.1\nName: pandas-like\nVersion: {number}\n"
        (place / f"pandas_like-{number}.dist-info" / "METADATA").write_text(meta)
        record = (
            f"pandas_like.py,,\npandas_like-{number}.dist-info/METADATA,,\npandas_like-{number}.dist-info/RECORD,,\n"
        )
        (place / f"pandas_like-{number}.dist-info" / "RECORD").write_text(record)
    path = os.environ["PYTHONPATH"]
    a, b = (trained(PYTHONPATH=os.pathsep.join([path, str(tmp_path / f"site-{one}")])) for one in ("1.0", "2.0"))

    found = explained(capfd, a, b)

    assert found["likeliest"] == "package:pandas-like"
    assert "package pandas-like: 1.0 against 2.0" in found["headline"]


@pytest.mark.slow
def test_unseeded_runs_need_the_random_state_and_the_changed_line(project, trained, capfd):
    edit(project, "train.py", "torch.manual_seed(1)", "pass")
    a = trained()
    edit(project, "train.py", "lr=0.1", "lr=0.2")
    b = trained()

    found = explained(capfd, a, b)
    code, said = swapped(capfd, a, b, "all", steps=3)

    assert found["likeliest"] == "code:train.py:9"
    assert code == 0
    assert outcomes(said) == {
        "nothing": "A",
        "code:train.py:9": "A",
        "state": "B",
        "state:hash": "A",
        "all together": "B",
    }
    last = said["trials"][-1]
    assert last["as_b"] == last["points"]
    assert "state alone turns the first number that differs into B's, and not all others" in said["verdict"]


@pytest.mark.slow
def test_an_argument_is_taken_and_the_folders_stay_where_they_were_asked_for(project, trained, capfd, tmp_path):
    edit(project, "train.py", "lr=0.1", "lr=float(sys.argv[2])")
    a, b = trained("--lr", "0.1"), trained("--lr", "0.3")

    code, said = swapped(capfd, a, b, "args:--lr", steps=2, into=tmp_path / "trials")

    assert (code, outcomes(said)) == (0, {"nothing": "A", "args:--lr": "B"})
    assert {path.name for path in tmp_path.glob("trials-*")} == {"trials-1", "trials-2"}
    assert textwrap.dedent(SOURCE)[:20] in (tmp_path / "trials-2" / "train.py").read_text()
