"""Whether the configured indexes have every recorded distribution, without anything being installed."""

import os
import sys

import pytest

from tests.reproduce.wheels import make_wheel
from tracker.errors import ReproduceError
from tracker.reproduce import installer
from tracker.reproduce.pins import pins_of
from tracker.reproduce.resolve import resolve


@pytest.fixture(autouse=True)
def links(tmp_path, monkeypatch):
    """A link folder with `one` to `five`, and no index."""
    folder = tmp_path / "links"
    for name in ("one", "two", "three", "four", "five"):
        make_wheel(folder, name, "1.0", {f"{name}.py": ""})
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    return folder


def pins(*names, **more):
    found = [name.partition("=") for name in names]
    return pins_of({"packages": [{"name": name, "version": version or "1.0", **more} for name, _, version in found]})


def test_what_is_there_resolves_and_nothing_is_installed(tmp_path):
    found = resolve(pins("one", "two"), sys.executable, 60)

    assert (found.resolves, found.missing, found.why) == (True, (), "")
    assert not list(tmp_path.rglob("one.py"))


def test_all_that_is_missing_is_named_and_nothing_else():
    found = resolve(pins("one", "absent", "two", "three=2.0", "four", "five=1.0+local"), sys.executable, 60)

    assert found.resolves is False
    assert sorted(pin.text for pin in found.missing) == ["absent==1.0", "five==1.0+local", "three==2.0"]


def test_a_version_that_no_index_can_have_is_missing_and_does_not_hide_the_rest():
    found = resolve(pins("one", "linux=1.1build1", "absent"), sys.executable, 60)

    assert sorted(pin.text for pin in found.missing) == ["absent==1.0", "linux==1.1build1"]


def test_a_source_distribution_will_do_and_is_not_opened(links):
    (links / "one-2.0.tar.gz").write_bytes(b"never opened")

    assert resolve(pins("two", "one=2.0"), sys.executable, 60).resolves is True


def test_a_wheel_for_another_platform_will_not_do(links):
    (links / "one-1.0-py3-none-any.whl").rename(links / "one-1.0-cp27-cp27m-win32.whl")

    assert [pin.text for pin in resolve(pins("one", "two"), sys.executable, 60).missing] == ["one==1.0"]


def test_of_very_many_that_are_missing_only_some_are_looked_for_when_it_is_to_be_quick():
    many = pins("one", *(f"absent{number}" for number in range(12)))

    some, every = resolve(many, sys.executable, 60), resolve(many, sys.executable, 60, quick=False)

    assert 8 <= len(some.missing) < 12
    assert len(every.missing) == 12
    assert (some.is_all, every.is_all) == (False, True)


def test_an_index_that_does_not_answer_leaves_it_open_and_no_password_is_told(monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:hunter2@127.0.0.1:9/simple")
    found = resolve(pins("absent"), sys.executable, 60)

    assert found.resolves is None
    assert found.why.startswith("an index could not be reached")
    assert "hunter2" not in found.why


def test_a_time_that_is_over_leaves_it_open():
    found = resolve(pins("one"), sys.executable, 0.0)

    assert (found.resolves, found.why) == (None, "the indexes took too long to answer")


def test_a_repository_is_not_fetched_to_find_out():
    found = resolve(
        [*pins("one"), *pins("two", origin="vcs git+https://127.0.0.1:9/two@0123456789")], sys.executable, 60
    )

    assert found.resolves is None
    assert "two: from a repository" in found.why


def test_without_uv_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(installer, "uv_program", lambda: None)

    with pytest.raises(ReproduceError, match="pip install uv"):
        resolve(pins("one"), sys.executable, 60)
