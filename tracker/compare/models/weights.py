"""The tensors of two models beside each other: A's put into B, and two checkpoints compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .matches import Match, Matching
from .sizes import EXACT, Size, Tolerance, aligned, size_of

LOW_RANK = 0.25
"""A difference is called of low rank up to this share of the full one: that of an adapter is a few percent."""
_NEGLIGIBLE = 1e-3
"""Share of the greatest singular value below which one counts as rounding: a merged adapter is rounded to float32, or
to bfloat16, whose step is 2**-8 of the weight, not of the difference."""
_LARGEST = 2048
"""Rows or columns up to which singular values are computed."""


@dataclass(frozen=True)
class WeightDifference:
    """One tensor that is not the same in the two models."""

    a: str
    b: str
    size: Size
    rank: int | None = None
    """Rank of the difference of two matrices where it is low, as an adapter (LoRA) makes it; else None."""
    full_rank: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The machine form."""
        return {"a": self.a, "b": self.b, "size": self.size.as_json(), "rank": self.rank, "full_rank": self.full_rank}


def put_into(matches: Sequence[Match], values: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor]) -> None:
    """Writes A's values, by name, into the tensors of B, in B's dtype and on its device."""
    with torch.no_grad():
        for match in matches:
            value = match.value("a", values)
            targets = [b[name] for name in match.b]
            if match.is_sum and len(targets) == 2:
                targets[1].zero_()
                targets = targets[:1]
            shapes = [one.t().shape if match.flips_b else one.shape for one in targets]
            parts = torch.split(value, [shape[0] for shape in shapes]) if len(shapes) > 1 else (value,)
            for target, part, shape in zip(targets, parts, shapes, strict=True):
                shaped = part.reshape(shape)
                target.data.copy_(shaped.t() if match.flips_b else shaped)


def weight_differences(
    matching: Matching, a: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor], tolerance: Tolerance = EXACT
) -> tuple[WeightDifference, ...]:
    """The tensors that differ, the most different first; also those that only one side has."""
    found = []
    seen: set[tuple[int, ...]] = set()
    for match in matching.matches:
        key = tuple(id(tensors[name]) for names, tensors in ((match.a, a), (match.b, b)) for name in names)
        if key in seen:
            continue  # a tied weight, under its other name
        seen.add(key)
        one, other = match.value("a", a), match.value("b", b)
        if one.shape != other.shape and aligned(one, other) is None and one.numel() == other.numel():
            other = other.reshape(one.shape)
        size = size_of([(one, other)], tolerance)
        if not size.is_zero:
            rank, full = _rank(one, other)
            found.append(WeightDifference(match.name, " + ".join(match.b), size, rank, full))
    for names, side in ((matching.left_a, "a"), (matching.left_b, "b")):
        for name, shape in names.items():
            ours, theirs = (str(list(shape)), "nothing") if side == "a" else ("nothing", str(list(shape)))
            size = Size(float("inf"), kind="missing", a=ours, b=theirs)
            found.append(WeightDifference(name if side == "a" else "", name if side == "b" else "", size))
    return tuple(sorted(found, key=lambda one: -one.size.relative))


def _rank(a: torch.Tensor, b: torch.Tensor) -> tuple[int | None, int | None]:
    """(rank of B - A, full rank) where the rank is low; (None, None) else."""
    if a.dim() != 2 or a.shape != b.shape or not 8 <= min(a.shape) <= max(a.shape) <= _LARGEST:
        return None, None
    difference = b.double() - a.double().to(b.device)
    if not bool(torch.isfinite(difference).all()):
        return None, None
    values = torch.linalg.svdvals(difference)
    rank, full = int((values > _NEGLIGIBLE * values[0]).sum()), min(a.shape)
    return (rank, full) if rank <= LOW_RANK * full else (None, None)
