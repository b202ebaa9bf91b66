"""Finds where a number that is not finite came from: the deepest operation with finite inputs and such a result.

The graph of a loss is alive when it is given to `backward`, with what its operations saved. Of an operation that saved
nothing, what its neighbours saved tells; where none did, those in question are judged by what they were given: a
logarithm of 0, a division by 0. Nothing is run again, and nothing of the user's is called.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch

from . import nodes
from .nodes import SHAPES, inputs, kind
from .walk import weight_of

MOST_NODES = 4000
"""Operations that are looked at: with what they saved, some ten milliseconds at most, in a run that is lost."""

MOST_ELEMENTS = 1 << 24
"""Elements that are looked at in all."""

_RESULTS = ("result", "output", "result0")
_SIDES = {
    "Addmm": {1: "mat1", 2: "mat2"}, "Mm": {0: "self", 1: "mat2"}, "Bmm": {0: "self", 1: "mat2"},
    "Convolution": {0: "input", 1: "weight"}, "NativeLayerNorm": {0: "input", 1: "weight"},
    "NativeBatchNorm": {0: "input", 1: "weight"}, "NativeGroupNorm": {0: "input", 1: "weight"},
    "Linear": {0: "input", 1: "weight"},
}  # fmt: skip
_TAME = SHAPES | {
    "Mean", "Sum", "Add", "Neg", "Abs", "Relu", "Stack", "Cat", "Max", "Min", "Clamp", "MaskedFill", "Where", "Index",
    "Gather", "Sigmoid", "Tanh",
}  # fmt: skip
"""Operations whose results are no larger than what they are given, or hardly."""
_USUAL = {0: "self", 1: "other"}
_COMPARING = {0: "self", 1: "target"}
_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


class Origin(NamedTuple):
    """Where a number that is not finite came from."""

    kind: str
    """`operation`; `weight` or `input` where those were not finite already."""
    op: str
    """The operation, as torch calls it; for an input, the one that took it."""
    parameter: Any
    """The weight that was not finite, or of the layer nearest below the operation; None when there is none."""
    is_certain: bool
    """Whether its inputs are known to be finite and its result is known not to be."""
    low: float | None
    high: float | None
    """Range of what the operation was given, as far as that is known."""


def origin_of(root: Any) -> Origin | None:
    """The origin of a loss that is not finite, at node `root`; None for one whose graph is on a device, or unread."""
    known = _Known()
    if not known.read(root):
        return None
    at, region = root, [root]
    for _ in range(MOST_NODES):
        region, deeper, is_input = known.region(at)
        if is_input is not None:
            return _told(is_input, "input", known)
        if deeper is None:
            break
        at = deeper
        if kind(at) == "AccumulateGrad":
            return Origin("weight", "", at.variable, True, None, None)
    return _told(_chosen(region), "operation", known, is_certain=len(region) == 1 and known.has_finite_inputs(at))


class _Known:
    """Which results are finite, as far as anything saved tells."""

    def __init__(self) -> None:
        self._is_finite: dict[Any, bool] = {}
        self._bad_inputs: set[Any] = set()
        """Nodes that were given data, no node's result, that was not finite."""
        self._room = MOST_ELEMENTS
        self._seen: dict[int, bool] = {}

    def read(self, root: Any) -> bool:
        """Looks at everything behind `root`; False when there is too much, or it is on a device."""
        seen, stack = {root}, [root]
        while stack:
            node = stack.pop()
            if len(seen) > MOST_NODES or self._room < 0:
                return False
            if kind(node) == "AccumulateGrad":
                self._note(node, node.variable.detach())
                continue
            for name in _RESULTS:
                self._note(node, nodes.saved(node, name))
            sides = _sides_of(node)
            for index, following in enumerate(inputs(node)):
                given = nodes.saved(node, sides[index]) if index in sides else None
                if following is None:
                    if self._finite(given) is False:
                        self._bad_inputs.add(node)
                else:
                    self._note(following, given)
                    if following not in seen:
                        seen.add(following)
                        stack.append(following)
        self._is_finite[root] = False
        return True

    def region(self, at: Any) -> tuple[list[Any], Any, Any]:
        """Behind a result that is not finite: operations that may have made it so, nearest first; then the next result
        that is known not to be finite, if any; then the operation that was given such data, if any."""
        found, seen, queue = [], {at}, [at]
        while queue:
            node = queue.pop(0)
            found.append(node)
            if node in self._bad_inputs:
                return found, None, node
            for following in inputs(node):
                if following is None or following in seen:
                    continue
                seen.add(following)
                finite = self._is_finite.get(following)
                if finite is False:
                    return found, following, None
                if finite is None:
                    queue.append(following)
        return found, None, None

    def has_finite_inputs(self, node: Any) -> bool:
        return all(self._is_finite.get(following) is True for following in inputs(node) if following is not None)

    def _note(self, node: Any, value: Any) -> None:
        finite = self._finite(value)
        if finite is not None:
            self._is_finite[node] = self._is_finite.get(node, True) and finite

    def _finite(self, value: Any) -> bool | None:
        if not _is_readable(value):
            return None
        key = value.data_ptr()
        if key not in self._seen:
            self._room -= value.numel()
            # A mask of minus infinity is meant: it is what a softmax is given, and no result of it.
            self._seen[key] = not bool(torch.isnan(value).any() if _is_mask(value) else (~torch.isfinite(value)).any())
        return self._seen[key]


