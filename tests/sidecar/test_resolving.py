"""The question to the package indexes at the end of a run: asked once, in bounds, and told with the grade."""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from pathlib import Path

import pytest
from playing import make_spec

from tests.reproduce.wheels import make_wheel
from tracker.rundir import RunDir, home
from tracker.sidecar.proof import prove_restorable
from tracker.sidecar.resolving import OFF, begin, resolved


@pytest.fixture(autouse=True)
def links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A link folder with `one`, and no index."""
    make_wheel(tmp_path / "links", "one", "1.0", {"one.py": ""})
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.delenv(OFF)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    return tmp_path / "links"


def capture(folder: Path, *packages: str, unused: tuple[str, ...] = ()) -> Path:
    """A capture folder with an environment of these packages."""
    rows = [
        {"name": name, "version": "1.0", "origin": "index", "imported": name not in unused}
        for name in (*packages, *unused)
    ]
    python = {"version": platform.python_version(), "implementation": "CPython"}
    folder.mkdir(parents=True, exist_ok=True)
    content = {"digest": "d", "process": {"python": python}, "packages": rows}
    (folder / "environment.json").write_text(json.dumps(content))
    return folder


def test_what_was_learnt_is_not_asked_again(tmp_path: Path, links: Path) -> None:
    folder = capture(tmp_path / "capture", "one")
    first = resolved(folder, {})
    shutil.rmtree(links)

    assert first == {"resolves": True, "missing": [], "why": ""}
    assert resolved(folder, {}) == first


def test_what_was_asked_for_at_the_start_is_there_at_the_end(tmp_path: Path, links: Path) -> None:
    folder = capture(tmp_path / "capture", "one")
    begin(folder, {})
    deadline = time.monotonic() + 120
    while not list((home() / "resolved").glob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    shutil.rmtree(links)

    assert resolved(folder, {}, seconds=0.0)["resolves"] is True


def test_what_is_missing_is_named_unless_the_run_had_not_imported_it(tmp_path: Path) -> None:
    needed = resolved(capture(tmp_path / "a", "one", "absent"), {})
    unused = resolved(capture(tmp_path / "b", "one", unused=("absent",)), {})

    assert (needed["resolves"], needed["missing"]) == (False, ["absent==1.0"])
    assert (unused["resolves"], unused["missing"]) == (True, [])


def test_so_many_missing_that_nobody_counted_leave_it_open(tmp_path: Path) -> None:
    found = resolved(capture(tmp_path / "a", "one", unused=tuple(f"absent{number}" for number in range(12))), {})

    assert (found["resolves"], found["missing"]) == (None, [])
    assert "too many" in found["why"]


def test_other_settings_of_pip_are_another_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = capture(tmp_path / "capture", "one", "absent")
    before = resolved(folder, {})
    make_wheel(tmp_path / "more", "absent", "1.0", {"absent.py": ""})
    monkeypatch.setenv("PIP_FIND_LINKS", f"{tmp_path / 'links'} {tmp_path / 'more'}")

    assert before["resolves"] is False
    assert resolved(folder, {})["resolves"] is True


def test_nothing_is_asked_when_that_is_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = capture(tmp_path / "capture", "one")
    by_setting = resolved(folder, {"resolve": False})
    monkeypatch.setenv(OFF, "1")

    assert by_setting == resolved(folder, {}) == {"resolves": None, "missing": [], "why": "not tried: switched off"}
    assert not (home() / "resolved").exists()


def test_nobody_waits_longer_than_agreed(tmp_path: Path) -> None:
    found = resolved(capture(tmp_path / "capture", "one"), {}, seconds=0.0)

    assert found == {"resolves": None, "missing": [], "why": "not tried: the indexes took more than 0 s"}


def test_packages_that_are_not_on_record_leave_it_open(tmp_path: Path) -> None:
    (tmp_path / "environment.json").write_text("[]")

    assert resolved(tmp_path, {})["why"] == "not tried: the packages cannot be read: environment.json holds no object"
    assert resolved(tmp_path / "nowhere", {})["resolves"] is None

    (tmp_path / "environment.json").write_text('{"process": 5, "packages": [{"name": 3}]}')

    assert resolved(tmp_path, {})["resolves"] is None


def test_no_password_of_an_index_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:hunter2@127.0.0.1:9/simple")
    found = resolved(capture(tmp_path / "capture", "absent"), {})
    kept = "".join(path.read_text() for path in (home() / "resolved").iterdir())

    assert found["resolves"] is None
    assert "could not be reached" in found["why"]
    assert "hunter2" not in kept


def proof_of(cwd: Path, *packages: str) -> dict[str, object]:
    from tracker.capture.code import capture_code

    (cwd / "train.py").write_text("print(1)\n")
    rundir = RunDir.create(make_spec(cwd, None, script=str(cwd / "train.py")))
    code = capture_code(cwd, rundir.capture, script=cwd / "train.py", cwd=cwd)
    capture(rundir.capture, *packages)
    captured = {"code": code.facts, "environment": {"digest": "d"}, "gaps": []}
    return prove_restorable(rundir, captured)


def test_a_run_whose_packages_can_be_had_is_restorable_anywhere(cwd: Path) -> None:
    proof = proof_of(cwd, "one")

    assert (proof["grade"], proof["scope"], proof["meaning"]) == ("R2", "host", "captured and restorable")
    assert proof["proof"]["environment"]["resolves"] is True


def test_a_package_no_index_has_stands_beside_the_grade_and_does_not_lower_it(cwd: Path) -> None:
    proof = proof_of(cwd, "one", "absent")

    assert (proof["grade"], proof["reproducible"]) == ("R2", "true")
    assert proof["meaning"] == ("captured and restorable; environment: host only (no configured index has absent==1.0)")
