"""Unmodified scripts of many kinds: their own loop is taken over, stopped, and nothing of it reaches their folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tracker.drilling.judged import FIRST_STEPS
from tracker.drilling.script.preflight import preflight_script
from tracker.drilling.script.target import Target, module_target, script_target
from tracker.errors import ConfigError
from tracker.rules.engine import Settings

HEAD = """
import sys, pathlib, torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
torch.manual_seed(0)
x = torch.randn(96, 6)
y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
"""
MODEL = (
    HEAD
    + """
model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
optimizer = torch.optim.SGD(model.parameters(), 0.05)
"""
)
STEP = """
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(a), b)
        loss.backward()
        optimizer.step()
"""
LOADER = (
    MODEL
    + """
for epoch in range(4):
    for a, b in DataLoader(TensorDataset(x, y), 16, shuffle=True):
"""
    + STEP
    + """
    torch.save(model.state_dict(), "last.pt")
    pathlib.Path(__file__).with_name("log.txt").write_text("done")
print("end of the script")
"""
)
BY_HAND = (
    MODEL
    + """
for epoch in range(20):
    for at in torch.randperm(96).split(16):
        a, b = x[at], y[at]
"""
    + STEP
)
DRAWN = (
    MODEL
    + """
for step in range(60):
    at = torch.randint(96, (16,))
    a, b = x[at], y[at]
    for once in range(1):
"""
    + STEP
)
FULL = (
    MODEL
    + """
for step in range(60):
    a, b = x, y
    for once in range(1):
"""
    + STEP
)
STATISTICS = FULL.replace(
    "for step in range(60)",
    """
for a, b in DataLoader(TensorDataset(x, y), 16):
    print(a.mean())
for step in range(300)""",
)
CATCHES = LOADER.replace(
    "        optimizer.step()\n",
    """
        try:
            optimizer.step()
        except BaseException:
            print("caught")
""",
).replace("for epoch in range(4):", "for epoch in range(10**9):")
ADVERSARIAL = (
    HEAD
    + """
G, D = nn.Linear(4, 2), nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1))
og, od = torch.optim.Adam(G.parameters(), 1e-3), torch.optim.Adam(D.parameters(), 1e-3)
bce = nn.BCEWithLogitsLoss()
for step in range(200):
    real, fake = torch.randn(16, 2), G(torch.randn(16, 4))
    od.zero_grad()
    (bce(D(real), torch.ones(16, 1)) + bce(D(fake.detach()), torch.zeros(16, 1))).backward()
    od.step()
    og.zero_grad()
    bce(D(fake), torch.ones(16, 1)).backward()
    og.step()
"""
)
CLIENTS = (
    HEAD
    + """
