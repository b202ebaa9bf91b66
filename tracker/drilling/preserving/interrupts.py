"""Ctrl-C while something is put back: it is heard when everything is back, and not in the middle."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

_UNBROKEN: set[CodeType] = set()
_waiting: list[int] = []
_before: Callable[[int, FrameType | None], Any] | None = None


def unbroken(function: Callable[..., Any]) -> Callable[..., Any]:
    """Marks a function as one that Ctrl-C must not break; from its first instruction on, which no flag would be."""
    _UNBROKEN.add(function.__code__)
    return function


def defer() -> bool:
    """Begins to hold back Ctrl-C inside what is `unbroken`; False where somebody does already, or it is not heard."""
    global _before
    if threading.current_thread() is not threading.main_thread():
        return False
    handler = signal.getsignal(signal.SIGINT)
    if handler is _heard or not callable(handler):
        return False
    _before = handler
    _waiting.clear()
    try:
        signal.signal(signal.SIGINT, _heard)
    except ValueError:  # an interpreter within the interpreter
        return False
    return True


def release() -> None:
    """Gives the signal back to whom it was before, unless somebody has taken it since."""
    if signal.getsignal(signal.SIGINT) is _heard:
        signal.signal(signal.SIGINT, _before)


def deliver(frame: FrameType | None) -> None:
    """Says now what was held back: raises `KeyboardInterrupt` where nobody has another use for Ctrl-C."""
    if _waiting and _before is not None:
        number = _waiting[0]
        _waiting.clear()
        _before(number, frame)


def _heard(number: int, frame: FrameType | None) -> None:
    at = frame
    while at is not None:
        if at.f_code in _UNBROKEN:
            _waiting.append(number)
            return
        at = at.f_back
    if _before is not None:
        _before(number, frame)
