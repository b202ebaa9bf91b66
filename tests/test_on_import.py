"""Callbacks that wait for a module."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracker.on_import import when_imported


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Name of a module that can be imported and was not yet."""
    (tmp_path / "waited_for.py").write_text("value = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "waited_for"
    sys.modules.pop("waited_for", None)


def test_a_callback_comes_after_the_import_and_once(name: str) -> None:
    called = []
    when_imported(name, lambda: called.append(sys.modules[name].value))
    before = list(called)
    module = importlib.import_module(name)

    assert before == []
    assert called == [3]
    assert type(module.__loader__).__name__ == "SourceFileLoader"
    assert type(module.__spec__.loader).__name__ == "SourceFileLoader"


def test_who_only_asks_whether_a_module_is_there_does_not_end_the_wait(name: str) -> None:
    called = []
    when_imported(name, lambda: called.append(1))
    specs = [importlib.util.find_spec(name) for _ in range(2)]
    importlib.import_module(name)

    assert all(spec is not None and spec.origin.endswith("waited_for.py") for spec in specs)
    assert called == [1]


def test_nothing_is_left_among_the_finders_when_nobody_waits(name: str) -> None:
    before = list(sys.meta_path)
    when_imported(name, lambda: None)
    importlib.import_module(name)

    assert sys.meta_path == before


def test_a_loaded_module_is_told_at_once() -> None:
    called = []
    when_imported("json", lambda: called.append(1))

    assert called == [1]


def test_who_asks_during_the_callbacks_is_answered_at_once(name: str) -> None:
    called = []
    when_imported(name, lambda: when_imported(name, lambda: called.append(1)))
    importlib.import_module(name)

    assert called == [1]


def test_an_import_that_fails_shows_nothing_of_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_module.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    when_imported("broken_module", lambda: None)
    with pytest.raises(ZeroDivisionError) as caught:
        importlib.import_module("broken_module")

    assert str(caught.traceback[-1].path).endswith("broken_module.py")
    assert not [entry for entry in caught.traceback if str(entry.path).endswith("tracker/on_import.py")]
