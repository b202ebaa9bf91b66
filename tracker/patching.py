"""Replaces attributes of other people's modules while at least one run needs it, and puts them back after the last."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any


class Patches:
    """A set of replacements that several runs share: the first `use` makes them, the last `release` undoes them."""

    def __init__(self, make: Callable[[], None]) -> None:
        """`make()` makes all replacements, by `replace` and `on_undo`."""
        self._make = make
        self._lock = threading.RLock()
        self._users = 0
        self._undo: list[Callable[[], None]] = []

    def use(self) -> None:
        """Makes the replacements, or counts one more user of them."""
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._make()

    def release(self) -> None:
        """Takes one `use` back."""
        with self._lock:
            self._users -= 1
            while self._undo and not self._users:
                self._undo.pop()()

    def if_used(self, make: Callable[[], None]) -> None:
        """Makes a further replacement now, by `replace`, if the others are in place: one that had to wait."""
        with self._lock:
            if self._users:
                make()

    def on_undo(self, undo: Callable[[], None]) -> None:
        """Has `undo()` called when everything is put back."""
        self._undo.append(undo)

    def replace(self, owner: Any, name: str, wrap: Callable[[Any], Any]) -> None:
        """Puts `wrap(original)` in the place of `owner.name`; it must take and return what the original does."""
        original = getattr(owner, name)
        wrapper = functools.wraps(original)(wrap(original))
        setattr(owner, name, wrapper)

        def restore() -> None:
            # Someone may have wrapped us in the meantime: taking our wrapper out from under theirs would lose theirs.
            if getattr(owner, name, None) is wrapper:
                setattr(owner, name, original)

        self._undo.append(restore)
