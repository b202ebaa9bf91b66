"""Functions with a backward of the user's own, and what they are called with in an iteration."""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

CALLS = 2
"""Of each function, those that are checked."""
FUNCTIONS = 16
LARGEST = 1 << 22
"""Elements of an input; a call with more is passed over."""


@dataclass
class Call:
    """What a function was called with, in tensors of our own."""

    args: tuple[Any, ...]
    needs: tuple[bool, ...]
    """Whether a gradient of the argument is asked for."""


@dataclass
class Met:
    """A function, its calls, and the gradients that its backward was given."""

    function: Any
    calls: list[Call] = field(default_factory=list)
    upstream: list[tuple[Any, ...]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """As the user wrote it."""
        return str(self.function.__name__)


def functions_of_users() -> list[Any]:
    """Every subclass of `torch.autograd.Function` that no installed library has defined."""
    found: dict[Any, None] = {}
    queue: list[Any] = [torch.autograd.Function]
    while queue:
        for one in type.__subclasses__(queue.pop()):
            if one not in found:
                found[one] = None
                queue.append(one)
    return [one for one in found if _is_users(one)]


_OURS = __name__.rpartition(".drills")[0]
_INSTALLED = tuple(os.path.join(os.path.realpath(sysconfig.get_path(kind)), "") for kind in ("purelib", "platlib"))


def _is_users(function: Any) -> bool:
    module = str(function.__module__)
    if module.partition(".")[0] in ("torch", "functorch") or module.startswith(f"{_OURS}."):
        return False
    file = getattr(sys.modules.get(function.__module__), "__file__", None)
    return not isinstance(file, str) or not os.path.realpath(file).startswith(_INSTALLED)


@contextmanager
def met_functions() -> Iterator[list[Met]]:
    """Keeps what the user's functions are called with inside; the list is complete behind it.

    Their `forward` and `backward` are wrapped in place: `apply` may have been bound to another name long before.
    """
    every = [Met(one) for one in functions_of_users()]
    found: list[Met] = []
    originals = [
        (met, name, getattr(met.function, name))
        for met in every
        for name in ("forward", "backward")
        # A function has either a `backward` or a `vjp`: torch refuses one with both.
        if getattr(met.function, name) is not getattr(torch.autograd.Function, name)
    ]
    own = {(id(met), name): met.function.__dict__.get(name) for met, name, _ in originals}
    done: list[tuple[Met, str]] = []
    try:
        for met, name, original in originals:
            wrapped = _keeping(met, original) if name == "forward" else _hearing(met, original)
            try:
                setattr(met.function, name, staticmethod(wrapped))
            except (AttributeError, TypeError):  # a class that cannot be changed
                continue
            done.append((met, name))
        yield found
    finally:
        for met, name in done:
            before = own[id(met), name]
            if before is None:
                delattr(met.function, name)
            else:
                setattr(met.function, name, before)
        found += [met for met in every if met.calls][:FUNCTIONS]


def _keeping(met: Met, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def forward(*args: Any, **kwargs: Any) -> Any:
        # A context comes first, unless the function has a `setup_context`.
        given = args[1:] if args and isinstance(args[0], torch.autograd.function.FunctionCtx) else args
        needs = tuple(isinstance(one, torch.Tensor) and one.requires_grad for one in given)
        if any(needs) and len(met.calls) < CALLS and not torch.compiler.is_compiling():
            tensors = [one for one in given if isinstance(one, torch.Tensor)]
            if sum(one.numel() for one in tensors) <= LARGEST and all(type(one) in PLAIN for one in tensors):
                met.calls.append(Call(tuple(own_tensor(one) for one in given), needs))
        return original(*args, **kwargs)

    return forward


def _hearing(met: Met, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def backward(ctx: Any, *gradients: Any) -> Any:
        if len(met.upstream) < 2 * CALLS and not torch.compiler.is_compiling():
            met.upstream.append(tuple(own_tensor(one) for one in gradients))
        return original(ctx, *gradients)

    return backward


PLAIN = (torch.Tensor, torch.nn.Parameter)
"""Classes of tensors whose operations are torch's own."""


def own_tensor(value: Any) -> Any:
    """A copy of a tensor; anything else as it is."""
    return value.detach().clone() if type(value) in PLAIN else value
