"""Optimizers that stand by: made and in sight, with parameters that a loss reaches, and without a step."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from ..rules.engine.records import Json
from .optimizers import is_heard

_MOST = 32


class _Standing(NamedTuple):
    ref: weakref.ref[Any]
    kind: str
    parameters: frozenset[int]
    """What it owns, by `id`."""


class Standing:
    """Those that were seen and have not stepped since; keeps none of them alive.

    One that is gone counts as well: a function may have returned by the time it is asked.
    """

    def __init__(self) -> None:
        self._found: dict[int, _Standing] = {}

    def look(self, optimizers: Iterable[Any], stepped: Collection[int]) -> None:
        """Notes `optimizers`, without those in `stepped` (by `id`), and those of which nobody would know."""
        for optimizer in filter(is_heard, optimizers):
            key = id(optimizer)
            if key not in stepped and len(self._found) < _MOST:
                held = frozenset(id(p) for group in optimizer.param_groups for p in group["params"])
                self._found[key] = _Standing(weakref.ref(optimizer), type(optimizer).__name__, held)

    def stepped(self, optimizer: Any) -> None:
        """An optimizer steps: it stands by no longer, and neither does one that owns a parameter of it."""
        if self._found:
            own = {id(p) for group in optimizer.param_groups for p in group["params"]}
            for key, one in list(self._found.items()):
                if one.ref() is optimizer or own & one.parameters:
                    del self._found[key]

    def told(self, reached: Collection[int]) -> list[Json]:
        """`{"class", "parameters": how many of them some loss reached}` of each that a loss concerns."""
        rows: list[Json] = []
        for one in self._found.values():
            n = sum(1 for key in one.parameters if key in reached)
            if n:
                rows.append({"class": one.kind, "parameters": n})
        return rows
