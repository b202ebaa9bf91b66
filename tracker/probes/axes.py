"""Along which dimension a softmax makes its values add up to one, and along which they are then summed; how much is
dropped."""

from __future__ import annotations

from typing import Any

import torch

from ..rules.engine.records import Json
from . import nodes
from .loss import LossNode
from .nodes import LAYERS, SHAPES, inputs, kind

WATCHED = frozenset({"Softmax", "LogSoftmax", "Bmm", "Mul", "NativeDropout"})
"""Operations that a walk keeps for this module."""

_MOST = 50
_MOST_TAIL = 16
_KEEPS_LAST = frozenset({"View", "UnsafeView", "ReshapeAlias", "Expand", "Clone", "Alias", "ToCopy", "NativeDropout"})
"""What lies between attention weights and their use without moving the last dimension."""
_MOST_MASK = 1 << 20
"""Elements of a mask that is looked at."""


def softmaxes(watched: list[Any], function: LossNode | None) -> list[dict[str, Json]]:
    """What each softmax of the graph does: the fact `graph` says how it reads; alike ones once, at most 50."""
    ends = _tail(function.behind) if function is not None else []
    summed = _summed_last(watched)
    given = (function.outputs_shape or []) if function is not None else []
    batch = given[0] if given else None
    picks = function is not None and function.function == "cross_entropy" and not function.by_hand
    found: dict[str, dict[str, Json]] = {}
    for node in watched:
        what = kind(node)
        if what not in ("Softmax", "LogSoftmax"):
            continue
        shape = nodes.shape(node)
        dim = nodes.signed(int(node._saved_dim))
        if not shape:
            continue
        is_tail = any(node is end for end in ends) or (what == "LogSoftmax" and len(shape) > 1)
        one: dict[str, Json] = {
            "op": "softmax" if what == "Softmax" else "log_softmax",
            "shape": list[Json](shape),
            "dim": dim % len(shape),
            "tail": is_tail,
            "summed": len(shape) - 1 if node in summed else None,
            "batch": batch,
            # Where the loss function is given it as it is, classes are in dimension 1.
            "classes": 1 if what == "LogSoftmax" and shape == given and len(shape) > 1 and picks else None,
        }
        if len(found) < _MOST:
            found.setdefault(str(one), one)
    return list(found.values())


def _tail(node: Any) -> list[Any]:
    """Each softmax from the loss function down to the last layer."""
    found = []
    for _ in range(4 * _MOST_TAIL):
        if node is None or kind(node) in LAYERS or kind(node) == "AccumulateGrad":
            break
        if kind(node) == "Softmax":
            found.append(node)
        branches = [following for following in inputs(node) if following is not None]
        if len(branches) != 1 and kind(node) not in SHAPES:
            break
        node = branches[0] if branches else None
    return found


def _summed_last(watched: list[Any]) -> set[Any]:
    """Each softmax whose last dimension a product of matrices sums over, with nothing but views and dropout between."""
    found = set()
    for node in watched:
        if kind(node) != "Bmm":
            continue
        at = inputs(node)[0]
        for _ in range(8):
            if at is None or (kind(at) not in _KEEPS_LAST and not (kind(at) == "Mul" and dropped(at) is not None)):
                break
            at = next((following for following in inputs(at) if following is not None), None)
        if at is not None and kind(at) == "Softmax":
            mine, given = nodes.shape(at), nodes.shape(inputs(node)[0])
            if mine and given and mine[-1] == given[-1]:
                found.add(at)
    return found


def dropped(node: Any) -> float | None:
    """The share that a dropout leaves out, 0 to 1, by its node; None for anything else, and for a mask on a device."""
    if kind(node) == "NativeDropout":
        share = getattr(node, "_saved_p", None)
        return float(share) if isinstance(share, float) else None
    if kind(node) != "Mul" or nodes.only_input(node) is None:
        return None
    mask = nodes.factor(node)
    if not isinstance(mask, torch.Tensor) or not mask.is_cpu or not 16 <= mask.numel() <= _MOST_MASK:
        return None
    if not mask.is_floating_point():
        return None
    low, high = (float(one) for one in mask.aminmax())
    # The values that are kept are multiplied by 1 / (1 - p), the others by 0.
    if low != 0.0 or not 1.0 < high < 1e6 or not bool(((mask == 0) | (mask == high)).all()):
        return None
    return round(1.0 - 1.0 / high, 4)


def dropouts(watched: list[Any]) -> list[float]:
    """The shares that the dropouts of the graph leave out, modules and functions alike, each share once, sorted."""
    shares = {share for node in watched if (share := dropped(node)) is not None}
    return sorted(shares)[-_MOST:]


def thrown_away(node: Any) -> float | None:
    """The share that a dropout leaves out of the outputs a loss is given, softmax or not; None where none does.

    A mask of zeros and another number that is no dropout, such as weights, leaves out some other share than that.
    """
    for _ in range(_MOST_TAIL):
        if node is None:
            return None
        share = dropped(node)
        if share is not None or kind(node) not in SHAPES | {"Softmax", "LogSoftmax", "Sigmoid"}:
            return share if share is not None and _is_drawn(node, share) else None
        node = nodes.only_input(node)
    return None


def _is_drawn(node: Any, share: float) -> bool:
    """Whether values are left out as by chance: as many, within three standard deviations, and others in each row."""
    mask = nodes.factor(node) if kind(node) == "Mul" else None
    if not isinstance(mask, torch.Tensor):
        return True
    if mask.dim() > 1 and (bool((mask == mask[:1]).all()) or (mask.shape[-1] > 1 and 0 in mask.stride())):
        return False
    out = float((mask == 0).double().mean())
    return bool(abs(out - share) <= 3 * (share * (1 - share) / mask.numel()) ** 0.5)
