"""Every random generator there is, the user's own as well, which no seed of torch, numpy or Python reaches.

What hangs on a model is kept with the model. A generator may also be a global of its module, or of the training loop.
"""

from __future__ import annotations

import gc
import random
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ..drilling.preserving.generators import global_generators

_SEED_BITS = 64
"""numpy draws 128 bits from the system where it is given no seed; nobody writes a seed of more than 64."""


class Generators:
    """The generators, and the way back to where they were found."""

    def __init__(self) -> None:
        self._found = [(one, _state(one)) for one in _all()]
        self._unseeded = [one for one, _ in self._found if not _is_seeded(one)]

    @property
    def unseeded(self) -> int:
        """Generators that begin with other numbers in each process."""
        return len(self._unseeded)

    def rewind(self) -> None:
        """To where they were when they were found."""
        for one, state in self._found:
            _set_state(one, state)

    def begin_anew(self, turn: int) -> None:
        """As in another process, one for each turn: only those that were never seeded give other numbers."""
        self.rewind()
        for one in self._unseeded:
            bits = one.bit_generator
            bits.state = type(bits)(turn).state


@contextmanager
def generators() -> Iterator[Generators]:
    """Finds the generators; afterwards each is where it was before."""
    found = Generators()
    try:
        yield found
    finally:
        found.rewind()


def _all() -> list[Any]:
    """The global ones, and those that some dictionary or closure holds: attributes and globals are in dictionaries."""
    kinds: list[type] = [random.Random]
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        kinds += [numpy.random.Generator, numpy.random.RandomState]
    found: dict[int, Any] = {id(one): one for _, one in global_generators()}
    for one in gc.get_objects():
        kind = type(one)
        if kind in kinds:
            found[id(one)] = one
        elif kind is dict and torch.Generator in map(type, list(one.values())):
            found.update((id(value), value) for value in list(one.values()) if type(value) is torch.Generator)
        elif kind is types.CellType:
            try:
                value = one.cell_contents
            except ValueError:  # not filled yet
                continue
            if type(value) is torch.Generator:
                found[id(value)] = value
    return list(found.values())


def _is_seeded(one: Any) -> bool:
    sequence = getattr(getattr(one, "bit_generator", None), "seed_seq", None)
    entropy = getattr(sequence, "entropy", None)
    return not isinstance(entropy, int) or entropy.bit_length() <= _SEED_BITS


def _state(one: Any) -> Any:
    if isinstance(one, torch.Generator):
        return one.get_state()
    if isinstance(one, random.Random):
        return one.getstate()
    return one.bit_generator.state if hasattr(one, "bit_generator") else one.get_state()


def _set_state(one: Any, state: Any) -> None:
    if isinstance(one, torch.Generator):
        one.set_state(state)
    elif isinstance(one, random.Random):
        one.setstate(state)
    elif hasattr(one, "bit_generator"):
        one.bit_generator.state = state
    else:
        one.set_state(state)
