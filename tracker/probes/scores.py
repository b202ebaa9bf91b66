"""Finds the accuracies that a script computes and only prints, among its variables. They are only read."""

from __future__ import annotations

import dis
import functools
import itertools
import re
from types import CodeType, FrameType

from ..frames import user_frames, variables

MOST = 8
"""Variables that are taken at a time."""

_MOST_FRAMES = 4
_NO_EFFECT = ("CACHE", "UNPACK_SEQUENCE", "EXTENDED_ARG", "NOP", "PRECALL")
_NAMED = re.compile(r"(?:^|_)(?:acc|accuracy)(?:$|_)")


def scores_in(frame: FrameType | None) -> dict[str, float]:
    """Floats in the running frames that are called an accuracy (`val_acc`, `testAccuracy`), innermost frame first.

    Whole numbers are counts, and a variable that is set from itself (`acc += ...`) is a sum that is still to be
    divided: neither is taken.
    """
    found: dict[str, float] = {}
    for at in itertools.islice(user_frames(frame), _MOST_FRAMES):
        for name, value in variables(at).items():
            is_float = type(value) is float or type(value).__name__ in ("float64", "float32")
            if is_float and _NAMED.search(plain_name(name)) and name not in _set_from_themselves(at.f_code):
                found.setdefault(name, float(value))
    return dict(list(found.items())[:MOST])


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
def _set_from_themselves(code: CodeType) -> frozenset[str]:
    """Variables that some line both reads and sets."""
    found: set[str] = set()
    read: set[str] = set()
    line: int | None = None
    for instruction in dis.get_instructions(code):
        positions = getattr(instruction, "positions", None)  # since Python 3.11
        at = positions.lineno if positions is not None else instruction.starts_line
        if at is not None and at != line:
            line, read = at, set()
        name = str(instruction.argval)
        if instruction.opname.startswith("LOAD_"):
            read.add(name)
        elif instruction.opname.startswith("STORE_") and name in read:
            found.add(name)
    return frozenset(found)
