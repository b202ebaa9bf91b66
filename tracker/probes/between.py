"""What lies between the last layers and the loss, of whatever form: squashing done twice, and raw scores.

A loss function of torch has a node of its own; what is written by hand, or by `torch.distributions`, is read here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from . import nodes
from .nodes import LAYERS, LINEAR, SHAPES, below, inputs, kind, only_input
from .terms import terms_of

MAX_NODES = 2_000
"""Nodes looked at: a rollout of a hundred steps has some dozen each."""

_SQUASHING = {"Softmax": "softmax", "Sigmoid": "sigmoid"}
_AGAIN = {
    "Softmax": "softmax", "LogSoftmax": "log_softmax", "Sigmoid": "sigmoid", "LogSigmoid": "logsigmoid",
    "BinaryCrossEntropyWithLogits": "binary_cross_entropy_with_logits",
}  # fmt: skip
_MOST = 8
_MOST_RATIO = 64
_MOST_TARGETS = 1 << 20
"""Elements of targets that are looked at."""


class Zone(NamedTuple):
    """The nodes from a loss down to its layers, the layers' own left out."""

    order: list[Any]
    users: dict[Any, list[Any]]
    """What each node's result is given to, layers and all."""


def zone_of(root: Any, limit: int = MAX_NODES) -> Zone:
    """Breadth first from `root`; it ends at layers, at parameters and at functions written in Python."""
    order: list[Any] = []
    users: dict[Any, list[Any]] = {}
    seen, queue = {root}, [root]
    while len(order) < min(limit, len(queue)):
        node = queue[len(order)]
        order.append(node)
        if kind(node) in LAYERS or kind(node) == "AccumulateGrad" or nodes.is_opaque(node):
            continue
        for following in inputs(node):
            if following is not None:
                users.setdefault(following, []).append(node)
                if following not in seen:
                    seen.add(following)
                    queue.append(following)
    return Zone([node for node in order if kind(node) not in LAYERS], users)


def doubled(zone: Zone) -> list[tuple[str, str, Any]]:
    """(first, second, node of the first) where a softmax or sigmoid is given what one has made already.

    `x - x.logsumexp()`, as `torch.distributions.Categorical(logits=x)` has it, is a softmax, too.
    """
    found: list[tuple[str, str, Any]] = []
    for node in zone.order:
        what = kind(node)
        if what in _AGAIN:
            given = below(next(iter(inputs(node)), None))
            second = _AGAIN[what]
        elif what == "Sub" and len(inputs(node)) == 2 and kind(below(inputs(node)[1])) == "Logsumexp":
            given, second = below(inputs(node)[0]), "log_softmax"
            if given is None or below(only_input(below(inputs(node)[1]))) is not given:
                continue
        else:
            continue
        if given is None or kind(given) not in _SQUASHING or _has_one_value(given, what):
            continue
        found.append((_SQUASHING[kind(given)], second, given))
        if len(found) >= _MOST:
            break
    return found


def _has_one_value(node: Any, second: str) -> bool:
    """Whether a sigmoid of one value stands under a softmax: a weight of attention, rather than a probability."""
    return kind(node) == "Sigmoid" and second == "Softmax"


def raw(zone: Zone, root: Any) -> list[tuple[str, Any]]:
    """(what is done, node of what it is done with) where something made for probabilities is given what a layer made.

    `overlap`: a ratio of sums, as the losses of Dice, Jaccard and Tversky are; `logarithm`: one of a probability, by
    its use; `likelihood`: the value of the right class, without a logarithm.
    """
    found: list[tuple[str, Any]] = []
    for node in zone.order:
        what = kind(node)
        of = _overlap(node) if what == "Div" else _logarithm(node, zone) if what == "Log" else None
        if of is not None and len(found) < _MOST:
            found.append(("overlap" if what == "Div" else "logarithm", of))
    of = _likelihood(root)
    return [*found, ("likelihood", of)] if of is not None else found


def _overlap(node: Any) -> Any:
    """What is summed below and, times the targets, above the line; None for any other ratio.

    With squares below the line it is no ratio of probabilities: a regression onto the targets has its optimum there.
    """
    sides = inputs(node)
    if len(sides) != 2 or None in sides:
        return None
    above, under = _Ratio(sides[0]), _Ratio(sides[1])
    if len(above.ends) != 1 or above.ends != under.ends or not above.are_contracted or not under.is_summed:
        return None
    if above.is_squared or under.is_squared or not all(_are_shares(target) for target in above.targets):
        return None
    return next(iter(above.ends))


