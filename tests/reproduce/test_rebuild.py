"""Recorded environments, built again: exact, once, and with all that is not as it was named."""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from pathlib import Path

import pytest

from tests.reproduce.wheels import make_needs, make_wheel
from tracker.capture.packages import installed
from tracker.errors import ReproduceError
from tracker.reproduce.installer import run_uv
from tracker.reproduce.rebuild import obstacles, origins, rebuild
from tracker.rundir import home


@pytest.fixture(autouse=True)
def links(tmp_path, monkeypatch):
    """A link folder that is all pip is told of: nothing is fetched from anywhere else."""
    folder = tmp_path / "links"
    make_needs(folder)
    make_wheel(folder, "one", "1.0", {"one.py": "value = 1\n"}, scripts="say-one = one:value.bit_length")
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    return folder


def row(name, version="1.0", origin="index", **more):
    """A package as the capture records it; with the identity of the wheel in the link folder, if there is one."""
    wheels = Path(os.environ["PIP_FIND_LINKS"]).glob(f"{name}-{version}-*.whl")
    record = next((record_of(wheel) for wheel in wheels), None)
    return {"name": name, "version": version, "origin": origin, "record": record, "imported": True, **more}


def record_of(wheel):
    """What the capture says of the content of a wheel."""
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(wheel).extractall(folder)
        return installed([folder])[0].record


def environment(*rows, version=None):
    """An environment on record, which holds what the tracker needs and `rows`."""
    python = {"version": version or platform.python_version(), "implementation": "CPython", "build": sys.version}
    return {"process": {"python": python}, "packages": [row("needs"), *rows]}


class Project:
    """A project that was captured at one place and restored at another."""

    def __init__(self, folder):
        self.was, self.root, self.capture = folder / "was", folder / "again", folder / "capture"
        self.root.mkdir()
        self.capture.mkdir()
        (self.capture / "code.json").write_text(json.dumps({"root": str(self.was)}))
        self.said = []

    def rebuild(self, recorded, **options):
        return rebuild(recorded, self.capture, self.root, self.said.append, **options)

    def run(self, built, code):
        """What `code` prints in the environment that was built."""
        path = os.pathsep.join(built.search_path)
        command = [str(built.python), "-c", code]
        return subprocess.check_output(command, env={"PYTHONPATH": path}, cwd=self.root, text=True).strip()


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_what_was_recorded_is_built_and_nothing_else(project):
    built = project.rebuild(environment(row("one")))
    listed = project.run(built, "from importlib.metadata import *; print(sorted(d.name for d in distributions()))")

    assert listed == "['needs', 'one']"
    assert project.run(built, "import one; print(one.value)") == "1"
    assert built.differences == ()
    assert not built.was_cached
    assert not list((home() / "environments").glob(".new-*"))


def test_an_environment_is_built_once_unless_asked_for_afresh(project, links):
    first = project.rebuild(environment(row("one")))
    shutil.rmtree(links)
    second = project.rebuild(environment(row("one")))

    assert second.was_cached
    assert second.python == first.python
    with pytest.raises(ReproduceError, match=r"no configured index or link folder has needs==1\.0, one==1\.0"):
        project.rebuild(environment(row("one")), refresh=True)
    assert project.rebuild(environment(row("one"))).was_cached


def test_scripts_of_distributions_start_where_the_environment_ended_up(project):
    built = project.rebuild(environment(row("one")))
    done = subprocess.run([str(built.python.parent / "say-one")], env={}, check=False)

    assert done.returncode == 1  # (1).bit_length()


def test_an_interrupted_build_does_not_count(project):
    built = project.rebuild(environment(row("one")))
    (built.python.parents[2] / "built.json").unlink()

    assert not project.rebuild(environment(row("one"))).was_cached


def test_an_environment_whose_interpreter_is_gone_is_built_again(project):
    built = project.rebuild(environment(row("one")))
    built.python.unlink()

    assert not project.rebuild(environment(row("one"))).was_cached


def test_an_environment_that_was_changed_since_is_built_again(project, links):
    make_wheel(links, "three", "3.0", {"three.py": ""})
    built = project.rebuild(environment(row("one")))
    answer = run_uv(["pip", "install", "--python", str(built.python), "three"], links, 60)
    again = project.rebuild(environment(row("one")))

    assert answer.is_fine
    assert not again.was_cached
    assert project.run(again, "import importlib.util as u; print(u.find_spec('three'))") == "None"


def test_what_a_killed_build_left_is_removed(project):
    built = project.rebuild(environment(row("one")))
    left = home() / "environments" / f".new-{built.python.parents[2].name}-x"
    left.mkdir()
    project.rebuild(environment(row("one")), refresh=True)

    assert not left.exists()


def test_two_at_once_build_it_once(project):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(project.rebuild(environment(row("one"))))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(one.was_cached for one in found) == [False, True]


