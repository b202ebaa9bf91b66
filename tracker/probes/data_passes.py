"""Tells one pass over data from the next, by the iterators of the loaders."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..session import Session


class DataPasses:
    """The passes over data of one run, numbered."""

    def __init__(self, session: Session) -> None:
        self.latest: Callable[[], Any] = _nothing
        """The iterator that gave the latest batch; it is not kept alive."""
        self.drawn: tuple[int, int, Callable[[], object]] = (0, 0, _nothing)
        """What the latest batch was drawn from, as the clock knows it: data, number of the pass, iterator."""
        self._session = session
        self._numbers: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._count = 0

    def note(self, iterator: Any) -> None:
        """A pass over data begins, or goes on after a batch of another one."""
        # A number for each pass: the next epoch's iterator may live at the address of the last one's, and one with
        # persistent workers is used again, and counts from one again.
        number = self._numbers.get(iterator)
        if number is None or getattr(iterator, "_num_yielded", 0) == 1:
            self._count += 1
            number = self._numbers[iterator] = self._count
            self._session.note_loader(iterator)
        self.latest = weakref.ref(iterator)
        dataset = getattr(iterator, "_dataset", iterator)
        self.drawn = (id(dataset), number, self.latest)


def _nothing() -> None:
    """Stands for a reference to what is no longer there."""