def _is_mask(value: torch.Tensor) -> bool:
    return bool((value == -math.inf).any()) and not bool((value == math.inf).any())


def _is_readable(value: Any) -> bool:
    return (
        isinstance(value, torch.Tensor)
        and value.is_cpu
        and value.dtype in _FLOATS
        and value.layout is torch.strided
        and value.numel() > 0
    )


def _sides_of(node: Any) -> dict[int, str]:
    what = kind(node)
    return _SIDES.get(what) or (_COMPARING if what.endswith("Loss") or "BinaryCrossEntropy" in what else _USUAL)


def _chosen(region: list[Any]) -> Any:
    """The operation at fault among those in question: one that was given what it has no answer to, else the nearest to
    the loss that can make something of finite numbers that is not."""
    outside = next((node for node in reversed(region) if _is_out_of_range(node)), None)
    return outside or next((node for node in region if kind(node) not in _TAME), region[0])


def _is_out_of_range(node: Any) -> bool:
    """Whether an operation was given what it has no finite answer to."""
    what = kind(node)
    given = nodes.saved(node, "other" if what == "Div" else "self")
    if not _is_readable(given):
        return False
    if what in ("Log", "Log2", "Log10"):
        return bool((given <= 0).any())
    if what == "Log1P":
        return bool((given <= -1).any())
    if what in ("Div", "Reciprocal"):
        return bool((given == 0).any())
    if what in ("Acos", "Asin", "Atanh"):
        return bool((given.abs() > 1).any())
    if what == "Pow":
        exponent = nodes.number(node, "exponent")
        if isinstance(exponent, float):
            return bool((given == 0).any()) if exponent < 0 else exponent % 1 != 0 and bool((given < 0).any())
    return False


def _told(node: Any, of: str, known: _Known, is_certain: bool = True) -> Origin:
    what = kind(node)
    given = nodes.saved(node, "other" if what == "Div" else "self")
    low = high = None
    if _is_readable(given):
        finite = given[torch.isfinite(given)]
        if finite.numel():
            low, high = float(finite.min()), float(finite.max())
    # Data that a layer was given is the layer's; what a loss function was given, targets say, is nobody's.
    parameter = _layer_below(node) if of == "operation" or what in nodes.LINEAR else None
    return Origin(of, what.lower(), parameter, is_certain, low, high)


def _layer_below(node: Any) -> Any:
    """The weight of the layer that an operation is in, or the nearest one below it."""
    queue, seen = [node], {node}
    while queue and len(seen) < 256:
        at = queue.pop(0)
        if kind(at) in nodes.LINEAR and (weight := weight_of(at)) is not None:
            return weight
        for following in inputs(at):
            if following is None or following in seen:
                continue
            if kind(following) == "AccumulateGrad" and at is not node:
                return following.variable
            seen.add(following)
            if kind(following) != "AccumulateGrad":
                queue.append(following)
    return None
