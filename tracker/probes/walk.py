"""Walks the graph behind a loss: which leaves it reaches, and what lies between the last layer and the loss."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from . import nodes
from .loss import LossNode, is_penalty
from .nodes import LAYERS, LINEAR, SHAPES, below, inputs, kind

MAX_NODES = 20_000
"""Nodes walked at most: a few milliseconds. A model of a thousand layers has five thousand."""
_MAX_TAIL = 16
_MAX_PAIRS = 50
_NORMS = frozenset({"NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm"})
_POOLS = frozenset({
    "AvgPool2D", "AvgPool3D", "AdaptiveAvgPool2D", "AdaptiveAvgPool3D", "MkldnnAdaptiveAvgPool2D",
    "MaxPool2DWithIndices", "MaxPool3DWithIndices", "MaxPool2D", "AdaptiveMaxPool2D",
})  # fmt: skip
_TRANSPARENT = SHAPES | _POOLS | {"NativeDropout", "FeatureDropout", "AlphaDropout"}

_ACTIVATIONS = {
    "LogSoftmax": "log_softmax", "LogSigmoid": "log_sigmoid", "Hardtanh": "hardtanh", "LeakyRelu": "leaky_relu",
    "PreluKernel": "prelu", "RreluWithNoise": "rrelu", "NativeBatchNorm": "batch_norm", "CudnnBatchNorm": "batch_norm",
    "BatchNorm": "batch_norm", "MiopenBatchNorm": "batch_norm", "NativeLayerNorm": "layer_norm",
    "NativeGroupNorm": "group_norm", "FusedRmsNorm": "rms_norm", "AdaptiveAvgPool2D": "avg_pool", "Threshold": "relu",
}  # fmt: skip


class Walk(NamedTuple):
    """What was found behind a loss."""

    leaves: list[torch.Tensor]
    """Tensors whose gradient this backward adds to."""
    linear: list[Any]
    """Nodes of linear layers."""
    watched: list[Any]
    """Nodes of the kinds that were asked for."""
    is_opaque: bool
    """Whether there are functions written in Python: a parameter that is used inside of one may not be in sight."""
    is_whole: bool
    """False when there are more nodes than may be walked."""


def walk(root: Any, limit: int = MAX_NODES, *, kinds: frozenset[str] = frozenset()) -> Walk:
    """Everything that `root` hangs on, each node once; those of `kinds` are kept; no saved tensor is read."""
    seen, stack = {root}, [root]
    leaves: list[torch.Tensor] = []
    linear: list[Any] = []
    watched: list[Any] = []
    in_sight: set[type] = set()
    is_opaque = False
    while stack:
        node = stack.pop()
        what = kind(node)
        if what == "AccumulateGrad":
            leaves.append(node.variable)
            continue
        if what in kinds:
            watched.append(node)
        if what in LINEAR:
            linear.append(node)
        elif type(node) not in in_sight:
            is_opaque = is_opaque or nodes.is_opaque(node)
            in_sight.add(type(node))
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                stack.append(following)
        if len(seen) > limit:
            return Walk(leaves, linear, watched, is_opaque, False)
    return Walk(leaves, linear, watched, is_opaque, True)


def signature(root: Any, limit: int = 24) -> tuple[str, ...]:
    """The first operations behind a loss, breadth first: another model, loss or branch has others, mostly."""
    queue = [root]
    found: list[str] = []
    while queue and len(found) < limit:
        node = queue.pop(0)
        found.append(kind(node))
        queue += [following for following in inputs(node) if following is not None]
    return tuple(found)


def tail(node: Any) -> tuple[list[str], Any]:
    """Operations from the loss function down to the last layer, and the layer's node, None where none is found.

    Views are left out. A sum with, or product with, something constant or learned is passed; at any other fork, and
    at a function written in Python, the way ends with that operation.
    """
    found: list[str] = []
    for _ in range(4 * _MAX_TAIL):
        if node is None or kind(node) == "AccumulateGrad" or len(found) >= _MAX_TAIL:
            break
        what = kind(node)
        if what in LAYERS:
            return found, node
        branches = [following for following in inputs(node) if following is not None]
        if what not in SHAPES:
            found.append(_ACTIVATIONS.get(what, what.lower()))
            if nodes.is_opaque(node):
                break
            if len(branches) > 1 and what not in _ACTIVATIONS:
                branches = [following for following in branches if kind(below(following)) != "AccumulateGrad"]
                if len(branches) != 1:
                    break
        node = branches[0] if branches else None
    return found, None


def weight_of(layer: Any) -> torch.Tensor | None:
    """The weight of a linear layer, by its node; None for a product of two things that are computed."""
    found = inputs(layer)
    at = below(found[_WEIGHT_AT.get(kind(layer), 1)]) if len(found) > _WEIGHT_AT.get(kind(layer), 1) else None
    return at.variable if at is not None and kind(at) == "AccumulateGrad" else None


def given_to(layer: Any) -> Any:
    """The node of what a linear layer was given; None where that needs no gradient."""
    found, at = inputs(layer), _GIVEN_AT.get(kind(layer), 0)
    return found[at] if len(found) > at else None


_WEIGHT_AT = {"Addmm": 2, "Baddbmm": 2}
"""Where a layer's weight stands among its inputs; else it is the second, behind what the layer was given."""
_GIVEN_AT = {"Addmm": 1, "Baddbmm": 1}


