"""Whether this is the machine and the data a run was recorded with."""

import json
import os

import pytest

from tracker.capture.data import digest_files
from tracker.errors import ReproduceError
from tracker.reproduce.environment import (
    DataCheck,
    current_environment,
    differences_before,
    is_rebuildable,
    scope_of,
)


@pytest.fixture(scope="module")
def here():
    return current_environment({}, dict(os.environ))


def changed(environment, *path, value):
    """A deep copy of the environment with one value replaced."""
    copy = json.loads(json.dumps(environment))
    inner = copy
    for name in path[:-1]:
        inner = inner.setdefault(name, {})
    inner[path[-1]] = value
    return copy


def test_an_environment_does_not_differ_from_itself(here):
    assert differences_before(here, current_environment({}, dict(os.environ))) == []
    assert scope_of(here, here) == ("host", [])


def test_another_python_is_named_and_could_be_rebuilt(here):
    found = differences_before(changed(here, "process", "python", "version", value="3.9.1"), here)

    assert [(one.what, one.recorded) for one in found] == [("python version", "3.9.1")]
    assert is_rebuildable(found[0])


def test_another_version_of_a_numeric_package_could_be_rebuilt(here):
    packages = [
        {**row, "version": "1.0.0", "imported": True} if row["name"] == "numpy" else row for row in here["packages"]
    ]

    found = differences_before({**here, "packages": packages}, here)

    assert [one.what for one in found if is_rebuildable(one)] == ["package numpy"]


def test_another_cpu_is_another_host_that_no_environment_can_rebuild(here):
    recorded = changed(here, "hardware", "cpu", "model", value="Some Other CPU")

    found = differences_before(recorded, here)

    assert [one.what for one in found] == ["CPU model"]
    assert not is_rebuildable(found[0])
    assert scope_of(recorded, here)[0] == "other-host"


def test_what_a_script_sets_itself_is_not_compared_before_it_runs(here):
    recorded = changed(here, "process", "threads", value={"torch": 7, "affinity": 1})

    assert differences_before(recorded, here) == []


def test_a_harmless_difference_leaves_the_scope(here):
    recorded = changed(here, "process", "platform", "release", value="1.2.3-other")

    scope, found = scope_of(recorded, here)

    assert scope == "host"
    assert [one.what for one in found] == ["kernel release"]


def test_an_unknown_environment_proves_nothing_for_this_host(here):
    assert scope_of({}, here)[0] == "other-host"
    assert scope_of(here, {})[0] == "other-host"


def test_a_python_that_cannot_start_is_an_error_with_its_reason(tmp_path):
    broken = {**os.environ, "PYTHONHOME": str(tmp_path)}

    with pytest.raises(ReproduceError, match="cannot be read"):
        current_environment({}, broken)


def recorded_data(tmp_path, **files):
    project = tmp_path / "project"
    project.mkdir()
    for name, content in files.items():
        (project / name).write_text(content)
    into = tmp_path / "capture"
    digest_files([project / name for name in files], into, root=project)
    return project, json.loads((into / "data.json").read_text())


def test_unchanged_data_is_found_unchanged(tmp_path):
    _, data = recorded_data(tmp_path, a="1", b="2")

    assert DataCheck(data).changed(tmp_path / "restored") == []


def test_changed_and_missing_data_is_named(tmp_path):
    project, data = recorded_data(tmp_path, a="1", b="2", c="3")
    (project / "a").write_text("9")
    (project / "b").unlink()

    assert DataCheck(data).changed(tmp_path / "restored") == ["a (changed)", "b (missing)"]


def test_data_that_came_back_with_the_code_is_checked_there(tmp_path):
    project, data = recorded_data(tmp_path, a="1")
    restored = tmp_path / "restored"
    restored.mkdir()
    (restored / "a").write_text("other")
    check = DataCheck(data)

    assert check.changed(restored) == ["a (changed)"]
    assert check.outside_project(restored) == []

    (restored / "a").unlink()
    assert check.changed(restored) == []
    assert [item["path"] for item in check.outside_project(restored)] == [str(project / "a")]


def test_no_recorded_data_is_nothing_to_check(tmp_path):
    assert DataCheck({}).changed(tmp_path) == []
    assert DataCheck({}).identity == "unknown"
