"""The system's entropy that numpy takes for a generator made without a seed: noted, so that a re-run can have it again.

`numpy.random.default_rng()` and its kin begin with 128 bits that `numpy.random.bit_generator` asks of the system. They
are passed on as they are; no generator that a user can see is drawn from.
"""

from __future__ import annotations

import os
import sys

from ..on_import import when_imported

# Under `tracker run` this is loaded at the start of every Python process: what is slow to import waits.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

MOST = 1_000
"""Generators whose entropy is kept; a run that makes more of them without a seed cannot be repeated beyond."""

_MODULE = "numpy.random.bit_generator"


class Entropy:
    """What numpy was given since `watch`, in order; a re-run gives it again first."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, int]] = []
        """(number of bits, value) of each request in this process."""
        self.overflowed = 0
        self._again: list[tuple[int, int]] = []
        self._pid = os.getpid()
        self._watched = False

    def watch(self, again: Iterable[Iterable[int | str]] = ()) -> None:
        """Begin to note, as soon as numpy makes generators; give the stored requests `again` first."""
        self._again = [(int(bits), int(value)) for bits, value in again]
        if not self._watched:
            self._watched = True
            when_imported(_MODULE, self._wrap)

    def as_json(self) -> list[list[int | str]]:
        """The requests for `randomness.json`; values as text, since JSON readers lose long integers."""
        return [[bits, str(value)] for bits, value in self.taken]

    def _wrap(self) -> None:
        module: Any = sys.modules[_MODULE]
        given: Callable[[int], int] | None = getattr(module, "randbits", None)
        if given is None:  # another version of numpy: its generators are not repeatable, and nothing is touched
            return

        def randbits(k: int) -> int:
            if os.getpid() != self._pid:
                return given(k)  # a forked worker: its requests are its own
            value = self._again.pop(0)[1] if self._again and self._again[0][0] == k else given(k)
            if len(self.taken) < MOST:
                self.taken.append((k, value))
            else:
                self.overflowed += 1
            return value

        module.randbits = randbits


entropy = Entropy()
"""The one collector of this process."""
