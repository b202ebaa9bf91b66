"""The guard law: a fault of ours never reaches the training.

It is recorded once in the run, and the part it came from is switched off. The user's exceptions pass through. With
`TRACKER_STRICT=1`, as in our own tests, ours are raised instead.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def is_strict() -> bool:
    """True when our own faults are to be raised, as in our tests."""
    return os.environ.get("TRACKER_STRICT") == "1"


class Guard:
    """Keeps the faults of one run's parts: `off` names the parts that are switched off, and why."""

    def __init__(self, record: Callable[[str, str], None]) -> None:
        """`record(part, reason)` is called once for each part that fails."""
        self.off: dict[str, str] = {}
        self._record = record

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Runs a block as part `name`: an exception in it switches the part off."""
        try:
            yield
        except Exception as error:
            self.fault(name, error)

    def fault(self, name: str, error: Exception) -> None:
        """Records that part `name` failed and switches it off; raises `error` itself in strict mode."""
        if is_strict():
            raise error
        if name not in self.off:
            where = traceback.extract_tb(error.__traceback__)[-1:]
            place = f" ({os.path.basename(where[0].filename)}:{where[0].lineno})" if where else ""
            self.off[name] = f"{type(error).__name__}: {error}{place}"
            try:
                self._record(name, self.off[name])
            except Exception:
                print(f"tracker: {name} is off: {self.off[name]}", file=sys.stderr)


def clean_traceback(error: BaseException) -> None:
    """Makes an exception, and those it came from, print as they would without us."""
    seen: set[int] = set()
    queue: list[BaseException | None] = [error]
    while queue:
        at = queue.pop()
        if at is not None and id(at) not in seen:
            seen.add(id(at))
            at.__traceback__ = without_our_frames(at.__traceback__)
            queue += [at.__cause__, at.__context__]


def without_our_frames(trace: TracebackType | None) -> TracebackType | None:
    """Takes the frames of this package out of a traceback, so that it prints as it would without us."""
    first = trace
    while first is not None and first.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        first = first.tb_next
    at = first
    while at is not None:
        after = at.tb_next
        while after is not None and after.tb_frame.f_code.co_filename.startswith(_PACKAGE):
            after = after.tb_next
        at.tb_next = after
        at = after
    return first
