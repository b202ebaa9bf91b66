"""Recognises losses that autograd writes as several nodes: those torch composes, and common ones written by hand.

==========================================  ==================================================================
mean |a - b|                                `l1_loss`
mean (a - b)^2, with weights or without     `mse_loss`
-log p[range, y], of a (log-)softmax        `cross_entropy`; also with `gather`, one-hot targets or `logsumexp`
sum of y * log p and (1 - y) * log (1 - p)  `binary_cross_entropy`; of log-sigmoids `..._with_logits`
target * (log target - input)               `kl_div`
1 + log s^2 - mu^2 - s^2                    `gaussian_kl`, the regulariser of a variational autoencoder
sum of w^2 or |w|, norm of w                `l2_penalty`, `l1_penalty`, `weight_norm`, of parameters
the rest of `torch.nn.functional`           poisson, gaussian, hinge, cosine, margin ranking, triplet, soft margin
==========================================  ==================================================================
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from . import nodes
from .nodes import SHAPES, below, inputs, kind, only_input

_PEELED = SHAPES | {"MaskedFill", "MaskedSelect", "Mean", "Sum", "Neg"}
_PASSED = SHAPES | {"Add", "Clamp", "ClampMin"}
"""Between a logarithm and what it is taken of: `log(p + 1e-8)`, `log(p.clamp(1e-8))`."""


class Place(NamedTuple):
    """Where a tensor was saved: under which name, by which node."""

    node: Any
    name: str

    def read(self) -> Any:
        """The tensor, detached; None when it cannot be read. Of several, as an index saves, the last."""
        found = nodes.saved(self.node, self.name)
        if isinstance(found, tuple):
            found = next((one.detach() for one in reversed(found) if one is not None), None)
        return found


class Composed(NamedTuple):
    """A loss function that was recognised by its nodes."""

    function: str
    behind: Any
    """The node whose result is what the function was given; None for a leaf that needs no gradient."""
    reduction: str
    outputs: Place | None = None
    targets: Place | None = None
    by_hand: bool = False
    is_soft: bool = False
    """Targets are shares of each class, one-hot or smoothed, instead of labels."""
    weighted: bool = False


def is_smoothing(node: Any) -> bool:
    """True for the sum that `cross_entropy(label_smoothing=...)` builds: both sides lead to one log-softmax."""
    found = [following for following in inputs(node) if following is not None]
    if len(found) != 2:
        return False
    ends = [_log_softmax_below(branch) for branch in found]
    return ends[0] is not None and ends[0] is ends[1]


def _log_softmax_below(node: Any) -> Any:
    queue, seen = [node], 0
    while queue and seen < 16:
        at = queue.pop(0)
        if at is None:
            continue
        seen += 1
        if kind(at) == "LogSoftmax":
            return at
        queue += inputs(at)
    return None


def recognise(node: Any, is_negative: bool = False) -> Composed | None:
    """The function at `node`, a term of a loss without its factor; `is_negative` when the factor was below zero."""
    reduction = "none"
    for _ in range(16):
        what = kind(node)
        if what in _PEELED:
            is_negative ^= what == "Neg"
            if what in ("Mean", "Sum") and reduction != "sum":  # a sum over one dimension, a mean over the other
                reduction = what.lower()
        elif what == "Sqrt" or not (what in ("Div", "Mul") and is_scaled(node)):
            break
        node = only_input(node)
        if node is None:
            return None
    matcher = _MATCHERS.get(what)
    return matcher(node, is_negative, reduction) if matcher is not None else None


def is_scaled(node: Any) -> bool:
    """True for a product with one number, or a division by one, that needs no gradient."""
    if only_input(node) is None:
        return False
    sizes = [nodes.shape(node), nodes.shape(only_input(node))]
    other = nodes.factor(node)
    return sizes[0] == sizes[1] and (not isinstance(other, torch.Tensor) or other.numel() == 1 or kind(node) == "Div")


def _is_leaf(node: Any) -> bool:
    return node is not None and kind(below(node)) == "AccumulateGrad"


def _is_difference(node: Any) -> bool:
    return node is not None and kind(node) == "Sub" and len(node.next_functions) == 2


def _given(difference: Any) -> Any:
    """The predictions in a difference: the side that has a gradient, the first of two."""
    return next((following for following in inputs(difference) if following is not None), None)


def _absolute(node: Any, is_negative: bool, reduction: str) -> Composed | None:
    of = only_input(node)
    if _is_difference(of):
        return Composed("l1_loss", _given(of), reduction)
    return Composed("l1_penalty", of, reduction) if _is_leaf(of) else None


def _power(node: Any, is_negative: bool, reduction: str) -> Composed | None:
    of = only_input(node)
    if of is None or nodes.number(node, "exponent") != 2:
        return None
    if _is_difference(of):
        return Composed("mse_loss", _given(of), reduction, by_hand=True)
    return Composed("l2_penalty", of, reduction) if _is_leaf(of) else None


def _norm(node: Any, is_negative: bool, reduction: str) -> Composed | None:
    of = only_input(node)
    return Composed("weight_norm", of, reduction) if _is_leaf(of) else None


def _product(node: Any, is_negative: bool, reduction: str) -> Composed | None:
    sides = inputs(node)
    if len(sides) == 2 and sides[0] is sides[1]:
        if _is_difference(sides[0]):
            return Composed("mse_loss", _given(sides[0]), reduction, by_hand=True)
        return Composed("l2_penalty", sides[0], reduction) if _is_leaf(sides[0]) else None
    of = only_input(node)
    if of is None:
        return None
    other = Place(node, "other" if sides[0] is of else "self")
    what = kind(of)
    if is_negative and what == "LogSoftmax":
        behind = only_input(of)
        return Composed("cross_entropy", behind, reduction, Place(of, "result"), other, is_soft=True)
    if is_negative and what == "Log" and kind(below(only_input(of), _PASSED)) == "Softmax":
        softmax = below(only_input(of), _PASSED)
        place = Place(softmax, "result")
        return Composed("cross_entropy", only_input(softmax), reduction, place, other, by_hand=True, is_soft=True)
    if what == "Sub" and inputs(of)[0] is None:
        return Composed("kl_div", inputs(of)[1], reduction)
    if what in ("Pow", "Abs") and _is_difference(only_input(of)):
        found = (_power if what == "Pow" else _absolute)(of, is_negative, reduction)
        return found._replace(weighted=True) if found is not None else None
    return None


def _difference(node: Any, is_negative: bool, reduction: str) -> Composed | None:
    if len(node.next_functions) != 2:
        return None
    first, second = inputs(node)
    if second is None:
        return None
    if first is None:
        # xlogy(target, target) - target * input
        return Composed("kl_div", only_input(second), reduction) if kind(second) == "Mul" else None
    if kind(first) == "Logsumexp":
        picked = below(second)
        if kind(picked) in ("Gather", "Index") and below(only_input(picked)) is below(only_input(first)):
            return _labelled(picked, only_input(first), Place(first, "self"), reduction)
        return None
    if kind(second) == "Mul" and only_input(second) is not None:
        of = only_input(second)
        if (kind(first) == "Exp" and only_input(first) is of) or (kind(of) == "Log" and below(of, _PASSED | {"Log"}) is
                                                                 below(first)):  # fmt: skip
            return Composed("poisson_nll_loss", of if kind(first) == "Exp" else first, reduction)
    if kind(second) == "Exp" and kind(first) == "Sub":
        # 1 + logvar - mu ** 2 - exp(logvar)
        square = inputs(first)[-1]
        if square is not None and kind(square) in ("Pow", "Mul"):
            return Composed("gaussian_kl", only_input(second), reduction)
    return None


def _picked(node: Any, is_negative: bool, reduction: str) -> Composed | None:
    """`log_p[range, y]` and `log_p.gather(1, y)`."""
    of = below(only_input(node))
    if not is_negative or of is None:
        return None
    if kind(of) == "LogSoftmax":
        return _labelled(node, only_input(of), Place(of, "result"), reduction)
    if kind(of) == "Log":
        softmax = below(only_input(of), _PASSED)
        if kind(softmax) == "Softmax":
            return _labelled(node, only_input(softmax), Place(softmax, "result"), reduction)
    return None


def _logarithm(node: Any, is_negative: bool, reduction: str) -> Composed | None:
    """`log(p[range, y] + eps)`."""
    picked = below(only_input(node), _PASSED)
    if not is_negative or kind(picked) not in ("Gather", "Index"):
        return None
    softmax = below(only_input(picked))
    if kind(softmax) != "Softmax":
        return None
    return _labelled(picked, only_input(softmax), Place(softmax, "result"), reduction)


def _labelled(picked: Any, behind: Any, outputs: Place, reduction: str) -> Composed:
    targets = Place(picked, "index" if kind(picked) == "Gather" else "indices")
    return Composed("cross_entropy", behind, reduction, outputs, targets, by_hand=True)


def _sum(node: Any, is_negative: bool, reduction: str) -> Composed | None:
    sides = inputs(node)
    if len(sides) == 2 and sides[0] is None:
        sides = [None, sides[1]]
    kinds = [kind(side) if side is not None else "" for side in sides]
    if kinds == ["Where", "Where"]:
        is_cosine = any(kind(below(i, SHAPES | {"ClampMin", "Sub", "Rsub"})) == "Div" for i in _behind(sides))
        return Composed("cosine_embedding_loss" if is_cosine else "hinge_embedding_loss", None, reduction)
    if kinds[-1:] == ["Div"] and _is_squared_difference(inputs(sides[-1])[0]):
        difference = below(inputs(sides[-1])[0], frozenset({"Pow"}))
        return Composed("gaussian_nll_loss", _given(difference), reduction)
    if kinds == ["Mul", "Mul"]:
        behind = [following for following in _behind(sides) if following is not None]
        what = {kind(of) for of in behind}
        if is_negative and what == {"LogSigmoid"}:
            # Over each class, and then the mean over the batch: as `multilabel_soft_margin_loss` does it.
            function = "multilabel_soft_margin_loss" if reduction == "sum" else "binary_cross_entropy_with_logits"
            return Composed(function, only_input(behind[0]), reduction, by_hand=reduction != "sum")
        if is_negative and what == {"Log"}:
            return Composed("binary_cross_entropy", below(only_input(behind[0]), _PASSED), reduction, by_hand=True)
    return None


def _behind(sides: list[Any]) -> list[Any]:
    return [following for side in sides for following in inputs(side) if following is not None]


def _is_squared_difference(node: Any) -> bool:
    return node is not None and kind(node) == "Pow" and _is_difference(only_input(node))


def _hinge(node: Any, is_negative: bool, reduction: str) -> Composed | None:
    of = only_input(node)
    if of is None:
        return None
    if kind(of) == "Sub" and len(inputs(of)) == 2:
        passed = SHAPES | {"Add", "Min"}
        if all(kind(below(side, passed)) in _DISTANCES for side in inputs(of)):
            return Composed("triplet_margin_loss", None, reduction)
    if kind(of) == "Add" and kind(only_input(of)) == "Mul" and _is_difference(only_input(only_input(of))):
        return Composed("margin_ranking_loss", None, reduction)
    return None


_DISTANCES = frozenset({"Norm", "LinalgVectorNorm", "Cdist", "EuclideanDist", "Minimum"})
_MATCHERS = {
    "Abs": _absolute, "Pow": _power, "Norm": _norm, "LinalgVectorNorm": _norm, "Mul": _product, "Sub": _difference,
    "Gather": _picked, "Index": _picked, "Log": _logarithm, "Add": _sum, "ClampMin": _hinge,
}  # fmt: skip