def consecutive(linear: list[Any]) -> list[tuple[torch.Tensor, torch.Tensor, str]]:
    """(weight, weight of the next layer, kind) where a linear layer is given nothing but another one's output.

    Views, dropout, pooling, batch normalisation and a bias may lie between the two: none takes the place of an
    activation, not even the largest of a window.
    """
    found = []
    for node in linear:
        second = weight_of(node)
        if second is None:
            continue
        before = _linear_below(given_to(node))
        first = weight_of(before) if before is not None and kind(before) == kind(node) else None
        if first is None and before is not None and kind(node) != "Convolution":
            first = weight_of(before)
        if first is not None:
            found.append((first, second, _PAIRS[kind(before) == "Convolution", kind(node) == "Convolution"]))
            if len(found) >= _MAX_PAIRS:
                break
    return found


_PAIRS = {(False, False): "linear", (True, True): "convolution", (True, False): "mixed"}


def _linear_below(node: Any) -> Any:
    for _ in range(16):
        if node is None:
            return None
        what = kind(node)
        if what in LINEAR:
            return node
        branches = [following for following in inputs(node) if following is not None]
        if what == "Add" or what in _NORMS:  # of a bias
            branches = [following for following in branches if kind(below(following)) != "AccumulateGrad"]
        elif what == "Mul":
            if not _is_dropout(node):
                return None
        elif what not in _TRANSPARENT:
            return None
        if len(branches) != 1:
            return None
        node = branches[0]
    return None


def _is_dropout(node: Any) -> bool:
    """True for a product with a mask that needs no gradient: dropout on the CPU, or a fixed scale."""
    return len([following for following in inputs(node) if following is not None]) == 1


def broadcast(function: LossNode | None, root: Any) -> dict[str, Any] | None:
    """Where outputs, or targets, were repeated to fit the other: (N, 1) against (N,) makes N x N differences.

    Shapes of both as they were, None where it is not known, and of the result. None when nothing was repeated.
    """
    if function is None or function.behind is None:
        return _by_hand(function, root)
    targets, behind = function.targets, function.behind
    given = nodes.shape(behind)
    if kind(behind) == "Expand":  # as the functions of torch do it ahead
        expanded, given = given, nodes.shape(next(iter(inputs(behind)), None)) if inputs(behind)[0] else None
        if expanded is None or given is None or expanded == given:
            return None
        return {"outputs": given, "targets": _unexpanded(targets), "result": expanded, "function": function.function}
    if targets is not None and function.function in _PAIRED:
        original = _unexpanded(targets)
        if original is not None and original != [int(n) for n in targets.shape]:
            shape = [int(n) for n in targets.shape]
            return {"outputs": given, "targets": original, "result": shape, "function": function.function}
    return _by_hand(function, root)


_PAIRED = frozenset({"mse_loss", "smooth_l1_loss", "huber_loss", "l1_loss"})


def _unexpanded(tensor: torch.Tensor | None) -> list[int] | None:
    """Shape of a tensor before it was expanded: a dimension that takes no step in memory was 1, or was not there."""
    if tensor is None:
        return None
    sizes = [
        1 if stride == 0 and size > 1 else int(size) for size, stride in zip(tensor.shape, tensor.stride(), strict=True)
    ]
    strides = list(tensor.stride())
    while sizes and sizes[0] == 1 and strides[0] == 0:
        del sizes[0], strides[0]
    return sizes


def _by_hand(function: LossNode | None, root: Any) -> dict[str, Any] | None:
    """The same in a loss written by hand, of whatever form: what lies between the last layer and the loss is looked at.

    A difference of an output and something without a gradient, or a product of its logarithm with that. Nothing is
    said where outputs are compared with outputs: a ranking or a contrast compares each with each on purpose.
    """
    queue, seen = [root], {root}
    found = None
    while queue and len(seen) < _MAX_BY_HAND:
        node = queue.pop(0)
        what = kind(node)
        if what in LAYERS or what == "AccumulateGrad" or nodes.is_opaque(node):
            continue
        sides = [side for side in inputs(node) if side is not None]
        queue += [side for side in sides if side not in seen]
        seen.update(sides)
        is_compared = what == "Sub" or (what == "Mul" and any(kind(below(side)) in _LOGARITHMS for side in sides))
        result, given = nodes.shape(node), [nodes.shape(side) for side in sides]
        if not is_compared or result is None or None in given or result in given:
            continue
        if len(sides) > 1:
            return None
        found = found or {
            "outputs": given[0], "targets": None, "result": result,
            "function": "the loss" if function is None or is_penalty(function.function) else function.function,
        }  # fmt: skip
    return found


_LOGARITHMS = frozenset({"Log", "LogSigmoid", "Clamp", "ClampMin"})
_MAX_BY_HAND = 64
