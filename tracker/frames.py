"""Finds the user's objects in the frames that are running, so that nobody has to pass a model."""

from __future__ import annotations

import dis
import functools
import inspect
import sys
from collections.abc import Iterator, Mapping
from types import CodeType, FrameType
from typing import Any

_OWN = __name__.split(".")[0]
_MAX_FRAMES = 50
_LOCALS_ARE_CACHED = sys.version_info < (3, 13)


def user_frames(start: FrameType | None) -> Iterator[FrameType]:
    """Frames from `start` outwards, without those of this package and of torch."""
    frame, seen = start, 0
    while frame is not None and seen < _MAX_FRAMES:
        top = str(frame.f_globals.get("__name__", "")).split(".")[0]
        if top not in (_OWN, "torch"):
            yield frame
        frame, seen = frame.f_back, seen + 1


def variables(frame: FrameType) -> dict[str, Any]:
    """A copy of a frame's local variables that leaves nothing behind.

    Before Python 3.13 a frame caches the dictionary it hands out and with it every object in it, a loss and its graph
    included, until the frame ends: the cache is emptied again (it is a copy; the variables are not touched). A function
    that calls `locals()` may hold that very dictionary, which asking would refresh, and a traced one belongs to a
    debugger: both are passed over.
    """
    if not (_LOCALS_ARE_CACHED and frame.f_code.co_flags & inspect.CO_OPTIMIZED):
        return dict(frame.f_locals)
    if frame.f_trace is not None or _calls_locals(frame.f_code):
        return {}
    shared = frame.f_locals
    found = dict(shared)
    shared.clear()
    return found


@functools.lru_cache(maxsize=512)
def _calls_locals(code: CodeType) -> bool:
    """Whether a function calls `locals` or `vars()`; `vars(args)` is another matter."""
    if "locals" not in code.co_names and "vars" not in code.co_names:
        return False
    called = ""
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            called = str(instruction.argval)
            if called == "locals":
                return True
        elif instruction.opname in ("CALL", "CALL_FUNCTION"):
            if called == "vars" and instruction.arg == 0:
                return True
            called = ""
        elif instruction.opname not in ("PRECALL", "CACHE", "PUSH_NULL"):
            called = ""
    return False


def objects_in(start: FrameType | None, wanted: type | tuple[type, ...]) -> dict[str, Any]:
    """Instances of `wanted` among the variables of the running frames, and the attributes of plain objects there.

    Keys are the names they have there; the innermost frame wins. Nothing of the user's is called.
    """
    found: dict[str, Any] = {}
    known: set[int] = set()

    def take(name: str, value: object) -> None:
        if isinstance(value, wanted) and id(value) not in known:
            known.add(id(value))
            key = name
            while key in found:
                key += "'"
            found[key] = value

    for frame in user_frames(start):
        scopes: list[Mapping[str, Any]] = [variables(frame)]
        if frame.f_code.co_name != "<module>":
            scopes.append(frame.f_globals)
        for scope in scopes:
            for name, value in list(scope.items()):
                if name.startswith("__"):
                    continue
                take(name, value)
                kind = type(value)
                if isinstance(value, (list, tuple)) and len(value) <= 16:
                    for index, item in enumerate(value):
                        take(f"{name}[{index}]", item)
                elif isinstance(value, dict) and len(value) <= 16:
                    for key, item in list(value.items()):
                        take(f"{name}.{key}", item)
                elif kind.__module__ not in ("builtins", "torch") and not isinstance(value, (type, wanted)):
                    attributes = getattr(value, "__dict__", None) if not inspect.ismodule(value) else None
                    if type(attributes) is dict and len(attributes) <= 200:
                        for key, item in list(attributes.items()):
                            take(f"{name}.{key}", item)
    return found
