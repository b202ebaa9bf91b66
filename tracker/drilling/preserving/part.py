"""One thing that can change, with a copy of how it was."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterable
from typing import Any

_OURS = __name__.rpartition(".drilling.")[0]

ATOMS: frozenset[type] = frozenset(
    {int, float, bool, str, bytes, complex, type(None), type(Ellipsis), type(NotImplemented), range, slice, type}
)
"""Types of values that cannot change and hold nothing that can."""


class Part:
    """A thing as it was when this was made. `restore` puts it back, and may be called again when it was interrupted."""

    __slots__ = ()

    def __init__(self, thing: Any) -> None:
        """Keeps the thing as it is now."""

    def restore(self) -> None:
        """Puts the thing back; writes nothing where nothing has changed."""
        raise NotImplementedError

    @staticmethod
    def inner(thing: Any) -> Iterable[tuple[str, Any]]:
        """(key, value) of what the thing holds, and what may change by itself."""
        return ()

    @staticmethod
    def digests(thing: Any) -> dict[str, str]:
        """By aspect: equal, within this process, for equal states of the thing."""
        raise NotImplementedError


def token(value: Any) -> str:
    """Says which value this is: an atom by what it says, anything else by its identity."""
    return repr(value) if type(value) in ATOMS else f"{type(value).__name__}@{id(value):x}"


def is_ours(module: str) -> bool:
    """Whether a module, by its name, is one of this package."""
    return module == _OURS or module.startswith(f"{_OURS}.")


def origin(value: Any) -> str:
    """The name of the module that a function, or what is bound to one, was written in; of another thing, its class."""
    while isinstance(value, (functools.partial, types.MethodType)):
        value = value.func if isinstance(value, functools.partial) else value.__func__
    if isinstance(value, types.FunctionType):  # a wrapper says that it is from where the wrapped one is
        return str(value.__globals__.get("__name__", "builtins"))
    if isinstance(value, (types.BuiltinFunctionType, type)):
        return value.__module__ or "builtins"
    return type(value).__module__