class _Ratio:
    """One side of a ratio: what sums, products with targets and constants lead to."""

    def __init__(self, side: Any) -> None:
        self.ends: set[Any] = set()
        self.targets: list[Any] = []
        self.is_summed = self.is_squared = False
        queue, seen = [side], 0
        while queue and seen < _MOST_RATIO:
            node, seen = queue.pop(), seen + 1
            what = kind(node)
            sides = [one for one in inputs(node) if one is not None]
            self.is_summed = self.is_summed or what in ("Sum", "Mean", *_CONTRACTING)
            if (
                what in SHAPES
                or what in ("Sum", "Mean", "Add", "Rsub", "Neg")
                or (what == "Sub" and _is_of_sums(sides))
            ):
                queue += sides
            elif what in ("Mul", *_CONTRACTING) and len(sides) == 1 and len(inputs(node)) >= 2:
                self.targets += [other for other in [_other(node, sides[0])] if _is_many(other)]
                queue += sides
            elif (what == "Pow" and sides) or (what == "Mul" and len(set(sides)) == 1):
                self.is_squared = True
                queue += sides[:1]
            else:
                self.ends.add(node)

    @property
    def are_contracted(self) -> bool:
        """Whether something was multiplied with targets, and summed."""
        return self.is_summed and bool(self.targets)


_CONTRACTING = ("Bmm", "Mm", "Mv", "Dot")


def _is_of_sums(sides: list[Any]) -> bool:
    """Whether a difference is one of sums, as `pred.sum() + target.sum() - overlap`, or from a constant.

    That of an output and its mean is part of a variance.
    """
    known = ("Mul", "Sum", "Add", *_CONTRACTING)
    return len(sides) == 1 or all(kind(below(side)) in known for side in sides)


def _other(node: Any, side: Any) -> Any:
    """The factor without a gradient."""
    for name in ("other", "mat2", "vec", "tensor") if inputs(node)[0] is side else ("self",):
        found = nodes.saved(node, name)
        if isinstance(found, torch.Tensor):
            return found
    return None


def _is_many(factor: Any) -> bool:
    return isinstance(factor, torch.Tensor) and factor.numel() > 1


def _are_shares(targets: torch.Tensor) -> bool:
    """Whether targets lie between 0 and 1, and reach more than half of it: masks, or labels written as 0 and 1."""
    if not targets.is_cpu or targets.numel() > _MOST_TARGETS or targets.is_complex():
        return False
    low, high = (float(one) for one in targets.aminmax())
    return low >= 0.0 and 0.5 < high <= 1.0


def _logarithm(node: Any, zone: Zone) -> Any:
    """What a logarithm is taken of, where it is used as that of a probability; None elsewhere.

    It is where it picks a class, is clamped to 1 at most, is one of the complement, or is weighted with shares.
    """
    at, is_probability = only_input(node), False
    for _ in range(16):
        if at is None:
            return None
        what = kind(at)
        if what in ("Gather", "Index"):
            is_probability = is_probability or _picks(at)
        elif what == "Clamp":
            high = nodes.number(at, "max")
            is_probability = is_probability or (isinstance(high, float) and 0.5 < high <= 1.0)
        elif what == "Rsub":
            is_probability = True
        elif what not in SHAPES and what not in ("Add", "ClampMin"):
            break
        at = only_input(at)
    if at is None or is_probability:
        return at
    for user in zone.users.get(node, []):
        if kind(user) == "Mul" and only_input(user) is node and _is_many(_other(user, node)):
            if _are_shares(_other(user, node)):
                return at
        elif kind(user) in ("Gather", "Index") and _picks(user):
            return at
    return None


def _picks(node: Any) -> bool:
    """Whether one class is taken for each sample, by its label."""
    if kind(node) == "Gather":
        index = nodes.saved(node, "index")
        return isinstance(index, torch.Tensor) and index.dim() == 2 and index.shape[1] == 1
    found = nodes.saved(node, "indices")
    given = [one for one in found if one is not None] if isinstance(found, (tuple, list)) else []
    return len(given) == 2 and all(not one.is_floating_point() and one.dtype is not torch.bool for one in given)


def _likelihood(root: Any) -> Any:
    """What the mean of the right classes' values, which the loss is to raise, is taken of; None for another loss."""
    terms = terms_of(root)
    if len(terms) != 1 or terms[0].factor is None:
        return None
    node, is_negative = terms[0].node, terms[0].factor < 0
    for _ in range(8):
        if node is None or kind(node) not in SHAPES | {"Mean", "Sum", "Neg"}:
            break
        is_negative ^= kind(node) == "Neg"
        node = only_input(node)
    if node is None or not is_negative or kind(node) not in ("Gather", "Index") or not _picks(node):
        return None
    return only_input(node)


PLAIN = frozenset({
    "add", "mul", "div", "mean", "nativedropout", "batch_norm", "avg_pool", "avgpool2d", "upsamplebilinear2d",
    "upsamplenearest2d", "upsamplenearest1d", "upsamplelinear1d", "cat", "constantpadnd",
})  # fmt: skip
"""Operations, as a tail names them, that make no probabilities of what a layer puts out."""


def is_raw(ops: list[str], layer: Any) -> bool:
    """Whether what lies behind these operations are scores as a linear layer makes them, of any size and sign."""
    return layer is not None and kind(layer) in LINEAR and set(ops) <= PLAIN
