import json
import subprocess
import sys

import pytest

from tests.cli.projects import commit, train
from tracker.cli import run

TRAINING = """
    import sys
    import torch
    from tracker import Run, track

    torch.manual_seed(0)
    x = torch.randn(64, 4)
    y = (x[:, 0] > 0).long()
    model = torch.nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=float(sys.argv[1]))
    with track(Run("small", experiment="report")):
        for _ in range(12):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
"""


def test_the_page_of_a_run_and_of_two_are_made_again_from_the_store(project, capfd, tmp_path, monkeypatch):
    commit(project, train=TRAINING)
    a, b = train(project, "0.1"), train(project, "0.2")
    capfd.readouterr()

    assert run(["report", a.path.name, "--json", "--write", "--out", "one.html"]) == 0
    said = json.loads(capfd.readouterr().out)
    assert run(["report", a.path.name, b.path.name, "-o", "two.html"]) == 0
    from tracker.stores import open_store

    kept = open_store().artifacts_to(a.path.name, "report.html", tmp_path / "kept")
    one, two = ((tmp_path / name).read_text() for name in ("one.html", "two.html"))
    assert said["path"] == str(tmp_path / "one.html")
    assert said["bytes"] == len(one.encode())
    assert kept.read_text() == one
    assert "Training loss" in one
    assert "argument number 1" in two
    assert "first update" in two
    assert "could not be drawn" not in one + two


def test_a_run_of_plain_mlflow_code_has_a_page_of_what_it_has(tmp_path, monkeypatch, capfd):
    uri = f"sqlite:///{tmp_path / 'plain.db'}"
    code = f"""
import mlflow
mlflow.set_tracking_uri({uri!r})
with mlflow.start_run(run_name="plain") as run:
    mlflow.log_param("alpha", "<b>0.5</b>")
    for step in range(30):
        mlflow.log_metric("train_loss", 1 / (1 + step), step=step)
        mlflow.log_metric("val_loss", 2 / (1 + step), step=step)
print(run.info.run_id)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    monkeypatch.chdir(tmp_path)

    assert run(["report", done.stdout.split()[-1], "--uri", uri, "-o", "p.html"]) == 0

    page = (tmp_path / "p.html").read_text()
    assert "val_loss went from 2 to 0.06667" in page
    assert "&lt;b&gt;0.5&lt;/b&gt;" in page
    assert "could not be drawn" not in page


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--out", "."], "a folder; expected the name of a file"),
        (["--out", "nowhere/x.html"], "there is no folder"),
        (["cdef", "--write"], "--write stores the page of one run"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_before_anything_is_read(words, says, capfd):
    assert run(["report", "abcdef", *words]) == 64

    assert says in capfd.readouterr().err
