"""Projects that are dirty in every way come back with what their script depends on, once the original is gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.projects import KINDS, NEW, Project
from tests.benchmarks.reproduction import CORPUS, Case, main, new_store, reproduce_case
from tests.benchmarks.unseeded import with_beginning, without_seeds
from tracker.capture.code import capture_code
from tracker.capture.data import digest_files
from tracker.capture.inputs import keep_inputs
from tracker.reproduce.restore import restore_code

TELLING = ("renamed", "ignored-configuration", "submodule-with-edits", "no-commit-yet", "partial-and-sparse-clone")
NOTING = """
import sys
opened = []
sys.addaudithook(lambda name, args: name == "open" and type(args[0]) is str and opened.append(args[0]))
{get}
"""
TELLS = """
import json, os
modules = [one.__file__ for one in list(sys.modules.values()) if getattr(one, "__file__", None)]
print(json.dumps({"knob": KNOB, "modules": modules, "opened": [os.path.abspath(name) for name in opened]}))
"""


def tell(folder: Path, *command: str, **variables: str) -> dict[str, Any]:
    """Run the script of a project and return what it learnt: its number, its modules, the files that were opened."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **variables}
    done = subprocess.run([sys.executable, *command], cwd=folder, env=environment, capture_output=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def comes_back(kind: str, place: Path) -> None:
    """Build a project of a kind, capture it, move it away, and see what its script learns where it was restored."""
    project = Project(place / "here", TELLS, place / "user", beginning=NOTING)
    project.user.mkdir()
    project.place.mkdir()
    KINDS[kind](project)
    if (place / "user" / ".gitconfig").exists():
        os.environ["HOME"] = str(place / "user")
    told = tell(project.cwd, *project.command, **project.variables)
    script = project.cwd / project.command[-1] if "-m" not in project.command else project.root / "net" / "train.py"
    modules = [Path(name) for name in told["modules"] if Path(name).is_relative_to(place)]
    inside = [Path(name) for name in told["opened"] if Path(name).is_relative_to(project.root) and Path(name).is_file()]
    captured = capture_code(script.parent, place / "kept", script=script, loaded_files=modules, cwd=project.cwd)
    digest_files(inside, place / "kept", root=project.root)
    kept = keep_inputs(place / "kept", project.root, loaded_files=modules)
    project.place.rename(place / "gone")

    restored = restore_code(place / "kept", place / "again")
    words = [str(restored.root / "train.py") if word.startswith(os.sep) else word for word in project.command]
    paths = {name: value.replace(str(project.root), str(restored.root)) for name, value in project.variables.items()}
    again = tell(restored.cwd, *words, **paths)

    assert [gap for gap in (*captured.gaps, *kept.gaps) if gap.blocking] == []
    assert (restored.matches, restored.problems) == (True, [])
    assert told["knob"] == again["knob"] == NEW
    assert not any(str(project.place) in name for name in again["modules"])
    assert not (place / "gone" / "ran").exists()


@pytest.mark.parametrize("kind", TELLING)
def test_what_the_script_depends_on_comes_back(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", os.environ["HOME"])

    comes_back(kind, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in TELLING])
def test_what_the_script_depends_on_comes_back_from_every_kind(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", os.environ["HOME"])

    comes_back(kind, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["unpushed-commits", "ignored-module", "embedded-repository"])
def test_an_unseeded_script_is_reproduced_from_its_store_alone(
    kind: str, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(root))
    new_store(tmp_path / "store")

    came = reproduce_case(Case(kind, CORPUS / "healthy" / "v-iris-full-batch-sgd" / "train.py"), tmp_path / "store")

    assert came.short == "", came
    assert (came.captured, came.grade, came.scope) == ("R2", "R5", "host")
    assert came.points > 100


@pytest.mark.slow
def test_a_script_that_asks_the_clock_falls_short_and_the_benchmark_says_so(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "clock.py"
    source = (CORPUS / "healthy" / "v-iris-full-batch-sgd" / "train.py").read_text()
    script.write_text(
        with_beginning(source, "import time\nCLOCK = time.time_ns()\n").replace(
            "lr=args.lr", "lr=1e-9 * (CLOCK % 1000_000_007)"
        )
    )
    monkeypatch.setenv("PYTHONPATH", str(root))
    new_store(tmp_path / "store")

    came = reproduce_case(Case("clean", script), tmp_path / "store")

    assert came.captured == "R2"
    assert came.grade == "R3"
    assert came.short.startswith("R3 host: ")


WRITES = """
import os, torch
os.mkdir("out")  # fails where it is there already
x = torch.randn(64, 8)
net = torch.nn.Linear(8, 2)
if os.path.exists("model.pt"):
    net.load_state_dict(torch.load("model.pt"))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(10):
    for i in torch.randperm(64).split(16):
        optimizer.zero_grad()
        net(x[i]).pow(2).mean().backward()
        optimizer.step()
    torch.save(net.state_dict(), "model.pt")
    open("out/log.csv", "a").write(f"{epoch}\\n")
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tracked-edits", "no-repository"])
def test_what_a_script_writes_at_once_is_not_in_its_way_when_it_is_done_again(
    kind: str, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "writes.py").write_text(WRITES)
    monkeypatch.setenv("PYTHONPATH", str(root))
    new_store(tmp_path / "store")

    came = reproduce_case(Case(kind, tmp_path / "writes.py"), tmp_path / "store")

    assert came.short == "", came


def test_seeds_are_taken_out_and_splits_with_a_number_of_their_own_stay() -> None:
    source = """
import random, numpy as np, torch
torch.manual_seed(args.seed)
random.seed(args.seed); np.random.seed(seed=0)
rng = np.random.default_rng(args.seed)
other = random.Random(seed + 1)
split = torch.Generator().manual_seed(99)
loader = DataLoader(x, generator=torch.Generator().manual_seed(args.seed))
a, b = train_test_split(x, random_state=args.seed, test_size=0.3)
if True:
    torch.cuda.manual_seed_all(args.seed)
"""
    assert without_seeds(source).splitlines() == [
        "import random, numpy as np, torch",
        "pass",
        "pass",
        "pass",
        "rng = np.random.default_rng()",
        "other = random.Random()",
        "split = torch.Generator().manual_seed(99)",
        "loader = DataLoader(x, generator=None)",
        "a, b = train_test_split(x, random_state=None, test_size=0.3)",
        "if True:",
        "    pass",
    ]


def test_a_beginning_stands_behind_the_docstring_and_the_future() -> None:
    source = '"""What it does."""\n\nfrom __future__ import annotations\n# a word\nimport os\n'

    assert with_beginning(source, "A = 1\n").splitlines()[-2:] == ["A = 1", "import os"]
    compile(with_beginning(source, "A = 1\n"), "train.py", "exec")


def test_asking_for_a_script_that_is_not_there_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as wrong:
        main(["--only", "no-such-script"])

    assert wrong.value.code == 2
    assert "no script of the corpus" in capsys.readouterr().err