for client in range(9):
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    for a, b in DataLoader(TensorDataset(x, y), 16, shuffle=True):
"""
    + STEP
)
SELF_TRACKED = LOADER.replace("for epoch in range(4):", "from tracker import track\nfor epoch in range(4):").replace(
    "    for a, b in", "  with track(f'epoch {epoch}', tracking_uri='sqlite:///own.db'):\n    for a, b in"
)


def folder_digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def drill(tmp_path: Path, source: str, *arguments: str, only=("determinism",), **options):
    script = tmp_path / "work" / "train.py"
    script.parent.mkdir(exist_ok=True)
    script.write_text(source)
    before = folder_digest(script.parent)
    found = preflight_script(script_target(script), arguments, script.parent, Settings(), only, **options)

    assert folder_digest(script.parent) == before
    return found


def test_the_loop_of_a_script_is_taken_over_and_its_folder_left_alone(tmp_path):
    found = drill(tmp_path, LOADER, only=("determinism", "overfit-one-batch"))
    first, *rows = found.judged.rows

    assert found.drilled.code == 0
    assert "end of the script" not in found.drilled.output
    assert (found.drilled.met["loop"], found.drilled.met["model"]) == ("own", "Sequential")
    assert (first.drill, first.status) == (FIRST_STEPS, "passed")
    assert first.says.startswith("20 losses")
    assert [(row.drill, row.status) for row in rows] == [("determinism", "passed"), ("overfit-one-batch", "passed")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "loop"),
    [
        (BY_HAND, "ours"),
        (DRAWN, "own"),
        (FULL, "own"),
        (STATISTICS, "own"),
        (ADVERSARIAL, "own"),
        (SELF_TRACKED, "own"),
    ],
    ids=[
        "batches made by hand",
        "batches drawn by hand",
        "all data at once",
        "a loader that is not trained on",
        "two optimizers",
        "tracked by itself",
    ],
)
def test_loops_of_every_kind_are_taken_over(tmp_path, source, loop):
    found = drill(tmp_path, source)

    assert found.drilled.met["loop"] == loop, found.drilled.output
    assert [row.status for row in found.judged.rows[1:]] == ["passed"]


@pytest.mark.slow
def test_the_model_that_is_in_training_is_drilled_with_its_own_optimizer(tmp_path):
    found = drill(tmp_path, CLIENTS, only=("overfit-one-batch",))

    assert [row.status for row in found.judged.rows[1:]] == ["passed"], found.judged.rows


@pytest.mark.slow
def test_a_script_that_catches_everything_is_ended_all_the_same(tmp_path):
    found = drill(tmp_path, CATCHES)

    assert found.drilled.code == 0
    assert [row.status for row in found.judged.rows[1:]] == ["passed"]


@pytest.mark.slow
def test_a_script_that_a_drill_ends_goes_on_with_the_next_one(tmp_path):
    source = LOADER.replace("loss.backward()", "loss.backward()\n        if loss < 0.5: raise RuntimeError('too good')")
    found = drill(tmp_path, source, only=("determinism", "learning-rate-range", "overfit-one-batch"))
    rows = {row.drill: row for row in found.judged.rows}

    assert rows["determinism"].status == "passed"
    assert rows["overfit-one-batch"].status == "skipped"
    assert "too good" in rows["overfit-one-batch"].says


@pytest.mark.slow
def test_a_script_that_fails_before_it_trains_is_said_to(tmp_path):
    found = drill(tmp_path, HEAD + "raise SystemExit('no data here')")

    assert found.drilled.code == 1
    assert found.drilled.met == {}
    assert "no data here" in found.drilled.output
    assert [(row.status, row.says) for row in found.judged.rows] == [("skipped", "no training was seen")]


@pytest.mark.slow
def test_a_script_that_never_comes_to_its_training_is_ended(tmp_path):
    source = HEAD + "import time\nmodel = nn.Linear(1, 1)\nprint('loading', flush=True)\ntime.sleep(1000)"
    found = drill(tmp_path, source, seconds=1.0, start_seconds=6.0)

    assert found.drilled.code is None
    assert "loading" in found.drilled.output


@pytest.mark.slow
def test_a_few_steps_in_all_are_enough(tmp_path):
    found = drill(tmp_path, LOADER.replace("range(4)", "range(1)"))

    assert [row.status for row in found.judged.rows if row.drill == "determinism"] == ["passed"]


@pytest.mark.slow
def test_what_a_script_writes_by_its_whole_path_is_refused(tmp_path):
    target = tmp_path / "work" / "results.csv"
    found = drill(tmp_path, MODEL + f"open({str(target)!r}, 'w').write('x')\n")

    assert "outside of its copy" in found.drilled.output


@pytest.mark.slow
@pytest.mark.parametrize("dies", [False, True], ids=["one start", "a drill that ends the script before"])
def test_what_the_first_steps_show_is_a_failure_whose_cause_is_looked_for(tmp_path, dies):
    source = LOADER.replace("nn.Linear(16, 3))", "nn.Linear(16, 3), nn.Softmax(1))")
    if dies:
        source = source.replace(
            "        loss.backward()", "        loss.backward()\n        if loss < 0.8: os._exit(5)"
        )
        source = source.replace("import sys", "import os, sys").replace(
            "SGD(model.parameters(), 0.05", "SGD(model.parameters(), 1.0"
        )
    found = drill(tmp_path, source, only=("overfit-one-batch", "ablation") if dies else ("ablation",))
    rows = {row.drill: row for row in found.judged.rows}

    assert rows[FIRST_STEPS].status == "failed"
    assert not dies or "the script ended in it" in rows["overfit-one-batch"].says
    assert "nothing failed" not in rows["ablation"].says
    assert rows["ablation"].status == "passed" or "the script ended in it" in rows["ablation"].says


def test_wrong_arguments_are_told_before_anything_is_started(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="there is no such file"):
        script_target(tmp_path / "none.py")
    (tmp_path / "a.py").write_text("")
    with pytest.raises(ConfigError, match="There is no drill 'x'"):
        preflight_script(script_target(tmp_path / "a.py"), (), tmp_path, Settings(), only=("x",))
    with pytest.raises(ConfigError, match="there is no such module"):
        module_target("package.fit", tmp_path)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "fit.py").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="too large to be copied, or your home folder"):
        preflight_script(module_target("package.fit", tmp_path), (), tmp_path, Settings())


def test_a_module_is_found_as_python_would_and_without_importing_it(tmp_path, monkeypatch):
    fatal = "raise SystemExit('imported')"
    for name in ("package/__init__.py", "package/__main__.py", "package/fit.py", "src/other/fit.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(fatal)
    monkeypatch.setenv("PYTHONPATH", f"/elsewhere:{tmp_path / 'src'}")

    assert module_target("package", tmp_path) == Target(tmp_path / "package" / "__main__.py", "package")
    assert module_target("package.fit", tmp_path) == Target(tmp_path / "package" / "fit.py", "package.fit")
    assert module_target("other.fit", tmp_path).file == tmp_path / "src" / "other" / "fit.py"
