"""Replaces attributes of other people's modules while at least one run needs it, and puts them back after the last."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

from .on_import import when_imported

_DYNAMO = "torch._dynamo.decorators"

_NOT_COUNTED = "importlib_bootstrap"
"""In the file name of our wrappers: `warnings.warn` passes over frames with both words in it when it counts up to its
`stacklevel`, so that a warning names the line that it names without us."""


def leave_no_frame(error: BaseException) -> None:
    """Takes the frame that catches `error` out of its traceback, which then prints as without us; a bare `raise` adds
    no other."""
    error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next


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
        wrapped = wrap(original)
        if isinstance(wrapped, FunctionType):
            wrapped.__code__ = _unnoticed(wrapped.__code__)
        wrapper = functools.wraps(original)(wrapped)
        setattr(owner, name, wrapper)

        def restore() -> None:
            # Someone may have wrapped us in the meantime: taking our wrapper out from under theirs would lose theirs.
            if getattr(owner, name, None) is wrapper:
                setattr(owner, name, original)

        self._undo.append(restore)


@functools.cache
def _unnoticed(code: CodeType) -> CodeType:
    """The code of a wrapper, such that warnings do not count it, and torch.compile does not compile it for itself.

    What stands behind a break of the graph is called as a frame of its own, and would be compiled as if it were the
    user's: one more in torch's counts, and one that may be compiled again and again, up to its limit. Inside a frame
    that is compiled, the wrapper is followed like any other function.
    """
    unnoticed = code.replace(co_filename=f"{code.co_filename}:{_NOT_COUNTED}")

    def skip() -> None:
        skip_code = getattr(sys.modules.get(_DYNAMO), "skip_code", None)
        if skip_code is not None:
            skip_code(unnoticed)

    when_imported(_DYNAMO, skip)
    return unnoticed
