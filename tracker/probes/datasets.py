"""What identifies data that are in memory: their values, and which rows were chosen. No code of the user's is run."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import ConcatDataset, Subset, TensorDataset

from ..rules.engine.records import Json
from .digests import of_array, of_values, of_whole_numbers
from .nested import is_measurable

_SUMMED_BYTES = 32 << 20
"""Bytes of a tensor up to which each value counts: some 10 ms, once for each loader. Of a larger one, some do."""

_MOST, _DEPTH, _MOST_INDICES = 16, 4, 1 << 20
"""Tensors of a data set, how deep others are looked for in it, and indices of a choice."""


def identity_of(dataset: Any) -> dict[str, Json] | None:
    """`content`, a digest of all tensors and arrays that the data set holds; `selection`, of which rows were chosen.

    `selection` does not depend on the order of the choice, and is None where nothing was chosen. None where the data
    set holds no tensor and no array: its samples come from elsewhere.
    """
    values: list[Any] = []
    selections: list[str] = []
    for kind, value in _parts(dataset, 0):
        if kind == "selection":
            told = _selection(value)
            if told is not None:
                selections.append(told)
        elif len(values) < _MOST:
            values.append(value)
    digests = [digest for value in values if (digest := _digest(value)) is not None]
    if not digests:
        return None
    content = hashlib.blake2b("|".join(digests).encode(), digest_size=8).hexdigest()
    return {"content": content, "selection": "|".join(selections) or None}


def _parts(dataset: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """(kind, value) of what a data set is made of: `values`, and `selection` for the indices of a subset."""
    held = getattr(dataset, "__dict__", None)
    if type(held) is not dict or depth > _DEPTH:
        return
    if isinstance(dataset, Subset):
        yield "selection", held.get("indices")
        yield from _parts(held.get("dataset"), depth + 1)
    elif isinstance(dataset, ConcatDataset):
        parts = held.get("datasets")
        for part in parts[:_MOST] if isinstance(parts, list) else ():
            yield from _parts(part, depth + 1)
    elif isinstance(dataset, TensorDataset):
        tensors = held.get("tensors")
        for tensor in tensors if isinstance(tensors, tuple) else ():
            yield "values", tensor
    else:
        for _, value in sorted(held.items(), key=lambda item: str(item[0])):
            if isinstance(value, torch.Tensor) or _is_array(value):
                yield "values", value
            elif isinstance(value, torch.utils.data.Dataset):
                yield from _parts(value, depth + 1)


def _digest(value: Any) -> str | None:
    if not isinstance(value, torch.Tensor):
        return of_array(value, _SUMMED_BYTES)
    return of_values([value], _SUMMED_BYTES) if is_measurable(value) else None


def _selection(indices: Any) -> str | None:
    if isinstance(indices, (list, tuple)):
        indices = indices[:_MOST_INDICES]
        return of_whole_numbers(indices) if all(type(index) is int for index in indices) else None
    if isinstance(indices, range):
        return of_whole_numbers(indices[:_MOST_INDICES])
    if isinstance(indices, torch.Tensor):
        return of_whole_numbers(indices.tolist()) if is_measurable(indices) and indices.is_cpu else None
    if _is_array(indices) and indices.dtype.kind in "iu":
        return of_whole_numbers(indices[:_MOST_INDICES])
    return None


def _is_array(value: Any) -> bool:
    numpy: Any = sys.modules.get("numpy")
    return numpy is not None and type(value) is numpy.ndarray