def test_what_no_index_has_is_named_when_it_was_needed(project):
    wanted = environment(row("one"), row("two", "2.0+local"), row("three", "3.0", imported=None))

    with pytest.raises(ReproduceError, match=r"has two==2\.0\+local, three==3\.0\. Add the one they came from"):
        project.rebuild(wanted)
    assert not list((home() / "environments").glob("*/built.json"))


def test_what_no_index_has_is_left_out_when_the_run_had_not_imported_it(project):
    built = project.rebuild(
        environment(row("one"), row("two", imported=False), row("linux", "1.1build1", imported=False))
    )

    assert [(one.what, one.current, one.can_change_bits) for one in built.differences] == [
        ("package linux", None, False),
        ("package two", None, False),
    ]
    assert any("two==1.0 cannot be had and is left out" in line for line in project.said)


def test_another_build_of_the_same_version_is_named(project):
    built = project.rebuild(environment(row("one", record="0" * 64)))

    assert [one.what for one in built.differences] == ["package one build"]
    assert built.differences[0].can_change_bits
    assert built.differences[0].recorded == "index 000000000000"


def test_the_same_wheel_from_a_link_folder_is_the_same_build(project, links):
    path, digest = make_wheel(links, "three", "3.0", {"three.py": ""})
    built = project.rebuild(environment(row("three", "3.0", f"file {path.name} {digest}")))

    assert built.differences == ()


def test_a_local_file_of_other_content_is_refused(project, links):
    make_wheel(links, "three", "3.0", {"three.py": "other = 1\n"})

    with pytest.raises(ReproduceError, match=r"three==3\.0"):
        project.rebuild(environment(row("three", "3.0", f"file three-3.0-py3-none-any.whl {'a' * 64}")))


def test_a_lock_file_says_which_wheel_of_a_version_is_meant(project, tmp_path, monkeypatch):
    index = tmp_path / "index" / "three"
    one, first = make_wheel(index, "three", "3.0", {"three.py": "which = 'first'\n"})
    two, second = make_wheel(index, "three", "3.0", {"three.py": "which = 'second'\n"}, build="2")
    anchors = [
        f'<a href="{path.name}#sha256={digest}">{path.name}</a>' for path, digest in ((one, first), (two, second))
    ]
    (index / "index.html").write_text(f"<!DOCTYPE html><html><body>{' '.join(anchors)}</body></html>")
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", index.parent.as_uri())
    without = project.rebuild(environment(row("three", "3.0")))
    (project.root / "requirements.txt").write_text(f"three==3.0 --hash=sha256:{first}\n")
    locked = project.rebuild(environment(row("three", "3.0")))

    assert project.run(without, "import three; print(three.which)") == "second"
    assert project.run(locked, "import three; print(three.which)") == "first"
    assert (without.locks, locked.locks) == ((), ("requirements.txt",))
    assert project.said[-1].endswith("wheels checked against requirements.txt")


def test_a_lock_file_that_allows_no_wheel_there_is_said_and_passed_over(project):
    (project.root / "requirements.txt").write_text(f"one==1.0 --hash=sha256:{'a' * 64}\n")
    built = project.rebuild(environment(row("one")))

    assert built.locks == ()
    assert any(line.startswith("environment: requirements.txt allows none") for line in project.said)


def test_code_that_was_installed_in_place_is_found_in_the_restored_project(project):
    package = project.root / "libs/mine/src/mine"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("where = __file__\n")
    (project.root / "libs/mine/pyproject.toml").write_text(
        '[project]\nname = "mine"\n[project.scripts]\ngo = "mine:main"\n[project.entry-points.plug]\nin = "mine:x"\n'
    )
    built = project.rebuild(environment(row("mine", "0.3", f"editable {project.was}/libs/mine")))
    code = "import mine, importlib.metadata as m; print(mine.where, m.version('mine'), m.entry_points(group='plug'))"
    seen = project.run(built, code)
    found = {one.name: one for one in installed(built.search_path)}

    assert seen.startswith(f"{package}/__init__.py 0.3 ")
    assert "mine:x" in seen
    assert found["mine"].origin == f"editable {project.root}/libs/mine"
    assert built.differences == ()


def test_code_in_a_folder_the_project_declares_or_at_its_top_is_found(project):
    for name, declared in (("flat", ""), ("deep", '[tool.setuptools.packages.find]\nwhere = ["python"]\n')):
        folder = project.root / name / ("python" if declared else "")
        folder.mkdir(parents=True)
        (folder / f"{name}_module.py").write_text("")
        (project.root / name / "pyproject.toml").write_text(declared)
    rows = [row(name, "1", f"editable {project.was}/{name}") for name in ("flat", "deep")]
    built = project.rebuild(environment(*rows))

    assert project.run(built, "import flat_module, deep_module; print('both')") == "both"


