"""Tells a focal loss whose factor stands on the wrong term: the samples that are known weigh most, and not least."""

from __future__ import annotations

from typing import Any

from . import nodes
from .between import Zone
from .nodes import SHAPES, inputs, kind, only_input

_PEELED = SHAPES | {"Clamp", "ClampMin", "Neg"}
_PASSED = SHAPES | {"Add", "Clamp", "ClampMin"}
"""Between a logarithm and the probability it is taken of: `log(p + 1e-8)`. That may be a sum itself."""
_LOGARITHMS = frozenset({"Gather", "Index", "LogSoftmax", "LogSigmoid", "Log"})
_LOSSES = frozenset({"NllLoss", "NllLoss2D", "BinaryCrossEntropyWithLogits", "BinaryCrossEntropy"})

_SQUASHING = frozenset({"Softmax", "Sigmoid"})
_NEAR = 12
"""Nodes behind what is taken for a probability among which it is made one: `where(y == 1, p, 1 - p)`."""


def upended(zone: Zone) -> float | None:
    """The power in `p ** power * log(p)`, p being the probability of the right class; None where there is no such.

    A focal loss has `(1 - p) ** power` there. Of p itself this product is 0 both where p is 1 and where it is 0, so
    that to give the right class no probability at all is an optimum of the loss. The probability is read by its nodes:
    what has a logarithm, or the exponential of a log-probability, or of a loss of each sample with the sign changed.
    """
    for node in zone.order:
        sides = inputs(node)
        if kind(node) != "Mul" or len(sides) != 2 or None in sides:
            continue
        for weight, surprise in (sides, sides[::-1]):
            power = _power_of_known(_peeled(weight)[0], _peeled(surprise)[0])
            if power is not None:
                return power
    return None


def _peeled(node: Any) -> tuple[Any, bool]:
    """What lies below views, signs, limits and factors without a gradient; and whether its sign was changed."""
    is_negative = False
    for _ in range(16):
        what = kind(node) if node is not None else ""
        following = only_input(node) if what in _PEELED or what == "Mul" else None
        if following is None:
            break
        is_negative ^= what == "Neg"
        node = following
    return node, is_negative


def _power_of_known(weight: Any, surprise: Any) -> float | None:
    if weight is None or surprise is None or kind(weight) != "Pow":
        return None
    power = nodes.number(weight, "exponent")
    known, _ = _peeled(only_input(weight))
    if not isinstance(power, float) or power <= 0 or known is None:
        return None
    if kind(known) == "Exp":
        exponent, is_changed = _peeled(only_input(known))
        wanted = _LOSSES if is_changed else _LOGARITHMS
        return power if exponent is surprise and kind(surprise) in wanted else None
    if kind(surprise) != "Log" or not _leads_to(known, only_input(surprise)):
        return None
    is_probability = any(kind(node) in _SQUASHING for node in nodes.behind([known], _NEAR))
    return power if is_probability else None


def _leads_to(known: Any, node: Any) -> bool:
    for _ in range(8):
        if node is known or node is None or kind(node) not in _PASSED:
            break
        node = only_input(node)
    return node is known
