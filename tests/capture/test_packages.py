"""Installed distributions are listed with their true origin, and differences say whether they can change bits."""

import copy
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from tracker.capture.differences import environment_differences
from tracker.capture.environment import capture_process
from tracker.capture.hardware import capture_hardware, cpu, nvidia_gpus, vector_unit
from tracker.capture.packages import capture_packages, env_digest, installed


def make_wheel(folder, name, version, code):
    """A wheel file as a build tool writes it, for pip to install."""
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{name}/__init__.py", code)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return wheel


def install(wheel, site, record_extra=""):
    """Unpack a wheel as an installer does, with a RECORD of true hashes and with bytecode and INSTALLER lines."""
    import base64
    import hashlib

    lines = []
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
        for entry in archive.namelist():
            if not entry.endswith("RECORD"):
                digest = base64.urlsafe_b64encode(hashlib.sha256(archive.read(entry)).digest()).rstrip(b"=").decode()
                lines.append(f"{entry},sha256={digest},{len(archive.read(entry))}")
    info = next(path for path in site.iterdir() if path.name.startswith(wheel.name.split("-")[0]) and path.suffix)
    (info / "RECORD").write_text("\n".join([*lines, record_extra]) + "\n")
    return info


def test_the_packages_of_this_process_are_found_as_importlib_sees_them():
    import torch

    found = {package.name: package for package in installed(sys.path)}

    assert found["torch"].version == torch.__version__
    assert found["torch"].record
    assert "torch" in found["torch"].modules
    assert found["torch"].tag


def test_the_whole_environment_is_captured_in_under_two_seconds(tmp_path):
    started = time.perf_counter()
    captured = capture_packages(tmp_path / "capture", sys.path, process=capture_process().facts)
    seconds = time.perf_counter() - started

    whole = json.loads((tmp_path / "capture" / "environment.json").read_text())

    assert seconds < 2
    assert whole["digest"] == captured.facts["digest"]
    assert {"process", "hardware", "packages"} <= set(whole)
    assert {path.name for path in captured.files} == {"environment.json", "requirements.txt"}


def test_two_builds_of_one_version_have_different_digests_and_installers_do_not_matter(tmp_path):
    one = make_wheel(tmp_path / "w1", "lib", "1.0", "x = 1\n")
    two = make_wheel(tmp_path / "w2", "lib", "1.0", "x = 2\n")
    sites = [tmp_path / name / "site-packages" for name in ("a", "b", "c")]
    install(one, sites[0])
    install(one, sites[1], "lib-1.0.dist-info/INSTALLER,sha256=abc,3\nlib/__pycache__/__init__.cpython-311.pyc,,")
    install(two, sites[2])

    a, b, c = (installed([str(site)]) for site in sites)

    assert env_digest({}, a) == env_digest({}, b)
    assert env_digest({}, a) != env_digest({}, c)
    assert env_digest({"version": "3.10.0"}, a) != env_digest({"version": "3.11.0"}, a)