BACKEND = """
import base64, hashlib, pathlib, zipfile

def build_wheel(directory, config_settings=None, metadata_directory=None):
    pathlib.Path("left-behind").mkdir()
    files = {"mine.py": pathlib.Path("mine.py").read_text()}
    files["mine-0.3.dist-info/METADATA"] = "Metadata-Version: 2.1\\nName: mine\\nVersion: 0.3\\n"
    files["mine-0.3.dist-info/WHEEL"] = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    lines = []
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(text)}")
    files["mine-0.3.dist-info/RECORD"] = "\\n".join([*lines, "mine-0.3.dist-info/RECORD,,", ""])
    with zipfile.ZipFile(pathlib.Path(directory) / "mine-0.3-py3-none-any.whl", "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return "mine-0.3-py3-none-any.whl"
"""


def test_a_folder_that_had_been_installed_as_a_copy_is_built_from_its_snapshot(project):
    folder = project.root / "mine"
    folder.mkdir()
    (folder / "mine.py").write_text("value = 5\n")
    (folder / "backend.py").write_text(BACKEND)
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    origin = f"directory {project.was}/mine"
    first = project.rebuild(environment(row("mine", "0.3", origin)))
    record = {one.name: one for one in installed(first.search_path)}["mine"].record
    same = project.rebuild(environment(row("mine", "0.3", origin, record=record)))

    assert project.run(same, "import mine; print(mine.value)") == "5"
    assert same.differences == ()
    assert [one.what for one in first.differences] == ["package mine build"]
    assert not (folder / "left-behind").exists()


def test_a_folder_that_cannot_be_built_is_said_and_used_as_it_is(project):
    (project.root / "mine").mkdir()
    (project.root / "mine/mine.py").write_text("value = 5\n")
    built = project.rebuild(environment(row("mine", "0.3", f"directory {project.was}/mine", record="0" * 64)))

    assert project.run(built, "import mine, importlib.metadata as m; print(mine.value, m.version('mine'))") == "5 0.3"
    assert [one.what for one in built.differences] == ["package mine build"]
    assert any("mine==0.3 cannot be built" in line for line in project.said)


def test_a_link_out_of_the_restored_project_is_not_put_on_the_path(project, tmp_path):
    (tmp_path / "evil").mkdir()
    (project.root / "mine").symlink_to(tmp_path / "evil")
    built = project.rebuild(environment(row("mine", "1.0", f"editable {project.was}/mine")))

    assert built.search_path == ()


def test_code_outside_of_the_project_is_an_obstacle_unless_it_was_not_imported(project):
    path = "/elsewhere/mine"
    wanted = environment(row("mine", "0.3", f"editable {path}"))
    unused = environment(row("mine", "0.3", f"editable {path}", imported=False))

    assert obstacles(wanted, project.root, project.was) == [
        "mine==0.3 was an editable install at /elsewhere/mine, outside the captured project"
    ]
    assert obstacles(unused, project.root, project.was) == []
    with pytest.raises(ReproduceError, match="outside the captured project"):
        project.rebuild(wanted)


def test_a_path_that_climbs_out_of_the_project_is_outside_of_it(project):
    wanted = environment(row("mine", "0.3", f"editable {project.was}/../other"))

    assert len(obstacles(wanted, project.root, project.was)) == 1


def test_without_an_interpreter_of_the_minor_version_nothing_can_be_built(project):
    assert obstacles(environment(version="3.4.1"), project.root) == ["no CPython 3.4 is on this machine"]
    assert obstacles({"packages": []}, project.root) == ["its Python version is not on record"]
    assert obstacles({}, project.root) == ["its packages are not on record"]


def test_another_patch_level_is_taken_and_named(project):
    minor = platform.python_version().rpartition(".")[0]
    built = project.rebuild(environment(row("one"), version=f"{minor}.99"))

    assert [(one.what, one.recorded) for one in built.differences] == [("python version", f"{minor}.99")]
    assert built.differences[0].can_change_bits


def test_what_comes_from_an_address_of_its_own_is_told_before_it_is_fetched():
    recorded = environment(row("one"), row("two", origin="vcs git+https://host/two@0123456789"))

    assert origins(recorded) == ["two==1.0 from git+https://host/two@0123456789"]


def test_an_environment_that_cannot_run_the_tracker_is_refused(project):
    wanted = environment(row("one"))
    wanted["packages"] = [row("one")]

    with pytest.raises(ReproduceError, match="it has no git, mlflow"):
        project.rebuild(wanted)


def test_hostile_rows_install_nothing(project, tmp_path):
    evil = environment(
        row("one\n-r /etc/passwd", imported=False),
        row("one", "1.0 --target /x", imported=False),
        row("one", origin="editable /x\0y", imported=False),
        row("one", "../../x", f"editable {project.was}"),
    )
    evil["packages"] += [{"imported": False}, None, "one"]
    built = project.rebuild(evil)

    assert project.run(built, "import importlib.util as u; print(u.find_spec('one'))") == "None"
