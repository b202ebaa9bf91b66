"""Tells a penalty on what is inside a model, such as the code of a sparse autoencoder, from other terms of a loss."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .composed import is_scaled
from .nodes import SHAPES, behind, inputs, kind, only_input

MOST_NODES = 400
"""Nodes of the other terms that are looked through."""

_PEELED = SHAPES | {"Mean", "Sum", "Abs", "Norm", "LinalgVectorNorm", "Sqrt", "Pow", "Neg"}


def penalises_a_code(term: Any, others: Iterable[Any]) -> bool:
    """Whether a term is a sum or mean of what another term goes through, or of its size or square."""
    node, is_reduced = term, False
    for _ in range(16):
        what, sides = kind(node), inputs(node)
        is_square = what == "Mul" and len(sides) == 2 and sides[0] is sides[1]
        if what not in _PEELED and not is_square and not (what in ("Mul", "Div") and is_scaled(node)):
            break
        is_reduced |= what in ("Mean", "Sum", "Norm", "LinalgVectorNorm")
        node = sides[0] if is_square else only_input(node)
        if node is None:
            return False
    if not is_reduced or kind(node) in ("AccumulateGrad", "Sub", "Rsub", "Add"):
        return False
    return node in behind(others, MOST_NODES)
