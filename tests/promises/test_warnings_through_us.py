"""Warnings that libraries send to the line of their caller name the same line when we stand in between."""

from __future__ import annotations

import sys
import traceback
import types
import warnings
from typing import Any

import pytest
import torch

from tests.trainings import loader, mlp, step, tracked
from tracker.guard import clean_traceback
from tracker.patching import Patches


@pytest.fixture
def library():
    """A library with a function that warns at a distance, wrapped by us as long as the test lasts."""
    found = types.ModuleType("library")

    def warns(levels: int) -> str:
        warnings.warn("mind the gap", UserWarning, stacklevel=levels)
        return "done"

    def fails() -> None:
        raise KeyError("from the library")

    found.warns, found.fails = warns, fails  # type: ignore[attr-defined]

    def make() -> None:
        for name in ("warns", "fails"):
            patches.replace(found, name, wrap)

    def wrap(original: Any) -> Any:
        def observed(*args: Any, **kwargs: Any) -> Any:
            return original(*args, **kwargs)

        return observed

    patches = Patches(make)
    patches.use()
    yield found
    patches.release()


def warned_at(library: Any, levels: int) -> tuple[str, int]:
    """Where a warning is said to come from."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        library.warns(levels)
    return caught[0].filename, caught[0].lineno


def test_a_warning_counts_past_our_wrapper(library):
    here = warned_at.__code__.co_firstlineno + 4
    line = sys._getframe().f_lineno + 1
    found = [warned_at(library, levels) for levels in (2, 3)]

    assert found == [(__file__, here), (__file__, line)]


def test_a_wrapper_is_still_ours_when_tracebacks_are_cleaned(library, monkeypatch):
    monkeypatch.setattr("tracker.guard._PACKAGE", __file__)  # where this wrapper is from
    with pytest.raises(KeyError) as caught:
        library.fails()
    before = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    clean_traceback(caught.value)

    assert "observed" in before
    assert "observed" not in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]


def test_a_hook_of_the_users_warns_at_the_line_that_goes_backward():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    model.register_full_backward_hook(lambda module, inputs, outputs: None)
    with tracked(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for x, y in loader():
            step(model, optimizer, x, y)

    assert {(w.filename, w.lineno) for w in caught} == {
        (step.__code__.co_filename, step.__code__.co_firstlineno + 4)
    }, [str(w.message) for w in caught]
