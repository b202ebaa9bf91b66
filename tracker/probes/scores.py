"""Finds the accuracies that a script computes and only prints, among its variables. They are only read."""

from __future__ import annotations

import dis
import functools
import itertools
import re
import sys
from collections.abc import Iterator, Mapping
from types import CodeType, FrameType
from typing import Any

import torch

from ..frames import user_frames, variables

MOST = 8
"""Variables that are taken at a time."""

_MOST_FRAMES = 4
_NO_EFFECT = ("CACHE", "UNPACK_SEQUENCE", "EXTENDED_ARG", "NOP", "PRECALL")
_MOST_ITEMS, _MOST_ATTRIBUTES, _LONGEST = 32, 100, 10_000
_NAMED = re.compile(r"(?:^|_)(?:accs?|accuracy|accuracies)(?:$|_)")


def scores_in(frame: FrameType | None, lengths: dict[str, int] | None = None) -> dict[str, float]:
    """Numbers in the running frames that are called an accuracy (`val_acc`, `testAccuracy`), innermost frame first.

    Whole numbers are counts, and a variable that is set from itself (`acc += ...`) is a sum that is still to be
    divided: neither is taken. Of a list (`history["val_acc"]`) it is the last number, where just one was appended since
    the last time; `lengths` holds their lengths, and is brought up to date. What else dictionaries and objects hold may
    be of another model, trained before; only `self` is looked into for numbers.
    """
    found: dict[str, float] = {}
    known = lengths or {}
    now: dict[str, int] = {}
    for at in itertools.islice(user_frames(frame), _MOST_FRAMES):
        for path, name, value in _held(variables(at)):
            if not _NAMED.search(plain_name(name)):
                continue
            if type(value) is list:
                if len(value) <= _LONGEST:
                    now.setdefault(path, len(value))
                if known.get(path) != len(value) - 1:
                    continue
                value = value[-1]
            elif name in set_from_themselves(at.f_code) or path not in (name, f"self.{name}"):
                continue
            number = number_of(value)
            if isinstance(number, float):
                found.setdefault(name, number)
    if lengths is not None:
        lengths.update(now)
    return dict(list(found.items())[:MOST])


def _held(scope: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str, Any]]:
    """Path, name and value of variables, and of what dictionaries and plain objects among them hold."""
    for name, value in list(scope.items()):
        if type(name) is not str or name.startswith("__"):
            continue
        items = None
        if type(value) is dict:
            items = value if len(value) <= _MOST_ITEMS else None
        elif not path and type(value).__module__.partition(".")[0] not in ("builtins", "torch", "numpy"):
            attributes = None if isinstance(value, type) else getattr(value, "__dict__", None)
            items = attributes if type(attributes) is dict and len(attributes) <= _MOST_ATTRIBUTES else None
        if items is None:
            yield path + name, name, value
        elif path.count(".") < 2:
            yield from _held(items, f"{path}{name}.")


def number_of(value: Any) -> int | float | None:
    """A number on the CPU; whole ones as integers."""
    kind = type(value)
    if kind is int or kind is float:
        return value  # type: ignore[no-any-return]
    if kind is torch.Tensor:
        if value.dim() or not value.is_cpu or value.is_complex() or value.dtype is torch.bool or value.is_quantized:
            return None
        return value.item()  # type: ignore[no-any-return]
    if kind.__module__ == "numpy" and kind.__name__.startswith(("int", "float")):
        return int(value) if kind.__name__.startswith("int") else float(value)
    return None


@functools.lru_cache(maxsize=4096)
def plain_name(name: str) -> str:
    """A name in lower case with `_` between its words: `valAcc` is `val_acc`."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())


def results_in(frame: FrameType | None) -> list[str]:
    """The variables that the calls which are under way will be assigned to: `loss, acc = evaluate(...)` has two."""
    found: list[str] = []
    for at in itertools.islice(user_frames(frame), _MOST_FRAMES):
        found += _assigned_behind(at.f_code, at.f_lasti)
    return list(dict.fromkeys(found))[:MOST]


@functools.lru_cache(maxsize=256)
def _assigned_behind(code: CodeType, offset: int) -> tuple[str, ...]:
    """The variables that the result of the instruction at `offset` is stored in at once."""
    found: list[str] = []
    for instruction in dis.get_instructions(code):
        if instruction.offset <= offset or instruction.opname in _NO_EFFECT:
            continue
        if not instruction.opname.startswith("STORE_") or instruction.opname in ("STORE_ATTR", "STORE_SUBSCR"):
            break
        names = instruction.argval if isinstance(instruction.argval, tuple) else (instruction.argval,)
        found += [str(name) for name in names]
    return tuple(found)


@functools.lru_cache(maxsize=256)
def set_from_themselves(code: CodeType) -> frozenset[str]:
    """Variables, and attributes, that some line both reads and sets (`n = n + 1`), or adds to (`n += 1`)."""
    return _set_in(code, 0, sys.maxsize)[0]


def _set_in(code: CodeType, start: int, end: int) -> tuple[frozenset[str], frozenset[str]]:
    """What is set from itself by the instructions from the offset `start` up to `end`, and what is set anew."""
    found: set[str] = set()
    anew: set[str] = set()
    read: set[str] = set()
    line: int | None = None
    is_added = False
    for instruction in dis.get_instructions(code):
        if not start <= instruction.offset < end:
            continue
        positions = getattr(instruction, "positions", None)  # since Python 3.11
        at = positions.lineno if positions is not None else instruction.starts_line
        if at is not None and at != line:
            line, read = at, set()
        for is_set, name in _accessed(instruction):
            if not is_set:
                read.add(name)
            else:
                (found if name in read or is_added else anew).add(name)
        if instruction.opname not in (*_NO_EFFECT, "SWAP", "ROT_TWO"):  # `self.n += 1` has one behind the sum
            is_added = instruction.opname.startswith("INPLACE_") or instruction.argrepr == "+="
    return frozenset(found), frozenset(anew)


@functools.lru_cache(maxsize=256)
def set_in_loop(code: CodeType, offset: int) -> frozenset[str]:
    """The same for the body of the `for` loop whose next item is asked for at `offset`; not what it resets, too."""
    for instruction in dis.get_instructions(code):
        if instruction.offset == offset and instruction.opname == "FOR_ITER":
            grown, anew = _set_in(code, offset, int(instruction.argval))
            return grown - anew
    return frozenset()


def _accessed(instruction: dis.Instruction) -> list[tuple[bool, str]]:
    """(set rather than read, name); since Python 3.13 an instruction may access two."""
    names = instruction.argval if isinstance(instruction.argval, tuple) else (instruction.argval,)
    kinds = re.findall(r"(LOAD|STORE)_[A-Z]+", instruction.opname)
    if len(kinds) < len(names):
        kinds = kinds * len(names)
    return [(kind == "STORE", str(name)) for kind, name in zip(kinds, names, strict=False)]
