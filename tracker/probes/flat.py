"""Operations whose derivative is zero wherever there is one: what lies behind them alone is never moved by the loss."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from . import nodes
from .nodes import kind

if TYPE_CHECKING:
    import torch

    from ..rules.engine.records import Json
    from .walk import Walk

WATCHED = frozenset({"Round", "Floor", "Ceil", "Trunc", "Sign", "Sgn", "Bernoulli", "Div"})
"""Operations that a walk keeps for this module: a division may be one that is rounded."""

_MAX_NAMES = 50


class Alive:
    """Which parameters the losses move: those that one reaches with no operation of derivative zero between."""

    def __init__(self) -> None:
        self._parameters: dict[int, weakref.ref[torch.Tensor]] = {}
        self._stilled_by: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._parameters)

    def note(self, root: Any, found: Walk, limit: int) -> None:
        """Looks at one loss, which has been walked; at most `limit` of its nodes are walked again."""
        stops = flat(found.watched)
        for leaf in _leaves(root, set(stops), limit) if stops else found.leaves:
            if not self._has(leaf):
                self._parameters[id(leaf)] = weakref.ref(leaf)
        self._stilled_by.update(dict.fromkeys(name(node) for node in stops[:_MAX_NAMES]))

    def is_stilled(self, parameter: torch.Tensor) -> bool:
        """Whether it is trained, and no loss that was looked at moves it."""
        return parameter.requires_grad and not self._has(parameter)

    def stilled_by(self) -> Json:
        """Names of the operations that let no gradient pass."""
        return list(self._stilled_by)

    def _has(self, leaf: torch.Tensor) -> bool:
        found = self._parameters.get(id(leaf))
        return found is not None and found() is leaf


def flat(watched: list[Any]) -> list[Any]:
    """Those of the nodes whose derivative is zero. A function written in Python may define one that is not."""
    return [
        node
        for node in watched
        if kind(node) in WATCHED
        and not nodes.is_opaque(node)
        and (kind(node) != "Div" or getattr(node, "_saved_rounding_mode", None) is not None)
    ]


def name(node: Any) -> str:
    """What the operation is called in Python."""
    what = kind(node)
    return "div with a rounding_mode" if what == "Div" else what.lower()


def _leaves(root: Any, stops: set[Any], limit: int) -> list[torch.Tensor]:
    """The leaves that a gradient of `root` comes to without passing one of the nodes `stops`."""
    return [node.variable for node in nodes.behind([root], limit, stops) if kind(node) == "AccumulateGrad"]
