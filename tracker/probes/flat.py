"""Operations whose derivative is zero wherever there is one: what lies behind them alone is never moved by the loss."""

from __future__ import annotations

from typing import Any

from . import nodes
from .nodes import kind

WATCHED = frozenset({"Round", "Floor", "Ceil", "Trunc", "Sign", "Sgn", "Bernoulli", "Div"})
"""Operations that a walk keeps for this module: a division may be one that is rounded."""


def flat(watched: list[Any]) -> list[Any]:
    """Those of the nodes whose derivative is zero. A function written in Python may define one that is not."""
    return [
        node
        for node in watched
        if kind(node) in WATCHED
        and not nodes.is_opaque(node)
        and (kind(node) != "Div" or getattr(node, "_saved_rounding_mode", None) is not None)
    ]


def alive(root: Any, stops: list[Any], limit: int) -> list[Any]:
    """The leaves that a gradient of `root` comes to without passing one of the nodes `stops`."""
    return [node.variable for node in nodes.behind([root], limit, set(stops)) if kind(node) == "AccumulateGrad"]


def name(node: Any) -> str:
    """What the operation is called in Python."""
    what = kind(node)
    return "div with a rounding_mode" if what == "Div" else what.lower()
