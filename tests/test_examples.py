"""The examples are what a new user runs first: each is run as it stands."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from tracker.rules import Settings
from tracker.rules.testing import check_rule

ROOT = Path(__file__).resolve().parents[1]
TRACKER = Path(sys.executable).with_name("tracker")


def verdict_of_digits(place: Path, *arguments: str) -> Mapping[str, Any]:
    """Runs the example in `place`, without waiting for the store, and returns the verdict it ends with."""
    shutil.copy(ROOT / "examples" / "digits.py", place)
    (place / "pyproject.toml").write_text("[tool.tracker]\nwait_seconds = 0\n")
    # The example itself is outside of our tests: as a user would run it.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": f"sqlite:///{place}/mlflow.db"}
    environment.pop("TRACKER_STRICT")
    command = [sys.executable, "digits.py", *arguments]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stderr, done.stderr
    reader = "import sys, tracker.cli; tracker.cli.main()"
    check = [sys.executable, "-c", reader, "check", done.stdout.split()[-1], "--json"]
    told = subprocess.run(check, cwd=place, env=environment, capture_output=True, text=True)
    return json.loads(told.stdout)


@pytest.mark.slow
def test_the_digits_are_learned_without_an_alarm(tmp_path: Path) -> None:
    verdict = verdict_of_digits(tmp_path)

    assert verdict["suspicious"] == "false"
    assert [one for one in verdict["findings"] if one["severity"] != "info"] == []


@pytest.mark.parametrize(
    ("bug", "rule"),
    [
        ("shuffled-apart", "unlearnable-labels"),
        pytest.param("no-zero-grad", "missing-zero-grad", marks=pytest.mark.slow),
        pytest.param("huge-lr", "learning-rate-too-high", marks=pytest.mark.slow),
    ],
)
def test_each_bug_of_the_digits_is_named(tmp_path: Path, bug: str, rule: str) -> None:
    verdict = verdict_of_digits(tmp_path, "--bug", bug)

    assert verdict["suspicious"] == "true"
    assert verdict["findings"][0]["rule"] == rule


@pytest.mark.slow
@pytest.mark.skipif(not TRACKER.exists(), reason="the command tracker is not installed beside this Python")
def test_the_demo_shows_a_healthy_run_a_bug_and_a_bitwise_reproduction(tmp_path: Path) -> None:
    copy = tmp_path / "soundrun"
    copy.mkdir()
    for name in ("tracker", "rules", "examples"):
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", ".gitignore"):
        shutil.copy(ROOT / name, copy)
    git = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.org"]
    for arguments in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "all"]):
        subprocess.run([*git, *arguments], cwd=copy, check=True)
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    environment.pop("TRACKER_STRICT")
    demo = [sys.executable, "examples/demo.py"]
    done = subprocess.run(demo, cwd=copy, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    left = subprocess.run([*git, "status", "--porcelain"], cwd=copy, capture_output=True, text=True, check=True)
    first, second, third = done.stdout.split("===")[1:4]

    assert "suspicious=false  reproducible=true" in first, done.stdout
    assert "suspicious=true" in second
    assert "unlearnable-labels" in second
    assert "R5" in third
    assert done.returncode == 0
    assert left.stdout == ""


def test_two_models_are_compared_and_the_layer_that_differs_is_named() -> None:
    command = [sys.executable, str(ROOT / "examples" / "compare_models.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)

    assert done.stdout.startswith("The outputs differ first at act (GELU)."), done.stderr
    assert "approximate is 'none' in A and 'tanh' in B" in done.stdout


def test_the_rule_of_ones_own_is_found_with_its_knob_and_passes_the_battery() -> None:
    settings = Settings.load(ROOT / "examples" / "local_rule")
    rule = next(one for one in settings.registry.instances(settings) if one.id() == "accuracy-collapsed")

    assert rule.model_dump() == {"ratio": 0.6}
    check_rule(type(rule))


def test_the_settings_in_the_readme_can_be_used(tmp_path: Path) -> None:
    blocks = (ROOT / "README.md").read_text(encoding="utf-8").split("```toml\n")[1:]
    (tmp_path / "pyproject.toml").write_text(blocks[0].partition("```")[0])
    shutil.copy(ROOT / "examples" / "local_rule" / "accuracy_collapsed.py", tmp_path / "my_rules.py")
    settings = Settings.load(tmp_path)

    assert settings.rule["overfitting"]["patience"] == 5
    assert "accuracy-collapsed" in settings.registry.rules


def test_the_plug_in_is_installed_measured_and_judged_by(tmp_path: Path) -> None:
    # Installed as pip would leave it: its package and its entry points in a folder on the path.
    source, site = ROOT / "examples" / "own_rule", tmp_path / "site"
    shutil.copytree(source / "sparse_gradients", site / "sparse_gradients")
    about = site / "sparse_gradients-0.1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: sparse-gradients\nVersion: 0.1.0\n")
    groups = tomllib.loads((source / "pyproject.toml").read_text())["project"]["entry-points"]
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for group, points in groups.items()]
    (about / "entry_points.txt").write_text("\n".join(lines))
    shutil.copy(source / "test_sparse_gradients.py", tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.tracker]\nwait_seconds = 0\n")
    environment = {
        **os.environ,
        "PYTHONPATH": f"{site}{os.pathsep}{ROOT}",
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
    }
    environment.pop("TRACKER_STRICT")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_sparse_gradients.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    assert "3 passed" in done.stdout, done.stdout
