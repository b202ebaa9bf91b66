"""What is in dictionaries, lists and sets.

Everything is put back into the very same container: others hold references to it, such as the handle of a hook to its
dictionary. Values are compared by identity, as a comparison of tensors would compute.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from operator import is_
from typing import Any

import torch

from .part import ATOMS, Part, is_ours, origin, token

_MOST = 10_000
"""Values of one container that are looked into: more are data that hangs on a model, such as a replay buffer."""


def inner_of(items: Iterable[tuple[Any, Any]]) -> list[tuple[str, Any]]:
    """(key, value) of what may change by itself."""
    found = [(str(key) if type(key) in ATOMS else token(key), one) for key, one in items if type(one) not in ATOMS]
    return found[:_MOST]


class DictPart(Part):
    """A dictionary: what is in it, in which order.

    A function of ours that was taken out of it is not put back: it was a hook, and whoever set it has done with it.
    """

    __slots__ = ("_kept", "_thing")

    def __init__(self, thing: dict[Any, Any]) -> None:
        self._thing = thing
        self._kept = list(_items(thing))

    def restore(self) -> None:
        now = list(_items(self._thing))
        if len(now) == len(self._kept) and all(
            key is before and value is kept for (key, value), (before, kept) in zip(now, self._kept, strict=True)
        ):
            return
        base: Any = OrderedDict if isinstance(self._thing, OrderedDict) else dict
        self._kept = list(_without_ours(self._kept, now))
        base.clear(self._thing)
        for key, value in self._kept:
            base.__setitem__(self._thing, key, value)

    @staticmethod
    def inner(thing: dict[Any, Any]) -> Iterable[tuple[str, Any]]:
        return inner_of(_items(thing)) if len(thing) else ()

    @staticmethod
    def digests(thing: dict[Any, Any]) -> dict[str, str]:
        return {"items": ", ".join(f"{token(key)}: {token(value)}" for key, value in _items(thing))}


class GlobalHooksPart(Part):
    """A dictionary of hooks of all modules, or of all optimizers; ours come and go, whatever drill is under way."""

    __slots__ = ("_kept", "_thing")

    def __init__(self, thing: dict[Any, Any]) -> None:
        self._thing = thing
        self._kept = _users(thing)

    def restore(self) -> None:
        now = _users(self._thing)
        for key in [key for key in now if self._kept.get(key) is not now[key]]:
            del self._thing[key]
        self._thing.update({key: value for key, value in self._kept.items() if now.get(key) is not value})

    @staticmethod
    def digests(thing: dict[Any, Any]) -> dict[str, str]:
        return {"items": ", ".join(f"{token(key)}: {token(value)}" for key, value in _users(thing).items())}


def _users(hooks: dict[Any, Any]) -> dict[Any, Any]:
    return {key: value for key, value in hooks.items() if not _is_our_function(value)}


def _without_ours(kept: list[tuple[Any, Any]], now: list[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    """What is to be put back: in the place of a function of ours that is gone, what is there now."""
    held = {id(value) for _, value in now}
    for key, value in kept:
        if id(value) in held or not _is_our_function(value):
            yield key, value
        else:
            yield from ((key, value) for other, value in now if other is key)


def _is_our_function(value: Any) -> bool:
    return callable(value) and not isinstance(value, (torch.nn.Module, torch.Tensor)) and is_ours(origin(value))


def _items(thing: dict[Any, Any]) -> Iterable[tuple[Any, Any]]:
    """As they are stored, whatever a subclass makes of it."""
    return OrderedDict.items(thing) if isinstance(thing, OrderedDict) else dict.items(thing)


class ListPart(Part):
    """A list."""

    __slots__ = ("_kept", "_thing")

    def __init__(self, thing: list[Any]) -> None:
        self._thing = thing
        self._kept = list.__getitem__(thing, slice(None))

    def restore(self) -> None:
        if len(self._thing) != len(self._kept) or not all(map(is_, list.__iter__(self._thing), self._kept)):
            list.__setitem__(self._thing, slice(None), self._kept)

    @staticmethod
    def inner(thing: list[Any]) -> Iterable[tuple[str, Any]]:
        return places(list.__getitem__(thing, slice(None)))

    @staticmethod
    def digests(thing: list[Any]) -> dict[str, str]:
        return {"items": ", ".join(map(token, list.__iter__(thing)))}


def places(values: Iterable[Any]) -> list[tuple[str, Any]]:
    """(index, value) of what may change by itself."""
    held = list(values)
    if ATOMS.issuperset(map(type, held)):
        return []
    return [(str(index), value) for index, value in enumerate(held) if type(value) not in ATOMS][:_MOST]


class DequePart(Part):
    """A queue with two ends."""

    __slots__ = ("_kept", "_thing")

    def __init__(self, thing: deque[Any]) -> None:
        self._thing = thing
        self._kept = list(deque.__iter__(thing))

    def restore(self) -> None:
        if len(self._thing) != len(self._kept) or not all(map(is_, deque.__iter__(self._thing), self._kept)):
            deque.clear(self._thing)
            deque.extend(self._thing, self._kept)

    @staticmethod
    def inner(thing: deque[Any]) -> Iterable[tuple[str, Any]]:
        return places(deque.__iter__(thing))

    @staticmethod
    def digests(thing: deque[Any]) -> dict[str, str]:
        return {"items": ", ".join(map(token, deque.__iter__(thing)))}


class SetPart(Part):
    """A set."""

    __slots__ = ("_kept", "_thing")

    def __init__(self, thing: set[Any]) -> None:
        self._thing = thing
        self._kept = set.copy(thing)

    def restore(self) -> None:
        if set.__ne__(self._thing, self._kept):
            set.clear(self._thing)
            set.update(self._thing, self._kept)

    @staticmethod
    def inner(thing: set[Any]) -> Iterable[tuple[str, Any]]:
        return [(token(value), value) for value in set.__iter__(thing) if type(value) not in ATOMS]

    @staticmethod
    def digests(thing: set[Any]) -> dict[str, str]:
        return {"items": ", ".join(sorted(map(token, set.__iter__(thing))))}


class BytesPart(Part):
    """A bytearray."""

    __slots__ = ("_kept", "_thing")

    def __init__(self, thing: bytearray) -> None:
        self._thing = thing
        self._kept = bytes(thing)

    def restore(self) -> None:
        if self._thing != self._kept:
            self._thing[:] = self._kept

    @staticmethod
    def digests(thing: bytearray) -> dict[str, str]:
        return {"bytes": str(hash(bytes(thing)))}
