"""Whether a loss does nothing but bring two trained outputs together: then one point for every input is its optimum."""

from __future__ import annotations

from typing import Any

import torch

from . import nodes
from .between import Zone
from .nodes import LINEAR, SHAPES, inputs, kind
from .walk import weight_of

_DISTANCES = frozenset({"MseLoss", "SmoothL1Loss", "HuberLoss"})
_NORMS = frozenset({"Norm", "LinalgVectorNorm", "Sqrt"})
_PASSED = SHAPES | _DISTANCES | _NORMS | {"Mean", "Sum", "Neg", "Div", "Pow", "Abs", "Stack", "Cat"}
_ACTIVATIONS = frozenset({"Relu", "Tanh", "Gelu", "Elu", "LeakyRelu", "Silu", "NativeDropout"})
_MOST_EPS = 1e-3


def agreement(zone: Zone, root: Any) -> tuple[str, list[torch.Tensor]] | None:
    """`distance` or `similarity` where the loss is made of nothing else, of two outputs that both have a gradient;
    and the weights of the layers that made them: where one is never changed, it does no harm that it has a gradient.

    None where anything else takes part: a target without a gradient, a margin, a softmax over pairs, a term for the
    spread of the outputs, a sign that drives pairs apart, or outputs that end in a normalisation over the batch.
    """
    ends: dict[Any, None] = {}
    compared: list[tuple[Any, Any, str]] = []
    queue, seen = [(root, 1)], {root}
    while queue:
        node, sign = queue.pop()
        if len(seen) > len(zone.order) + 64 or nodes.is_opaque(node):
            return None
        what, sides = kind(node), [side for side in inputs(node) if side is not None]
        if _is_output(node):
            ends[node] = None
            continue
        way = sign
        if what in ("Sub", "MseLoss", "SmoothL1Loss", "HuberLoss"):
            if len(sides) != 2:
                return None  # a target
            if what == "Sub" and nodes.shape(node) == []:
                queue += _signed(sides, (sign, -sign), seen)
                continue
            compared.append((*sides, "distance") if sign > 0 else (*sides, "apart"))
        elif what in ("Rsub", "Neg"):
            way = -sign
        elif what == "Mul":
            if len(sides) == 2 and sides[0] is not sides[1]:
                compared.append((*sides, "similarity") if sign < 0 else (*sides, "apart"))
            elif len(sides) == 1:
                factor = _sign_of_factor(node)
                if factor is None:
                    return None
                way = sign if factor > 0 else -sign
        elif what == "Add":
            if len(sides) == 1 and not all(kind(user) in _NORMS for user in zone.users.get(node, [])):
                return None  # a target, or a margin
        elif what in ("ClampMin", "Clamp", "Maximum"):
            low = nodes.number(node, "min")
            if what != "Maximum" and not (isinstance(low, float) and 0.0 < low <= _MOST_EPS):
                return None
            if what == "Clamp" and nodes.number(node, "max") is not None:
                return None
        elif what not in _PASSED:
            return None
        queue += _signed(sides, (way,) * len(sides), seen)
    kinds = {what for _, _, what in compared}
    weights = [weight_of(_layer(end)) for end in ends]
    if not compared or "apart" in kinds or len(ends) < 2:
        return None
    known = [weight for weight in weights if weight is not None]
    return ("distance" if kinds == {"distance"} else "similarity", known) if len(known) == len(weights) else None


def _signed(sides: list[Any], signs: tuple[int, ...], seen: set[Any]) -> list[tuple[Any, int]]:
    fresh = [(side, sign) for side, sign in zip(sides, signs, strict=True) if side not in seen]
    seen.update(sides)
    return fresh


def _sign_of_factor(node: Any) -> float | None:
    """The sign of what a result is multiplied with, which must be one for all: 1 or -1; None where it is not."""
    other = nodes.factor(node)
    if other is None:
        return None
    if isinstance(other, (int, float)):
        return 1.0 if other > 0 else -1.0 if other < 0 else None
    if not other.is_cpu or not other.numel() or other.is_complex():
        return None
    low, high = (float(one) for one in other.aminmax())
    return 1.0 if low >= 0 < high else -1.0 if high <= 0 > low else None


def _is_output(node: Any) -> bool:
    """Whether a layer made this, with nothing but an activation behind it."""
    return _layer(node) is not None


def _layer(node: Any) -> Any:
    for _ in range(8):
        if node is None or kind(node) in LINEAR:
            return node
        if kind(node) not in _ACTIVATIONS and kind(node) not in SHAPES:
            return None
        node = next((side for side in inputs(node) if side is not None), None)
    return None
