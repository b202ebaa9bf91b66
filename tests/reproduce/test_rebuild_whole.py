"""A run done again in an environment that was built for it, whole, from the package indexes of this machine."""

import shutil
import sys

import pytest

from tests.cli.projects import commit, reproduce, tags_of, train
from tracker.capture.packages import installed
from tracker.reproduce.pins import pins_of
from tracker.reproduce.resolve import resolve
from tracker.rundir import home

UNSEEDED = """
    import torch
    from tracker import Run, track
    torch.set_num_threads(1)
    x = torch.randn(128, 10)
    y = (x.sum(1) > 0).long()
    net = torch.nn.Sequential(torch.nn.Linear(10, 8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 2))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.3)
    with track(Run("demo")) as run:
        for epoch in range(3):
            for start in range(0, 128, 32):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(net(x[start:start + 32]), y[start:start + 32]).backward()
                optimizer.step()
            run.log(accuracy=(net(x).argmax(1) == y).float().mean())
"""


@pytest.fixture
def project(tmp_path, monkeypatch, root):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'store' / 'mlflow.db'}")
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))  # empty
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store").mkdir()
    folder = tmp_path / "project"
    folder.mkdir()
    yield folder
    for place in (home() / "environments", tmp_path / "uv"):  # gigabytes
        shutil.rmtree(place, ignore_errors=True)


@pytest.mark.slow
def test_an_unseeded_training_comes_out_bit_for_bit_in_a_rebuilt_environment(project, capfd, tmp_path):
    rows = [{"name": one.name, "version": one.version, "origin": one.origin} for one in installed(sys.path)]
    found = resolve(pins_of({"packages": rows}), sys.executable, 60)
    if not found.resolves:
        lacking = ", ".join(pin.text for pin in found.missing[:3])
        pytest.skip(f"this environment cannot be had again from the configured indexes: {lacking or found.why}")
    commit(project, train=UNSEEDED)
    original = train(project)
    code, said, shown = reproduce(capfd, original.spec["id"], "--into", tmp_path / "again", "--rebuild-env")
    built = list((home() / "environments").glob("*/venv/bin/python"))

    assert (code, said["grade"], said["scope"]) == (0, "R5", "env-rebuilt"), (said, shown)
    assert len(built) == 1
    assert tags_of(original.spec["id"])["repro.scope"] == "env-rebuilt"
    assert "environment: built in" in shown
