"""NumPy arrays that somebody holds."""

from __future__ import annotations

import sys
from typing import Any

from .part import Part, token


class ArrayPart(Part):
    """A `numpy.ndarray` that can be written to."""

    __slots__ = ("_kept", "_thing")

    def __init__(self, thing: Any) -> None:
        self._thing = thing
        # An array in a file is as large as the file, and writing to it would write there.
        is_own = thing.flags.writeable and type(thing).__name__ != "memmap"
        self._kept = thing.copy() if is_own else None

    def restore(self) -> None:
        if self._kept is not None:
            sys.modules["numpy"].copyto(self._thing, self._kept)

    @staticmethod
    def digests(thing: Any) -> dict[str, str]:
        if thing.dtype.hasobject:
            return {"values": ", ".join(map(token, thing.reshape(-1).tolist()))}
        return {"values": str(hash((thing.tobytes(), thing.shape, str(thing.dtype))))}
