"""Digests of batches and of the samples in them: equal for equal values, and only compared within one process."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

ELEMENTS = 128
"""Values that stand for a sample, and a quarter of those that stand for a tensor of a batch, spread evenly over it."""

_TOKENS = 2048
"""Whole numbers of a row that are all taken: tokens, whose padding is cut off first."""


def of_batch(tensors: Sequence[torch.Tensor], most: int = 4) -> int | None:
    """Digest of the first tensors of a batch that are on the CPU; None when none is."""
    parts = [(tuple(t.shape), t.dtype, _spread(t)) for t in tensors[:most] if t.is_cpu and t.numel()]
    return hash(tuple(parts)) if parts else None


def of_samples(tensor: torch.Tensor, most: int) -> list[int]:
    """A digest of each of the first `most` rows of a tensor (N, ...); empty when it is on a device or has no rows."""
    if not tensor.is_cpu or tensor.dim() == 0 or not tensor.numel() or most <= 0:
        return []
    rows = tensor.detach()[:most]
    rows = rows.reshape(len(rows), -1)
    is_whole = not (rows.is_floating_point() or rows.is_complex())
    allowed = _TOKENS if is_whole else ELEMENTS
    if rows.shape[1] > allowed:
        rows = rows[:, :: _stride(rows.shape[1], allowed)]
    rows = rows.clone(memory_format=torch.contiguous_format)  # `contiguous` leaves the stride of a single row
    if is_whole and rows.dtype is torch.int64 and rows.shape[1] > 1:
        return [hash(_without_padding(row)) for row in rows.tolist()]
    data = rows.reshape(-1).view(torch.uint8).numpy().tobytes()
    width = len(data) // len(rows)
    return [hash(data[start : start + width]) for start in range(0, len(data), width)]


def _without_padding(row: list[int]) -> tuple[int, ...]:
    """Tokens up to the padding: what a row ends with at least twice. The batch decides how much of it there is."""
    stop = len(row)
    while stop and row[stop - 1] == row[-1]:
        stop -= 1
    return tuple(row if stop == len(row) - 1 else row[:stop])


def _stride(n: int, most: int) -> int:
    """The least step that takes at most `most` of `n` values and has no factor in common with `n`.

    One that had would see the same columns of each row again and again: of images, perhaps their empty margin.
    """
    step = -(-n // most)
    while step > 1 and math.gcd(step, n) > 1:
        step += 1
    return step


def _spread(tensor: torch.Tensor) -> bytes:
    flat = tensor.detach()
    if not flat.is_contiguous():
        flat = flat[:8]  # a copy of all of it may be large
    flat = flat.reshape(-1)
    flat = flat[:: _stride(flat.numel(), 4 * ELEMENTS)].clone(memory_format=torch.contiguous_format)
    return bytes(flat.view(torch.uint8).numpy().tobytes())
