"""Tensors inside what a loader gives, a model takes and a model returns, whatever they are wrapped in.

Nothing of the user's is called: dictionaries, lists and attributes are read as they are stored.
"""

from __future__ import annotations

from collections import UserDict
from collections.abc import Iterable
from types import TracebackType
from typing import Any

import torch

from .nodes import is_apart

MOST = 64
"""Tensors, and values that are looked into, of one nest; further ones are passed over."""

_DEPTH = 6

_PLAIN = (torch.Tensor, torch.nn.Parameter)


def tensors_in(value: Any, name: str = "") -> list[tuple[str, torch.Tensor]]:
    """(path, tensor) of every measurable tensor in a nest: `1`, `labels`, `boxes/0`; the path of a bare one is `name`.

    Measurable is a dense tensor with values. Lists, tuples, dictionaries, dataclasses and plain objects are looked
    into, in their own order.
    """
    if type(value) is torch.Tensor:
        return [(name, value)] if is_measurable(value) else []
    found: list[tuple[str, torch.Tensor]] = []
    queue: list[tuple[str, Any, int]] = [(name, value, 0)]
    looked = 0
    while queue and looked < MOST and len(found) < MOST:
        path, item, depth = queue.pop()
        looked += 1
        if isinstance(item, torch.Tensor):
            if is_measurable(item):
                found.append((path, item))
        elif depth < _DEPTH:
            inner = [(f"{path}/{key}" if path else key, part, depth + 1) for key, part in _parts(item)]
            queue += reversed(inner)
    return found


def _parts(item: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(item, (list, tuple)):
        items = list.__getitem__(item, slice(MOST)) if isinstance(item, list) else tuple.__getitem__(item, slice(MOST))
        return [(str(index), part) for index, part in enumerate(items)]
    if isinstance(item, dict):
        return [(str(key), part) for key, part in list(dict.items(item))[:MOST]]
    if isinstance(item, UserDict):
        return _parts(item.__dict__.get("data"))
    if item is None or isinstance(item, (str, bytes, int, float, complex, type, torch.nn.Module)):
        return ()
    attributes = getattr(item, "__dict__", None) if type(item).__module__ not in ("builtins", "numpy") else None
    return _parts(attributes) if type(attributes) is dict else ()


def is_measurable(tensor: torch.Tensor) -> bool:
    """True for a dense tensor with values whose operations are torch's own."""
    kind = type(tensor)
    if kind not in _PLAIN and kind.__torch_dispatch__ is not torch._C._disabled_torch_dispatch_impl:
        return False  # a distributed, fake or wrapped tensor: each operation would run its code
    return tensor.layout is torch.strided and not (tensor.is_meta or tensor.is_nested or tensor.is_quantized)


def may_compute() -> bool:
    """True when operations of ours are seen by nobody: no tracer, transform, dispatch mode or profiler is at work."""
    return is_apart() and not torch.compiler.is_compiling() and torch._C._get_tracing_state() is None


class Aside:
    """`with Aside():` operations leave no graph, and no mode or subclass of the user's hears of them."""

    __slots__ = ("_functions", "_grad")

    def __enter__(self) -> None:
        self._functions = torch._C.DisableTorchFunction()
        self._grad = torch.no_grad()
        self._functions.__enter__()
        self._grad.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._grad.__exit__(kind, error, trace)
        self._functions.__exit__(kind, error, trace)
