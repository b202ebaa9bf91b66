"""Has errors and warnings that come out of modules look as they would without hooks.

Where there are hooks, torch calls `forward` from a function of its own, `inner`: one frame more in each traceback, and
other lines that warnings are counted by.
"""

from __future__ import annotations

import dis
import functools
import linecache
import types
from typing import Any

from torch.nn.modules import module as _torch_modules

MODULE_CALL = _torch_modules.Module._call_impl.__code__
"""The code that calls `forward`, of every module."""

_HOOKS_OF_A_MODULE = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def as_without_hooks(error: BaseException | None, module: Any) -> None:
    """Takes the frame that torch adds where hooks are in place out of a traceback, which then prints as without us.

    With hooks `_call_impl` calls `inner`, which calls `forward`; without, it calls `forward` itself. (Up to Python 3.10
    the traceback is kept elsewhere while it is handled: there the frame stays.)
    """
    trace = error.__traceback__ if error is not None else None
    if error is None or trace is None or trace.tb_frame.f_code is not MODULE_CALL or trace.tb_next is None:
        return
    inner = trace.tb_next
    if inner.tb_frame.f_code.co_name != "inner" or inner.tb_next is None or _PLAIN_CALL is None:
        return
    if any(getattr(module, name, None) for name in _HOOKS_OF_A_MODULE) or any(
        key >= 0
        for hooks in (_torch_modules._global_forward_hooks, _torch_modules._global_forward_pre_hooks)
        for key in hooks
    ):
        return  # it would be there without us
    error.__traceback__ = types.TracebackType(inner.tb_next, trace.tb_frame, *_PLAIN_CALL)


def note_warnings_given() -> None:
    """Has a warning that was given with hooks in place count as given without them, or it would be printed twice.

    A warning is shown once for each line; one that is meant for the caller of a module is, with hooks, another line.
    """
    given = getattr(_torch_modules, "__warningregistry__", None)
    if given:
        for key in list(given):
            if isinstance(key, tuple) and len(key) == 3 and key[2] in _lines_without_hooks():
                given.setdefault((key[0], key[1], _lines_without_hooks()[key[2]]), given[key])


@functools.cache
def _lines_without_hooks() -> dict[int, int]:
    """For each line of a module's call that runs with hooks in place, the one that runs instead without them."""
    lines: dict[str, list[int]] = {}
    for number, line in enumerate(linecache.getlines(_torch_modules.__file__), 1):
        lines.setdefault(line.strip(), []).append(number)
    calls = {
        "result = forward_call(*args, **kwargs)": "return forward_call(*args, **kwargs)",
        "return inner()": "return self._call_impl(*args, **kwargs)",
    }
    return {
        number: lines[instead][0]
        for line, instead in calls.items()
        if instead in lines
        for number in lines.get(line, ())
    }


def _plain_call() -> tuple[int, int] | None:
    """Instruction and line of `_call_impl` at which it calls `forward` without hooks."""
    line, called = 0, None
    for at in dis.get_instructions(MODULE_CALL):
        start = getattr(at, "line_number", at.starts_line)  # from Python 3.13 on `starts_line` is a bool
        line = line if start is None else start
        if at.opname.startswith("CALL"):
            called = (at.offset, line)
        elif at.opname == "RETURN_VALUE":
            return called
    return None


_PLAIN_CALL = _plain_call()
