"""What `tracker run` brings into every Python process, most of which train nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tracker import launch
from tracker.cli.launching import COMMAND, MODULE, SCRIPT, split
from tracker.forwarding import run_in_our_place

FLAGS = {"--quiet": True, "--name": False, "-h": True}


@pytest.fixture
def started(tmp_path: Path) -> launch.Launch:
    """A launch whose environment is that of a process below `tracker run`."""
    return launch.prepare({"quiet": True}, ["python"], {**os.environ, "PYTHONPATH": str(tmp_path)})


def python(code: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)


def test_a_process_that_never_sees_torch_loads_next_to_nothing_of_ours(started: launch.Launch) -> None:
    code = "import sys; seen = sorted(sys.modules); import json; print(json.dumps([sys.path, seen]))"
    path, modules = json.loads(python(code, started.environment).stdout)
    bare = launch.without_bootstrap(started.environment)
    bare_path, bare_modules = json.loads(python(code, bare).stdout)
    ours = set(modules) - set(bare_modules)

    assert path == bare_path
    assert {name for name in ours if name.startswith("_soundrun")} == {
        "_soundrun.on_import", "_soundrun.capture.early", "_soundrun.capture.entropy", "_soundrun.capture.opened",
        "_soundrun.capture.seedings",
    }  # fmt: skip
    assert ours <= {name for name in ours if name.startswith("_soundrun")} | {
        "functools", "_functools", "collections", "reprlib", "keyword", "operator", "itertools", "types", "time",
    }  # fmt: skip


def test_without_a_launch_the_bootstrap_does_nothing(started: launch.Launch) -> None:
    environment = {k: v for k, v in started.environment.items() if k != "TRACKER_LAUNCH"}
    done = python("import sys; print([m for m in sys.modules if 'soundrun.' in m], len(sys.path_hooks))", environment)

    assert done.stdout.startswith("[] ")
    assert done.stderr == ""


def test_the_generators_are_noted_before_anything_draws_from_them(started: launch.Launch) -> None:
    code = (
        "import random; first = random.getstate(); random.random()\n"
        "import numpy as np; np.random.rand()\n"
        "import sys; early = sys.modules['_soundrun.capture.early'].states\n"
        "state, generator = early['numpy.random']\n"
        "print(early['random'] == first, state['state']['pos'], generator is np.random.mtrand._rand._bit_generator)\n"
    )

    assert python(code, started.environment).stdout.split() == ["True", "623", "True"]


def test_files_that_are_read_before_torch_comes_are_noted(started: launch.Launch, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("1,2")
    code = "import sys; open('data.csv').read(); print(sys.modules['_soundrun.capture.opened'].opened.paths())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=started.environment, cwd=tmp_path, capture_output=True, text=True
    )

    assert done.stdout.strip() == str([str(tmp_path / "data.csv")])


def test_our_own_name_in_user_code_is_the_private_package(started: launch.Launch, root: Path) -> None:
    environment = {**started.environment, "PYTHONPATH": f"{launch.BOOTSTRAP}{os.pathsep}{root}"}
    code = (
        "import tracker, sys, tracker.rules.engine.rule as rule\n"
        "from tracker.rules import Rule\nfrom tracker import Run, track\n"
        "own = sys.modules\n"
        "print(tracker is own['_soundrun'], rule.Rule is Rule, rule is own['_soundrun.rules.engine.rule'])\n"
    )
    done = python(code, environment)

    assert done.stdout.split() == ["True"] * 3, done.stderr


def test_an_environment_is_as_before_when_the_bootstrap_is_taken_out_again() -> None:
    started = launch.prepare({}, ["x"], {"PYTHONPATH": "/a::/b", "HOME": "/h", "PYTHONHASHSEED": "7"})
    nested = launch.prepare({}, ["x"], started.environment)
    without = launch.prepare({}, ["x"], {"HOME": "/h"})

    assert started.environment["PYTHONPATH"] == f"{launch.BOOTSTRAP}:/a::/b"
    assert nested.environment["PYTHONPATH"] == started.environment["PYTHONPATH"]
    assert launch.without_bootstrap(nested.environment) == {
        "PYTHONPATH": "/a::/b", "HOME": "/h", "PYTHONHASHSEED": "7",
    }  # fmt: skip
    assert started.plan["hash_seed"] is None
    assert without.environment["PYTHONHASHSEED"] == without.plan["hash_seed"]
    assert "PYTHONPATH" not in launch.without_bootstrap(without.environment)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["train.py", "--name", "x"], (SCRIPT, [], ["train.py", "--name", "x"])),
        (["--name", "x", "train.py", "--help"], (SCRIPT, ["--name", "x"], ["train.py", "--help"])),
        (["--name=x", "--quiet", "train.py", "--"], (SCRIPT, ["--name=x", "--quiet"], ["train.py", "--"])),
        (["-m", "a.b", "-h", "-m"], (MODULE, [], ["a.b", "-h", "-m"])),
        (["-ma.b", "x"], (MODULE, [], ["a.b", "x"])),
        (["--quiet", "--", "python", "-u", "x.py"], (COMMAND, ["--quiet"], ["python", "-u", "x.py"])),
        (["--name", "--", "train.py"], (SCRIPT, ["--name", "--"], ["train.py"])),
        (["--nme", "x"], (SCRIPT, ["--nme"], ["x"])),
        (["-h"], (SCRIPT, ["-h"], [])),
    ],
)
def test_our_options_stand_before_the_script_and_all_behind_it_is_the_scripts(args, expected) -> None:
    assert split(args, FLAGS) == expected


@pytest.mark.parametrize("code", [0, 3, 255])
def test_a_command_ends_with_its_own_code(code: int) -> None:
    started: list[int] = []

    assert run_in_our_place(["/bin/sh", "-c", f"exit {code}"], dict(os.environ), started.append) == code
    assert len(started) == 1


def test_a_command_that_a_signal_ends_is_told_by_its_number() -> None:
    assert run_in_our_place(["/bin/sh", "-c", "kill -TERM $$"], dict(os.environ), lambda pid: None) == -15


def test_descriptors_given_to_us_reach_the_command(tmp_path: Path) -> None:
    (tmp_path / "given").write_text("through")
    with (tmp_path / "given").open() as file, (tmp_path / "out").open("w") as out:
        os.set_inheritable(file.fileno(), True)
        os.set_inheritable(out.fileno(), True)
        command = ["bash", "-c", f"cat <&{file.fileno()} >&{out.fileno()}"]
        code = run_in_our_place(command, dict(os.environ), lambda pid: None)

    assert code == 0
    assert (tmp_path / "out").read_text() == "through"
