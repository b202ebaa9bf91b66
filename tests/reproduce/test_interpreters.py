"""Which interpreter of this machine an environment is made of."""

import platform
import stat
import sys
from pathlib import Path

import pytest

from tracker.reproduce.interpreters import nearest


def install(root: Path, version: str, build: str = "a build", implementation: str = "CPython") -> str:
    """Puts a program there that answers as an interpreter of this version does; returns its path."""
    path = root / "versions" / f"{version}{build.replace(' ', '')}" / "bin" / "python3"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\necho '{implementation} {version}'\necho '{build}'\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture
def pyenv(tmp_path, monkeypatch):
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    return tmp_path


def test_the_same_patch_level_comes_first_and_of_those_the_same_build(pyenv):
    install(pyenv, "3.4.1")
    install(pyenv, "3.4.2", "another build")
    same = install(pyenv, "3.4.2", "the build")

    assert nearest("CPython", "3.4.2", "the build").path == same
    assert nearest("CPython", "3.4.2", "a third").version == "3.4.2"


def test_else_the_nearest_patch_level_is_taken(pyenv):
    for version in ("3.4.1", "3.4.7", "3.4.30"):
        install(pyenv, version)

    assert nearest("CPython", "3.4.9").version == "3.4.7"
    assert nearest("CPython", "3.4.25").version == "3.4.30"


def test_another_implementation_or_minor_version_is_no_choice(pyenv):
    install(pyenv, "3.4.1", implementation="PyPy")
    broken = Path(install(pyenv, "3.4.2"))
    broken.write_text("#!/bin/sh\nexit 1\n")
    install(pyenv, "3.4.3")

    assert nearest("CPython", "3.4.1").version == "3.4.3"
    assert nearest("CPython", "3.3.1") is None


def test_the_very_interpreter_comes_first():
    found = nearest("CPython", platform.python_version(), sys.version)

    assert found is not None
    assert (found.version, found.build) == (platform.python_version(), sys.version)


@pytest.mark.parametrize("version", ["", "nonsense", "3", "3.x.y"])
def test_what_is_no_version_has_no_interpreter(version):
    assert nearest("CPython", version) is None