@pytest.mark.parametrize(
    ("direct", "origin", "requirement", "blocking"),
    [
        (None, "index", "lib==1.0", None),
        (
            {"url": "https://user:pw@host.example/lib.git", "vcs_info": {"vcs": "git", "commit_id": "abc123"}},
            "vcs git+https://host.example/lib.git@abc123",
            "lib @ git+https://host.example/lib.git@abc123",
            None,
        ),
        (
            {
                "url": "https://host.example/lib.git",
                "vcs_info": {"vcs": "git", "commit_id": "abc123"},
                "subdirectory": "python",
            },
            "vcs git+https://host.example/lib.git@abc123#subdirectory=python",
            "lib @ git+https://host.example/lib.git@abc123#subdirectory=python",
            None,
        ),
        (
            {
                "url": "https://host.example/lib.zip",
                "archive_info": {"hashes": {"sha256": "ff00"}},
                "subdirectory": "python",
            },
            "url https://host.example/lib.zip#subdirectory=python ff00",
            "lib @ https://host.example/lib.zip#subdirectory=python&sha256=ff00",
            None,
        ),
        (
            {"url": "file:///srv/my%20lib", "dir_info": {"editable": True}},
            "editable /srv/my lib",
            "# editable: lib==1.0 from /srv/my lib",
            True,
        ),
        (
            {"url": "file:///srv/lib-1.0-py3-none-any.whl", "archive_info": {"hashes": {"sha256": "ff00"}}},
            "file lib-1.0-py3-none-any.whl ff00",
            "# file: lib==1.0 from lib-1.0-py3-none-any.whl ff00",
            False,
        ),
        ({"url": "file:///srv/lib", "dir_info": {}}, "directory /srv/lib", "# directory: lib==1.0 from /srv/lib", True),
    ],
)
def test_every_origin_is_told_apart(tmp_path, direct, origin, requirement, blocking):
    site = tmp_path / "site-packages"
    info = install(make_wheel(tmp_path / "w", "lib", "1.0", ""), site)
    if direct is not None:
        (info / "direct_url.json").write_text(json.dumps(direct))

    captured = capture_packages(tmp_path / "out", [str(site)], process={})

    assert installed([str(site)])[0].origin == origin
    assert (tmp_path / "out" / "requirements.txt").read_text().splitlines()[-1] == requirement
    assert [gap.blocking for gap in captured.gaps] == ([] if blocking is None else [blocking])


def test_an_editable_install_of_the_project_itself_is_no_gap(tmp_path):
    site = tmp_path / "site-packages"
    info = install(make_wheel(tmp_path / "w", "lib", "1.0", ""), site)
    direct = {"url": (tmp_path / "project").as_uri(), "dir_info": {"editable": True}}
    (info / "direct_url.json").write_text(json.dumps(direct))

    captured = capture_packages(tmp_path / "out", [str(site)], process={}, project=tmp_path / "project")

    assert captured.gaps == []


def test_modules_from_a_directory_outside_the_project_are_a_gap_only_when_they_were_loaded(tmp_path):
    extra, project = tmp_path / "extra", tmp_path / "project"
    extra.mkdir()
    project.mkdir()
    (extra / "mine.py").write_text("")
    path = [str(project), str(extra)]

    unused = capture_packages(tmp_path / "o1", path, process={}, project=project)
    used = capture_packages(tmp_path / "o2", path, process={}, project=project, loaded_files=[extra / "mine.py"])

    assert unused.gaps == []
    assert [gap.blocking for gap in used.gaps] == [True]
    assert str(extra) in used.gaps[0].what


