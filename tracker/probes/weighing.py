"""Finds losses of samples that are weighed each with each: (N, 1) times a mask or weights of shape (N,)."""

from __future__ import annotations

from typing import Any

import torch

from . import nodes
from .nodes import SHAPES, inputs, kind

_SUMMING = SHAPES | {"Add", "Sub", "Neg", "Mean", "Sum", "Mul", "Div", "Minimum", "Maximum"}
"""Operations that may stand between what is weighed and the loss.

A sum of the products a[i] * b[j] is the product of both sums: the weights do not tell samples apart any more, and
nobody wants that. Behind any other operation, a power, an exponential, each with each may be meant, as in a kernel.
"""
_MAX_NODES = 64


def weighed(root: Any) -> dict[str, Any] | None:
    """The first place near the loss where one number for each of N samples is weighed to become N x N.

    Where it is a product or a quotient with something without a gradient, of N values too, or a choice by a mask of N:
    the form of a `broadcast` of the graph, `by` telling the operation. None where there is no such place.
    """
    queue, seen = [root], {root}
    while queue and len(seen) < _MAX_NODES:
        node = queue.pop(0)
        found = _each_with_each(node)
        if found is not None:
            return found
        sides = [side for side in inputs(node) if side is not None]
        is_one = nodes.shape(node) == []
        if not is_one and (kind(node) not in _SUMMING or (kind(node) in ("Mul", "Div") and len(sides) > 1)):
            continue
        queue += [side for side in sides if side not in seen]
        seen.update(sides)
    return None


def _each_with_each(node: Any) -> dict[str, Any] | None:
    result = nodes.shape(node)
    if kind(node) not in _BY or result is None or len(result) != 2 or result[0] != result[1] or result[0] < 2:
        return None
    given = [nodes.shape(side) for side in inputs(node) if side is not None]
    factor = _factor(node)
    n = result[0]
    if factor is None or not given or [given[0], list(factor.shape)] not in ([[n, 1], [n]], [[n], [n, 1]]):
        return None
    if any(one not in (given[0], []) for one in given):
        return None
    return {
        "function": "the loss", "by": _BY[kind(node)], "outputs": given[0], "targets": list(factor.shape),
        "result": result,
    }  # fmt: skip


_BY = {"Mul": "product", "Div": "quotient", "Where": "choice"}


def _factor(node: Any) -> torch.Tensor | None:
    """What has no gradient in a product, a quotient or a choice: only its shape is asked for."""
    sides = inputs(node)
    if kind(node) == "Where":
        found = nodes.saved(node, "condition")
    elif len(sides) != 2 or (sides[0] is None) is (sides[1] is None):
        return None
    else:
        found = nodes.factor(node)
    return found if isinstance(found, torch.Tensor) else None
