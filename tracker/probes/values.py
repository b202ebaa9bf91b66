"""Computes what an operation of a loss gave, from what it saved: for a term whose value is nowhere else at hand."""

from __future__ import annotations

from typing import Any

import torch

from . import nodes
from .nodes import SHAPES, inputs, kind, only_input

MOST_ELEMENTS = 1 << 22
"""Elements that are computed with, at most, on a closely watched step: some milliseconds."""

_MAX_DEPTH = 24
_REDUCED = {1: "mean", 2: "sum"}


def value_of(node: Any) -> float | None:
    """The number that the operation at `node` gave, on the CPU; None where that takes more than a few operations.

    Penalties on weights, distances, cross entropies and means or sums of them are computed. Nothing of the user's runs.
    """
    found = _computed(node, 0)
    return float(found) if found is not None and found.numel() == 1 and not found.is_complex() else None


def _computed(node: Any, depth: int) -> torch.Tensor | None:
    if node is None or depth > _MAX_DEPTH:
        return None
    what = kind(node)
    if what == "AccumulateGrad":
        return _small(node.variable.detach())
    for name in ("result", "output"):
        if (saved := _small(nodes.saved(node, name))) is not None:
            return saved
    if what in ("Pow", "Abs"):
        return _of_self(node, what)
    if what in ("Sum", "Mean"):
        return _reduced(node, what, depth)
    if what == "NllLoss":
        return _nll(node)
    if what == "MseLoss":
        own, other = _small(nodes.saved(node, "self")), _small(nodes.saved(node, "target"))
        reduce = _REDUCED.get(int(node._saved_reduction))
        if own is None or other is None or reduce is None:
            return None
        squares = (own - other).square_()
        return squares.mean() if reduce == "mean" else squares.sum()
    if what == "Neg":
        inner = _computed(only_input(node), depth + 1)
        return -inner if inner is not None else None
    if what == "Mul":
        return _product(node, depth)
    if what in ("Add", "Sub") and all(side is not None for side in inputs(node)):
        sides = [_computed(side, depth + 1) for side in inputs(node)]
        factor = nodes.number(node, "alpha")
        if sides[0] is None or sides[1] is None or factor != 1:
            return None
        return sides[0] + sides[1] if what == "Add" else sides[0] - sides[1]
    return _computed(only_input(node), depth + 1) if what in SHAPES - {"Expand", "Repeat", "Slice", "Select"} else None


def _of_self(node: Any, what: str) -> torch.Tensor | None:
    own = _small(nodes.saved(node, "self"))
    if own is None or what == "Abs":
        return own.abs() if own is not None else None
    exponent = nodes.number(node, "exponent")
    return own.pow(exponent) if isinstance(exponent, float) else None


def _reduced(node: Any, what: str, depth: int) -> torch.Tensor | None:
    inner = _computed(only_input(node), depth + 1)
    sizes = nodes.shape(node)
    if inner is None or sizes is None or any(size != 1 for size in sizes):
        return None  # over some dimensions only
    return inner.sum() if what == "Sum" else inner.mean()


def _product(node: Any, depth: int) -> torch.Tensor | None:
    sides = inputs(node)
    own, other = _small(nodes.saved(node, "self")), _small(nodes.saved(node, "other"))
    if len(sides) == 2 and own is not None and other is not None:
        return own * other
    inner = _computed(only_input(node), depth + 1)
    factor = nodes.number(node, "other" if sides[0] is not None else "self")
    return inner * factor if inner is not None and factor is not None else None


def _nll(node: Any) -> torch.Tensor | None:
    logs, labels = _small(nodes.saved(node, "self")), nodes.saved(node, "target")
    weight, reduction = nodes.saved(node, "weight"), int(node._saved_reduction)
    if logs is None or not isinstance(labels, torch.Tensor) or reduction not in _REDUCED:
        return None
    ignored = nodes.signed(int(node._saved_ignore_index))
    return torch.nn.functional.nll_loss(
        logs, labels, weight=weight, ignore_index=ignored, reduction=_REDUCED[reduction]
    )


def _small(tensor: Any) -> torch.Tensor | None:
    """The tensor, if it is one that can be computed with here."""
    if not isinstance(tensor, torch.Tensor) or not tensor.is_cpu or tensor.layout is not torch.strided:
        return None
    return tensor if tensor.is_floating_point() and tensor.numel() <= MOST_ELEMENTS else None