def test_a_distribution_without_readable_metadata_does_not_fail_the_list(tmp_path):
    site = tmp_path / "site-packages"
    install(make_wheel(tmp_path / "w", "lib", "1.0", ""), site)
    (site / "broken-1.0.dist-info").mkdir()
    (site / "odd-2.0.dist-info").mkdir()
    (site / "odd-2.0.dist-info" / "METADATA").write_bytes(b"Name: odd\nVersion: 2.0\n")
    (site / "odd-2.0.dist-info" / "direct_url.json").write_text("{not json")

    assert [package.name for package in installed([str(site)])] == ["lib"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("environment")
    capture_packages(folder, sys.path, process=capture_process().facts)
    return json.loads((folder / "environment.json").read_text())


def test_an_environment_does_not_differ_from_itself(environment):
    assert environment_differences(environment, copy.deepcopy(environment)) == []


def test_differences_say_what_can_change_bits_and_come_first(environment):
    now = copy.deepcopy(environment)
    now["process"]["threads"]["torch"] = 64
    now["process"]["switches"]["cudnn.benchmark"] = True
    now["hardware"]["memory_bytes"] = 1
    now["hardware"]["cpu"]["vector"] = "avx2"
    rows = {row["name"]: row for row in now["packages"]}
    rows["torch"]["version"] = "1.0"
    rows["pytest"]["version"] = "1.0"
    now["packages"] = [row for row in now["packages"] if row["name"] != "numpy"]

    found = environment_differences(environment, now)
    bits = {difference.what: difference.can_change_bits for difference in found}

    assert bits == {
        "CPU vector unit": True,
        "package numpy": True,
        "package torch": True,
        "switch cudnn.benchmark": True,
        "threads torch": True,
        "memory": False,
        "package pytest": False,
    }
    assert [d.can_change_bits for d in found] == sorted((d.can_change_bits for d in found), reverse=True)
    assert "1.0 now (can change bits)" in str(next(d for d in found if d.what == "package torch"))


def test_a_package_that_was_never_imported_cannot_change_bits(environment):
    then = copy.deepcopy(environment)
    row = {"name": "someones-lib", "version": "1", "origin": "index", "record": None, "tag": None}
    then["packages"].append(row | {"imported": False})
    now = copy.deepcopy(environment)
    now["packages"].append(row | {"imported": False, "version": "2"})

    unused = environment_differences(then, now)[0].can_change_bits
    now["packages"][-1]["imported"] = True
    used = environment_differences(then, now)[0].can_change_bits

    assert (unused, used) == (False, True)


def test_another_build_of_the_same_version_is_a_difference(environment):
    now = copy.deepcopy(environment)
    next(row for row in now["packages"] if row["name"] == "torch")["record"] = "0" * 64

    found = environment_differences(environment, now)

    assert [d.what for d in found] == ["package torch build"]


@pytest.mark.parametrize(
    ("before", "after", "is_other"),
    [
        ({"origin": "file x.whl abc", "record": "1"}, {"origin": "index", "record": "1"}, False),
        ({"origin": "file x.whl abc", "record": "1"}, {"origin": "index", "record": "2"}, True),
        ({"origin": "index", "record": None}, {"origin": "index", "record": "1"}, True),
        ({"origin": "editable /a", "record": "1"}, {"origin": "index", "record": "1"}, True),
        ({"origin": "editable /a", "record": "1"}, {"origin": "editable /b", "record": "2"}, False),
    ],
)
def test_a_build_is_the_same_by_its_files_wherever_it_had_been_installed_from(before, after, is_other):
    row = {"name": "someones-lib", "version": "1"}
    found = environment_differences({"packages": [row | before]}, {"packages": [row | after]})

    assert bool(found) == is_other


def test_the_processor_is_described_from_cpuinfo(tmp_path):
    file = tmp_path / "cpuinfo"
    file.write_text(
        "processor\t: 0\nvendor_id\t: V\nmodel name\t: Chip 9\nflags\t\t: fpu avx avx2 avx512f\n\nprocessor\t: 1\n"
    )

    facts = cpu(file)

    assert (facts["model"], facts["vendor"], facts["vector"]) == ("Chip 9", "V", "avx512")
    assert vector_unit(["asimd"]) == "neon"
    assert vector_unit([]) is None


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_a_gpu_is_described_by_nvidia_smi_and_a_hanging_one_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    script(tmp_path / "nvidia-smi", 'echo "GPU 9, 999.1, 9.0, 81920, [N/A]"')
    answered = nvidia_gpus()
    script(tmp_path / "nvidia-smi", "exec sleep 30")
    started = time.perf_counter()
    hanging = nvidia_gpus()
    seconds = time.perf_counter() - started

    assert answered == [
        {"name": "GPU 9", "driver": "999.1", "compute_capability": "9.0", "memory_bytes": 81920 << 20, "mig": "[N/A]"}
    ]
    assert hanging == []
    assert seconds < 5


def test_a_gpu_in_use_without_a_known_driver_is_a_gap(monkeypatch):
    monkeypatch.setenv("PATH", "")

    captured = capture_hardware({"torch": {"devices": [{"name": "GPU 9"}]}})

    assert [gap.blocking for gap in captured.gaps] == [True]
    assert capture_hardware({}).gaps == []


@pytest.mark.slow
def test_the_requirements_are_read_by_pip(tmp_path):
    capture_packages(tmp_path, sys.path, process=capture_process().facts)
    arguments = ["install", "--dry-run", "--no-deps", "--no-index", "-r", str(tmp_path / "requirements.txt")]

    done = subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, check=False)

    assert "Invalid requirement" not in done.stderr
    assert done.returncode == 0 or "No module named pip" in done.stderr or "No matching distribution" in done.stderr
    assert Path(tmp_path / "requirements.txt").stat().st_size > 100
