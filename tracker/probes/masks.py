"""Tells masks that are the wrong way round, and normalisation over a single value."""

from __future__ import annotations

from math import prod
from typing import Any

import torch

from ..rules.engine.records import Json
from . import nodes
from .nodes import inputs, kind

WATCHED = frozenset({
    "Embedding", "Softmax", "SafeSoftmax", "ScaledDotProductFlashAttentionForCpu", "MaskedFill", "Mul",
    "NativeLayerNorm", "NativeGroupNorm",
})  # fmt: skip
"""Operations that a walk keeps for this module."""

_MOST_ELEMENTS = 1 << 21
_MOST_NODES = 64
_LEAST_TOKENS = 4
"""Different tokens among those a mask leaves out: types of segments and flags have two or three values."""
_NO_WEIGHT = -1e4
"""Added to a score, leaves no attention over."""


def upside_down(watched: list[Any]) -> dict[str, Json] | None:
    """How a mask leaves out all real tokens and keeps the filler; None where none does.

    A mask is known by what it does: attention weights that are 0, scores or products that are. It is the wrong way
    round where all that it keeps is one and the same token, at the end of each row or at its start, and nothing that it
    leaves out is that token. Of products and fillings, nothing is said where another mask is the right way round: a
    blend of two things needs both.
    """
    read = [nodes.saved(node, "indices") for node in watched if kind(node) == "Embedding"]
    tables = [ids for ids in read if isinstance(ids, torch.Tensor) and ids.is_cpu and ids.dim() == 2]
    tables = [ids for ids in tables if len(ids) > 1 and ids.numel() <= _MOST_ELEMENTS][:4]
    if not tables:
        return None
    found: dict[str, Json] | None = None
    is_right = False
    masking = [node for node in watched if kind(node) in _READ]
    for node in masking[:_MOST_NODES]:
        for ids in [*tables, *(ids.t() for ids in tables)]:
            kept = _READ[kind(node)](node, ids)
            if kept is None or kept.shape != ids.shape:
                continue
            filler = _only(ids, kept)
            if filler is not None and (found is None or kind(node) in _WEIGHTS):
                by = "attention" if kind(node) in _WEIGHTS else "product"
                found = {"by": by, "filler": filler, "kept": round(float(kept.double().mean()), 4)}
            is_right = is_right or _only(ids, ~kept) is not None
    return None if found is None or (is_right and found["by"] == "product") else found


def _only(ids: torch.Tensor, kept: torch.Tensor) -> int | None:
    """The token that is all a mask keeps of sequences (N, T), at their ends, and that it never leaves out."""
    if bool(kept.all(1).any()):
        return None
    some = kept.any(1)
    rows, ids = kept[some], ids[some]
    if len(rows) < 2 or int(rows.sum(1).max()) < 2:
        return None
    change = rows.long().diff(dim=1)
    if bool((change < 0).any()) and bool((change > 0).any()):
        return None
    filler = int(ids[rows][0])
    left_out = ids[~rows]
    if bool((ids[rows] != filler).any()) or bool((left_out == filler).any()):
        return None
    return filler if len(torch.unique(left_out)) >= _LEAST_TOKENS else None


def _of_weights(node: Any, ids: torch.Tensor) -> torch.Tensor | None:
    """Which keys (N, T) some query gives a weight, by the result of a softmax."""
    result = nodes.saved(node, "result")
    if not isinstance(result, torch.Tensor) or not result.is_cpu or not 1 < result.numel() <= _MOST_ELEMENTS:
        return None
    rows = result.movedim(nodes.signed(int(node._saved_dim)), -1)
    if rows.dim() < 2 or rows.shape[-1] != ids.shape[1] or rows.shape[0] % len(ids):
        return None
    return (rows.reshape(len(ids), -1, rows.shape[-1]) > 0).any(1)


def _of_attention(node: Any, ids: torch.Tensor) -> torch.Tensor | None:
    """The same by the mask that attention in one piece was given, (N, 1 or heads, 1 or queries, T)."""
    mask = nodes.saved(node, "attn_mask")
    if not isinstance(mask, torch.Tensor) or not mask.is_cpu or mask.dim() != 4 or mask.numel() > _MOST_ELEMENTS:
        return None
    if len(mask) != len(ids) or mask.shape[-1] != ids.shape[1]:
        return None
    return (mask if mask.dtype is torch.bool else mask > _NO_WEIGHT).any(2).any(1)


def _of_filling(node: Any, ids: torch.Tensor) -> torch.Tensor | None:
    mask = nodes.saved(node, "mask")
    return None if not isinstance(mask, torch.Tensor) else _flags(mask, ids, is_kept=False)


def _of_product(node: Any, ids: torch.Tensor) -> torch.Tensor | None:
    mask = nodes.factor(node) if nodes.only_input(node) is not None else None
    return None if not isinstance(mask, torch.Tensor) else _flags(mask, ids, is_kept=True)


def _flags(mask: torch.Tensor, ids: torch.Tensor, is_kept: bool) -> torch.Tensor | None:
    """A mask (N, T) or (N, T, 1) of ones and zeros."""
    if not mask.is_cpu or mask.dim() not in (2, 3) or mask.shape[:2] != ids.shape or mask.numel() != ids.numel():
        return None
    flags = mask.reshape(ids.shape)
    if not bool(((flags == 0) | (flags == 1)).all()):
        return None
    return (flags != 0) if is_kept else (flags == 0)


_WEIGHTS = frozenset({"Softmax", "SafeSoftmax", "ScaledDotProductFlashAttentionForCpu"})
_READ = {
    "Softmax": _of_weights,
    "SafeSoftmax": _of_weights,
    "ScaledDotProductFlashAttentionForCpu": _of_attention,
    "MaskedFill": _of_filling,
    "Mul": _of_product,
}


def of_one_value(watched: list[Any]) -> list[tuple[str, torch.Tensor | None]]:
    """Kind and weight of each normalisation over a single value: what it puts out is its bias, whatever it is given."""
    found: list[tuple[str, torch.Tensor | None]] = []
    for node in watched:
        if kind(node) == "NativeLayerNorm":
            sizes = getattr(node, "_saved_normalized_shape", None)
            if sizes is not None and prod(int(size) for size in sizes) == 1:
                found.append(("layer norm", _learned(node)))
        elif kind(node) == "NativeGroupNorm":
            channels, positions, groups = (
                int(getattr(node, name, 0)) for name in ("_saved_C", "_saved_HxW", "_saved_group")
            )
            if channels * positions == groups > 0:
                found.append(("group norm", _learned(node)))
    return found


def _learned(node: Any) -> torch.Tensor | None:
    """The weight of a normalisation; None where it has none."""
    found = inputs(node)
    at = found[1] if len(found) > 1 else None
    return at.variable if at is not None and kind(at) == "AccumulateGrad" else None
