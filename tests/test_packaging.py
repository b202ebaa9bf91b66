"""The wheel: complete without the checkout, although `tracker/rules` is a link in it."""

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import tracker

ROOT = Path(__file__).resolve().parents[1]


def test_the_rules_folder_is_the_package_tracker_rules() -> None:
    from tracker import rules

    assert Path(rules.__file__).resolve() == ROOT / "rules" / "__init__.py"
    assert Path(tracker.__file__).resolve() == ROOT / "tracker" / "__init__.py"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, as building leaves folders behind."""
    source, into = tmp_path_factory.mktemp("source") / "soundrun", tmp_path_factory.mktemp("wheels")
    source.mkdir()
    for name in ("tracker", "rules"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(into), str(source)]
    subprocess.run(pip, check=True, stdout=subprocess.DEVNULL)
    return next(into.glob("soundrun-*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_the_marker_of_types(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        files = {info.filename for info in archive.infolist() if not info.is_dir()}
    ours = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tracker").rglob("*.py")}
    ours |= {"tracker/" + path.relative_to(ROOT).as_posix() for path in (ROOT / "rules").rglob("*.py")}

    assert sorted(ours - files) == []
    assert "tracker/py.typed" in names
    assert not [name for name in names if name.startswith(("rules/", "tests/", "examples/"))]


@pytest.mark.slow
def test_the_wheel_works_in_an_environment_of_its_own(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    python = str(place / "bin" / "python")
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", str(wheel)]
    subprocess.run(install, check=True, stdout=subprocess.DEVNULL)
    # What we rely on comes from the environment of the tests, after the new one's own packages.
    site = next((place / "lib").glob("python*/site-packages"))
    (site / "peers.pth").write_text(sysconfig.get_path("purelib") + "\n")

    code = (
        "import tracker, tracker.rules, os; from tracker.rules import Registry;"
        "print(tracker.__version__, os.path.dirname(tracker.rules.__file__), len(Registry.discover().rules))"
    )
    done = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    version, folder, count = done.stdout.split()
    told = subprocess.run([place / "bin" / "tracker", "--version"], capture_output=True, text=True, check=True)

    assert Path(folder).is_relative_to(place)
    assert int(count) >= 10
    assert told.stdout == f"tracker {version}\n"
