"""A model in float64 for a while, without another copy of it: differences of a loss in float32 are mostly rounding."""

from __future__ import annotations

import dataclasses
import functools
import types
from collections import UserDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ..probes.nested import is_measurable

_DEPTH = 6
_MOST = 20_000
"""Values that are looked into, of all there is."""


@contextmanager
def in_double(*values: Any) -> Iterator[None]:
    """Every float tensor in the values (models, batches, functions that hold some) has float64 values inside.

    The tensors stay the same objects; afterwards they have the very storage they had before. New tensors are float64,
    too.
    """
    kept: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]] = []
    default = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        for tensor in tensors_held(values):
            kept.append((tensor, tensor.data, tensor.grad))
            tensor.grad = None
            tensor.data = tensor.data.to(torch.float64)
        yield
    finally:
        torch.set_default_dtype(default)
        for tensor, data, gradient in reversed(kept):
            tensor.data = data
            tensor.grad = gradient


def tensors_held(value: Any) -> list[torch.Tensor]:
    """Float tensors that are not float64 yet, once each: those whose values may be replaced."""
    found: dict[int, torch.Tensor] = {}
    seen: set[int] = set()
    queue: list[tuple[Any, int]] = [(value, 0)]
    while queue and len(seen) < _MOST:
        item, depth = queue.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, torch.Tensor):
            is_ours = is_measurable(item) and item.grad_fn is None and not item.is_inference()
            if is_ours and item.is_floating_point() and item.dtype != torch.float64:
                found[id(item)] = item
        elif depth < _DEPTH:
            queue += [(part, depth + 1) for part in _parts(item)]
    return list(found.values())


def _parts(item: Any) -> list[Any]:
    if isinstance(item, torch.nn.Module):
        # Submodules by `modules()`: however deep they are, they count as one level.
        return [value for module in item.modules() for value in module.__dict__.values()]
    if isinstance(item, dict):
        return list(item.values())
    if isinstance(item, (list, tuple, set, frozenset)):
        return list(item)
    if isinstance(item, functools.partial):
        return [item.func, *item.args, *item.keywords.values()]
    if isinstance(item, types.MethodType):
        return [item.__self__, item.__func__]
    if isinstance(item, types.FunctionType):
        cells = [cell.cell_contents for cell in item.__closure__ or () if _is_filled(cell)]
        return [*cells, *(item.__defaults__ or ())]
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        return list(vars(item).values()) if hasattr(item, "__dict__") else []
    if isinstance(item, UserDict):
        return [item.__dict__.get("data")]
    return []


def _is_filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:  # not filled yet
        return False
