"""What names are bound to: attributes, slots, and the variables that functions close over."""

from __future__ import annotations

import types
import weakref
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import torch

from .containers import DictPart, inner_of, places
from .part import ATOMS, Part, token

_ABSENT = object()


class FixedPart(Part):
    """What cannot change itself, only what it holds: a tuple, a frozen set, a bound method, a partial, a function."""

    __slots__ = ()

    def restore(self) -> None:
        pass

    @staticmethod
    def inner(thing: Any) -> Iterable[tuple[str, Any]]:
        if isinstance(thing, (tuple, frozenset)):
            return places(thing)
        if isinstance(thing, types.MethodType):
            return [("self", thing.__self__), ("function", thing.__func__)]
        if isinstance(thing, types.FunctionType):
            defaults = (*(thing.__defaults__ or ()), *(thing.__kwdefaults__ or {}).values())
            return places((*(thing.__closure__ or ()), *defaults))
        return inner_of((("function", thing.func), ("arguments", thing.args), ("keywords", thing.keywords)))

    @staticmethod
    def digests(thing: Any) -> dict[str, str]:
        return {}


class CellPart(Part):
    """A variable of a function around: `nonlocal`."""

    __slots__ = ("_kept", "_thing")

    def __init__(self, thing: types.CellType) -> None:
        self._thing = thing
        self._kept = _content(thing)

    def restore(self) -> None:
        if _content(self._thing) is self._kept:
            return
        if self._kept is _ABSENT:
            del self._thing.cell_contents
        else:
            self._thing.cell_contents = self._kept

    @staticmethod
    def inner(thing: types.CellType) -> Iterable[tuple[str, Any]]:
        content = _content(thing)
        return [("variable", content)] if type(content) not in ATOMS and content is not _ABSENT else []

    @staticmethod
    def digests(thing: types.CellType) -> dict[str, str]:
        return {"variable": token(_content(thing))}


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not bound yet
        return _ABSENT


class AttributesPart(Part):
    """The attributes of an object, and of a module its class, which lazy and parametrized modules change.

    A module has a dozen dictionaries of hooks, most of them empty: those are emptied again, and no parts of their own.
    """

    __slots__ = ("_class", "_empty", "_kept", "_slots", "_thing")

    def __init__(self, thing: Any) -> None:
        self._thing = thing
        self._class = type(thing) if isinstance(thing, torch.nn.Module) else None
        attributes = _attributes(thing)
        self._kept = DictPart(attributes)
        self._empty = [one for one in attributes.values() if type(one) in _PLAIN and not one]
        self._slots = [(name, _slot(thing, name)) for name in _slot_names(type(thing))]

    def restore(self) -> None:
        if self._class is not None and type(self._thing) is not self._class:
            self._thing.__class__ = self._class
        self._kept.restore()
        for one in self._empty:
            if one:
                one.clear()
        for name, value in self._slots:
            if _slot(self._thing, name) is value:
                continue
            if value is _ABSENT:
                object.__delattr__(self._thing, name)
            else:
                object.__setattr__(self._thing, name, value)

    @staticmethod
    def inner(thing: Any) -> Iterable[tuple[str, Any]]:
        items = _attributes(thing).items()
        found = inner_of((key, one) for key, one in items if type(one) not in _PLAIN or one)
        for name in _slot_names(type(thing)):
            value = _slot(thing, name)
            if value is not _ABSENT and type(value) not in ATOMS:
                found.append((name, value))
        return found

    @staticmethod
    def digests(thing: Any) -> dict[str, str]:
        found = {"class": token(type(thing))} if isinstance(thing, torch.nn.Module) else {}
        found.update({f".{name}": token(value) for name, value in _attributes(thing).items()})
        found.update({f".{name}": token(_slot(thing, name)) for name in _slot_names(type(thing))})
        return found


_PLAIN = (dict, OrderedDict, set)


def _attributes(thing: Any) -> dict[str, Any]:
    """The dictionary of its attributes; an empty one, which nobody else has, where it has none."""
    try:
        found = object.__getattribute__(thing, "__dict__")
    except AttributeError:
        return {}
    return found if type(found) is dict else {}


_SLOTS: weakref.WeakKeyDictionary[type, tuple[str, ...]] = weakref.WeakKeyDictionary()


def _slot_names(kind: type) -> tuple[str, ...]:
    found = _SLOTS.get(kind)
    if found is None:
        names = [name for base in kind.__mro__ for name, one in vars(base).items() if _is_slot(base, one)]
        found = _SLOTS[kind] = tuple(dict.fromkeys(names))
    return found


def _is_slot(base: type, value: Any) -> bool:
    return "__slots__" in vars(base) and isinstance(value, types.MemberDescriptorType)


def _slot(thing: Any, name: str) -> Any:
    try:
        return object.__getattribute__(thing, name)
    except AttributeError:
        return _ABSENT


class ScriptPart(Part):
    """The attributes of a module of TorchScript, which are not Python's; its tensors are parts of their own."""

    __slots__ = ("_kept", "_thing")

    def __init__(self, thing: Any) -> None:
        self._thing = thing._c
        self._kept = _script_values(thing)

    def restore(self) -> None:
        for name, value in self._kept.items():
            if self._thing.getattr(name) != value:
                self._thing.setattr(name, value)

    @staticmethod
    def inner(thing: Any) -> Iterable[tuple[str, Any]]:
        tensors = [*thing.named_parameters(recurse=False), *thing.named_buffers(recurse=False)]
        return [*tensors, *thing.named_children()]

    @staticmethod
    def digests(thing: Any) -> dict[str, str]:
        return {f".{name}": repr(value) for name, value in _script_values(thing).items()}


def _script_values(thing: Any) -> dict[str, Any]:
    """Attributes that are no tensors: numbers, texts, and lists of them, as copies."""
    # A traced module has its attributes under the same name; one that was loaded from a file says them less openly.
    names = {name: None for name in ("training",) if thing._c.hasattr(name)}
    concrete = getattr(thing, "_concrete_type", None)
    names.update(dict.fromkeys(concrete.get_attributes() if concrete is not None else ()))
    values = {name: thing._c.getattr(name) for name in names if thing._c.hasattr(name)}
    return {name: value for name, value in values.items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value)) and all(map(_is_plain, value.values()))
    return type(value) in ATOMS
