"""Whether this is the machine and the data a run was recorded with."""

import json
import os
import sys

import pytest

from tracker.errors import ReproduceError
from tracker.reproduce.environment import (
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


def with_threads(environment, torch, affinity, **variables):
    copy = changed(environment, "process", "threads", value={"torch": torch, "affinity": affinity})
    return changed(copy, "process", "variables", value={"values": variables, "names": []})


@pytest.mark.parametrize(("cores", "torch"), [(64, 64), (64, 32), (1, 1)])
def test_a_number_of_threads_that_torch_chose_by_the_machine_is_told_first(here, cores, torch):
    recorded = changed(with_threads(here, torch, cores), "hardware", "cpu", "model", value="Some Other CPU")

    found = differences_before(recorded, with_threads(here, 7, 7))

    assert (found[0].what, found[0].recorded, found[0].current) == ("threads torch", torch, 7)
    assert found[0].can_change_bits
    assert "can change bits" in str(found[0])
    assert not is_rebuildable(found[0])


def test_a_number_of_threads_that_a_variable_or_the_script_had_set_is_set_again(here):
    by_variable = with_threads(here, 4, 4, OMP_NUM_THREADS="4")
    by_script = with_threads(here, 3, 64)

    assert differences_before(by_variable, with_threads(here, 7, 7)) == []
    assert differences_before(by_script, with_threads(here, 7, 7)) == []


@pytest.mark.parametrize(
    ("path", "value", "what"),
    [
        (("process", "torch"), {"version": "2.13.0", "cpu_capability": "AVX2"}, "torch CPU capability"),
        (("hardware", "cpu", "vector"), "avx512", "CPU vector unit"),
    ],
)
def test_another_instruction_set_can_change_bits(here, path, value, what):
    then = changed(here, *path, value=value)
    now = changed(here, *path, value={**value, "cpu_capability": "AVX512"} if isinstance(value, dict) else "avx2")

    found = differences_before(then, now)

    assert [(one.what, one.can_change_bits, is_rebuildable(one)) for one in found] == [(what, True, False)]


def test_a_local_build_of_torch_is_another_torch(here):
    then = changed(here, "process", "torch", value={"version": "2.13.0+cpu", "git": "a"})
    then["packages"] = [{"name": "torch", "version": "2.13.0+cpu", "origin": "index", "record": "1", "imported": True}]
    now = changed(here, "process", "torch", value={"version": "2.13.0", "git": "a"})
    now["packages"] = [{"name": "torch", "version": "2.13.0", "origin": "index", "record": "2", "imported": True}]

    found = differences_before(then, now)

    assert {one.what: (one.recorded, one.current) for one in found} == {
        "package torch": ("2.13.0+cpu", "2.13.0"),
        "torch version": ("2.13.0+cpu", "2.13.0"),
    }
    assert all(is_rebuildable(one) for one in found)


@pytest.mark.parametrize(
    ("name", "then", "now"),
    [
        ("matmul.allow_tf32", True, False),
        ("float32_matmul_precision", "high", "highest"),
        ("deterministic_algorithms", True, False),
    ],
)
def test_a_precision_switch_that_came_out_otherwise_takes_the_scope(here, name, then, now):
    recorded = changed(here, "process", "switches", value={name: then})
    again = changed(here, "process", "switches", value={name: now})

    scope, found = scope_of(recorded, again)

    assert scope == "other-host"
    assert [(one.what, one.can_change_bits) for one in found] == [(f"switch {name}", True)]


def test_an_environment_is_asked_of_the_interpreter_it_is_of(here):
    base = getattr(sys, "_base_executable", sys.executable)
    found = current_environment({}, {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, base)

    assert found["process"]["python"]["prefix_is_venv"] != here["process"]["python"]["prefix_is_venv"]


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
