"""Tells outputs that are the hidden state of a recurrent layer: no value of it is beyond -1 and 1."""

from __future__ import annotations

from typing import Any

from . import nodes
from .nodes import SHAPES, inputs, kind

_JOINS = frozenset({"Stack", "Cat"})
_FUSED = frozenset({"MkldnnRnnLayer", "ThnnFusedLstmCell", "ThnnFusedGruCell"})
_CELL = 2
"""Which of its results is the state of the cells of an LSTM layer, which has no bound; 1 in a fused cell."""
_RELU = 0
"""The mode of a recurrent layer of cuDNN that ends in a ReLU; the others are tanh, LSTM and GRU."""


def is_hidden_state(node: Any, place: int = 0, *, is_stacked: bool = False, limit: int = 24) -> bool:
    """Whether result `place` of a node, views left out, is the hidden state of an LSTM, a GRU, or an RNN with tanh.

    Layers that torch makes of single operations are told by these: a stack of `tanh`, of `sigmoid(o) * tanh(c)`, or of
    `(h - n) * sigmoid(z) + n` with a tanh n. A `tanh` alone is none: it may be any layer's. Of what is stacked or
    joined, the first and the last are looked at.
    """
    for left in range(limit, 0, -1):
        if node is None:
            return False
        what = kind(node)
        if what in _JOINS:
            parts = {node.next_functions[0], node.next_functions[-1]} if node.next_functions else {(None, 0)}
            stacked = is_stacked or what == "Stack"
            return all(is_hidden_state(side, at, is_stacked=stacked, limit=left // 2) for side, at in parts)
        if what not in SHAPES:
            return _is_state(node, place, is_stacked)
        node, place = next(((side, at) for side, at in node.next_functions if side is not None), (None, 0))
    return False


def _is_state(node: Any, place: int, is_stacked: bool) -> bool:
    what = kind(node)
    if what in _FUSED:
        return place != (_CELL if what == "MkldnnRnnLayer" else 1)
    if what == "CudnnRnn":
        mode, projected = (nodes.saved(node, name) for name in ("mode", "proj_size"))
        return isinstance(mode, int) and mode != _RELU and projected == 0 and place != _CELL
    sides = inputs(node)
    if len(sides) != 2:
        return what == "Tanh" and is_stacked
    kinds = [kind(side) if side is not None else "" for side in sides]
    if what == "Mul":
        return sorted(kinds) == ["Sigmoid", "Tanh"]
    if what != "Add" or kinds != ["Mul", "Tanh"]:
        return False
    gated = [side for side in inputs(sides[0]) if side is not None]
    return any(kind(side) == "Sigmoid" for side in gated) and any(
        kind(side) == "Sub" and sides[1] in inputs(side) for side in gated
    )
