"""Whether a model that is to say what comes next can see it: labels one position on, and layers that look ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from ..rules.engine.records import Json
from . import nodes
from .loss import LossNode
from .nodes import below, inputs, kind
from .walk import given_to, weight_of

_SOFTMAX = frozenset({"Softmax", "SafeSoftmax"})
_FUSED = frozenset({
    "ScaledDotProductFlashAttentionForCpu", "ScaledDotProductFlashAttention", "ScaledDotProductEfficientAttention",
    "ScaledDotProductCudnnAttention",
})  # fmt: skip
_RECURRENT = frozenset({"MkldnnRnnLayer", "CudnnRnn", "MiopenRnn"})
WATCHED = _SOFTMAX | _FUSED | _RECURRENT | {"Embedding"}
"""Operations that a walk keeps for this module."""

_LEAST_LENGTH, _LEAST_COMPARED, _LEAST_VALUES = 3, 32, 3
_MOST_ELEMENTS = 1 << 18
"""Elements of tokens, of labels, and of attention weights that are looked at."""
_MOST_NODES = 5000
_ON_THE_WAY = nodes.SHAPES | {"MaskedFill", "Where", "Add", "Sub", "Mul", "Div", "ToCopy", "NativeDropout", "Tril"}
"""What lies between the product of queries and keys and the softmax over it."""


def ahead(
    watched: list[Any], linear: list[Any], function: LossNode | None, name: Callable[[torch.Tensor], str]
) -> list[dict[str, Json]]:
    """The layers in which a position sees the label it is to give: the fact `graph` says how each reads.

    Looked for only where the labels are the tokens that a model was given, one position on.
    """
    tokens = _followed(watched, function)
    if not tokens:
        return []
    found: list[dict[str, Json]] = []
    for node in watched:
        what = kind(node)
        if what in _RECURRENT:
            weights = [one.variable for one in inputs(node)[1:] if one is not None and kind(one) == "AccumulateGrad"]
            backward = next((called for one in weights if _runs_backward(called := name(one))), None)
            if backward is not None and _hangs_on(inputs(node)[0], tokens):
                found.append({"how": "recurrence", "share": None, "layer": backward})
        if what not in _FUSED and what not in _SOFTMAX:
            continue
        seen = _seen_ahead(node)
        key = inputs(node)[1] if what in _FUSED else _key(node)
        if seen is not None and key is not None and _hangs_on(key, tokens):
            found.append({"how": "attention", "share": seen, "layer": None})
    for node in linear:
        weight = weight_of(node)
        if weight is None or not _hangs_on(given_to(node), tokens):
            continue
        called = name(weight)
        if _runs_backward(called):
            found.append({"how": "recurrence", "share": None, "layer": called})
        elif kind(node) == "Convolution" and _is_centred(node, weight):
            found.append({"how": "convolution", "share": None, "layer": called})
    return found


def _runs_backward(weight: str) -> bool:
    """By the names torch gives to the weights of a bidirectional layer."""
    return weight.split(".")[-1].startswith("weight_ih") and weight.endswith("_reverse")


def _followed(watched: list[Any], function: LossNode | None) -> list[Any]:
    """The look-ups of tokens whose next ones are the labels."""
    if function is None or function.function not in ("cross_entropy", "nll_loss") or function.targets is None:
        return []
    labels = function.targets
    if labels.is_floating_point() or not labels.is_cpu or not _LEAST_COMPARED <= labels.numel() <= _MOST_ELEMENTS:
        return []
    found = []
    for node in watched:
        if kind(node) != "Embedding":
            continue
        tokens = nodes.saved(node, "indices")
        if not isinstance(tokens, torch.Tensor) or not tokens.is_cpu or tokens.dim() != 2:
            continue
        if any(_is_next(*pair, function.ignored) for pair in _pairs(tokens, labels)):
            found.append(node)
    return found


def _pairs(tokens: torch.Tensor, labels: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """(tokens, next tokens, labels), each (N, T - 1), for either order of samples and positions."""
    n = labels.numel()
    for swapped in (False, True):
        rows, columns = tokens.shape
        if n == tokens.numel():
            given = labels.reshape(rows, columns)
            rows_first = (tokens.t(), given.t()) if swapped else (tokens, given)
            yield rows_first[0][:, :-1], rows_first[0][:, 1:], rows_first[1][:, :-1]
        elif swapped and n == (rows - 1) * columns:
            yield tokens.t()[:, :-1], tokens.t()[:, 1:], labels.reshape(rows - 1, columns).t()
        elif not swapped and n == rows * (columns - 1):
            yield tokens[:, :-1], tokens[:, 1:], labels.reshape(rows, columns - 1)


def _is_next(now: torch.Tensor, following: torch.Tensor, labels: torch.Tensor, ignored: int) -> bool:
    if now.shape[1] < _LEAST_LENGTH - 1 or now.numel() > _MOST_ELEMENTS:
        return False
    counts = labels != ignored
    told = labels[counts]
    if told.numel() < _LEAST_COMPARED or not bool((following[counts] == told).all()):
        return False
    # Rows that stay the same are followed by themselves.
    return len(set(told.tolist())) >= _LEAST_VALUES and float((now[counts] == told).float().mean()) < 0.9


def _seen_ahead(node: Any) -> float | None:
    """The share of the attention that goes to later positions, 0 to 1; None where all is as it should be.

    A product of an even attention with as many later as earlier positions gives nearly a half. What is fused tells no
    weights: then it is the half that the missing mask leaves open.
    """
    if kind(node) in _FUSED:
        query, key = nodes.saved(node, "query"), nodes.saved(node, "key")
        if query is None or key is None or query.shape[-2] != key.shape[-2] or query.shape[-2] < _LEAST_LENGTH:
            return None
        if getattr(node, "_saved_is_causal", False):
            return None
        mask = nodes.saved(node, "attn_mask") if hasattr(node, "_saved_attn_mask") else nodes.saved(node, "attn_bias")
        return None if isinstance(mask, torch.Tensor) and mask.shape[-2] > 1 else 0.5
    sizes = nodes.shape(node) or []
    if len(sizes) < 3 or sizes[-1] != sizes[-2] or sizes[-1] < _LEAST_LENGTH:
        return None
    if nodes.signed(int(node._saved_dim)) % len(sizes) != len(sizes) - 1:
        return None
    weights = nodes.saved(node, "result")
    if not isinstance(weights, torch.Tensor) or not weights.is_cpu or weights.numel() > _MOST_ELEMENTS * 8:
        return None
    mean = weights.reshape(-1, sizes[-2], sizes[-1]).nan_to_num().mean(0)
    total = float(mean.sum())
    share = float(mean.triu(1).sum()) / total if total > 0 else 0.0
    return round(share, 4) if share > 0.05 else None


def _key(softmax: Any) -> Any:
    """The keys of the product of queries and keys that a softmax is over; None where it is over something else."""
    at = inputs(softmax)[0]
    for _ in range(16):
        at = below(at)
        if at is None or kind(at) in ("Bmm", "Baddbmm"):
            break
        if kind(at) not in _ON_THE_WAY:
            return None
        at = next((following for following in inputs(at) if following is not None), None)
    if at is None:
        return None
    return inputs(at)[-1]


def _hangs_on(node: Any, goals: list[Any]) -> bool:
    return any(one in goals for one in nodes.behind([node], _MOST_NODES))


def _is_centred(node: Any, weight: torch.Tensor) -> bool:
    """Whether a convolution over positions reaches as far ahead as back, and keeps their number."""
    if weight.dim() != 3 or weight.shape[2] < 3 or not weight.shape[2] % 2:
        return False
    lists = [getattr(node, f"_saved_{name}", None) for name in ("padding", "stride", "dilation")]
    if any(one is None for one in lists):
        return False
    # torch runs one over a row as one over a picture: the last entry is the row's.
    padding, stride, dilation = (int(list(one)[-1]) for one in lists if one is not None)
    return stride == 1 and padding == dilation * (int(weight.shape[2]) - 1) // 2
