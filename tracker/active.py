"""Which run is observed: several may be active in one process, nested or in different threads."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .session import Session

_local = threading.local()
all_sessions: list[Session] = []
"""Every active run, in the order of entry; only to be looked at. With one in it, that is the current one everywhere."""
_lock = threading.Lock()


def _forget_in_child() -> None:
    # A forked child (a data-loader worker, a process pool) is not the run: what it does is nobody's.
    global _lock
    all_sessions.clear()
    _lock = threading.Lock()
    if in_block():
        _local.stack = []


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)


def _stack() -> list[Session]:
    stack: list[Session] | None = getattr(_local, "stack", None)
    if stack is None:
        stack = _local.stack = []
    return stack


def enter(session: Session) -> Session | None:
    """Makes `session` the innermost run of this thread; returns the run around it."""
    stack = _stack()
    outer = stack[-1] if stack else None
    stack.append(session)
    with _lock:
        all_sessions.append(session)
    return outer


def leave(session: Session) -> None:
    """Ends the activity of `session`."""
    stack = _stack()
    if session in stack:
        stack.remove(session)
    with _lock:
        if session in all_sessions:
            all_sessions.remove(session)


def current() -> Session | None:
    """The innermost run of this thread; in a thread that entered none, the run entered last."""
    stack: list[Session] | None = getattr(_local, "stack", None)
    if stack:
        return stack[-1]
    return all_sessions[-1] if all_sessions else None


def sessions() -> list[Session]:
    """Every active run, in the order of entry."""
    return list(all_sessions)


def in_block() -> bool:
    """True when this thread is inside a tracked block."""
    return bool(getattr(_local, "stack", None))
