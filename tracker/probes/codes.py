"""Tells a penalty on what is inside a model, such as the code of a sparse autoencoder, from other terms of a loss."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .composed import is_scaled
from .nodes import SHAPES, inputs, kind, only_input

MOST_NODES = 400
"""Nodes of the other terms that are looked through."""

_PEELED = SHAPES | {"Mean", "Sum", "Abs", "Norm", "LinalgVectorNorm", "Sqrt", "Pow", "Neg"}


def penalises_a_code(term: Any, others: Iterable[Any]) -> bool:
    """Whether a term is a sum or mean of what another term goes through, or of its size or square."""
    node, is_reduced = term, False
    for _ in range(16):
        what, behind = kind(node), inputs(node)
        is_square = what == "Mul" and len(behind) == 2 and behind[0] is behind[1]
        if what not in _PEELED and not is_square and not (what in ("Mul", "Div") and is_scaled(node)):
            break
        is_reduced |= what in ("Mean", "Sum", "Norm", "LinalgVectorNorm")
        node = behind[0] if is_square else only_input(node)
        if node is None:
            return False
    return is_reduced and kind(node) not in ("AccumulateGrad", "Sub", "Rsub", "Add") and _is_in(node, others)


def _is_in(node: Any, roots: Iterable[Any]) -> bool:
    queue, seen = list(roots), set[Any]()
    while queue and len(seen) < MOST_NODES:
        at = queue.pop(0)
        if at is node:
            return True
        if at not in seen:
            seen.add(at)
            queue += [following for following in inputs(at) if following is not None]
    return False
