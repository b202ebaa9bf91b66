"""What identifies a batch: digests of its inputs, of its targets, and of its samples whatever their order."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch

from ..rules.engine.records import Json
from .digests import of_rows, of_values
from .drawn import input_of

_MOST_TENSORS = 8

_TARGETS = re.compile(r"(?:^|.*[/_])(?:label|labels|target|targets|tgt|y)")
"""Paths of what a model is to predict, in a batch with names."""


def described(tensors: Sequence[tuple[str, torch.Tensor]]) -> dict[str, Json]:
    """Digests of a batch: its inputs, its targets, and its samples whatever their order; empty of one on a device."""
    inputs, targets = _sides(tensors)
    found: dict[str, Json] = {}
    digest = of_values(inputs)
    if digest is not None:
        found["inputs"] = digest
        samples = input_of(inputs)
        found["samples"] = of_rows(samples) if samples is not None else None
    digest = of_values(targets)
    if digest is not None:
        found["targets"] = digest
    return found


def _sides(tensors: Sequence[tuple[str, torch.Tensor]]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Inputs and targets: what is named so; in a list of several, the last is the target."""
    tensors = tensors[:_MOST_TENSORS]
    is_target = [_TARGETS.fullmatch(path.lower()) is not None for path, _ in tensors]
    heads = [path.partition("/")[0] for path, _ in tensors]
    if not any(is_target) and len(set(heads)) > 1 and all(head.isdigit() for head in heads):
        is_target = [head == heads[-1] for head in heads]
    inputs = [tensor for (_, tensor), is_one in zip(tensors, is_target, strict=True) if not is_one]
    return inputs, [tensor for (_, tensor), is_one in zip(tensors, is_target, strict=True) if is_one]
