"""Outputs and targets of a distance that saves only their difference: `l1_loss`, and squares written by hand."""

from __future__ import annotations

from typing import Any

import torch

from . import nodes
from .nodes import SHAPES, below, inputs, kind, only_input

_MAX_NODES = 16
_FUNCTIONS = {"Abs": "l1_loss", "Pow": "mse_loss", "Mul": "mse_loss"}


def compared_by(root: Any) -> tuple[str, torch.Tensor, torch.Tensor] | None:
    """(function, outputs, targets) of a loss at node `root` that takes the size of one difference.

    The outputs are known where an activation made them, as those save their result; None elsewhere.
    """
    node = root
    for _ in range(_MAX_NODES):
        if node is None:
            return None
        what = kind(node)
        sides = [following for following in inputs(node) if following is not None]
        of = sides[0] if sides and all(side is sides[0] for side in sides) else None
        if of is None:
            return None
        if what in _FUNCTIONS and kind(of) == "Sub":
            return _sides(_FUNCTIONS[what], of, nodes.saved(node, "self"))
        node = of
    return None


def _sides(function: str, difference: Any, value: Any) -> tuple[str, torch.Tensor, torch.Tensor] | None:
    if only_input(difference) is None or len(inputs(difference)) != 2:
        return None  # both sides have a gradient: none is a target
    made = below(only_input(difference), SHAPES)
    outputs = nodes.saved(made, "result") if made is not None else None
    if not isinstance(outputs, torch.Tensor) or not isinstance(value, torch.Tensor):
        return None
    if not outputs.is_cpu or outputs.numel() != value.numel():
        return None
    outputs = outputs.reshape(value.shape)
    is_first = inputs(difference)[0] is not None
    return function, outputs, outputs - value if is_first else outputs + value
