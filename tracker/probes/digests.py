"""Digests of batches and of the samples in them: equal for equal values.

`of_batch` and `of_samples` are only compared within one process; `of_values`, `of_array` and `of_rows` say the same in
every process.
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Sequence
from typing import Any

import torch

ELEMENTS = 128
"""Values that stand for a sample, and a quarter of those that stand for a tensor of a batch, spread evenly over it."""

_TOKENS = 2048
"""Whole numbers of a row that are all taken: tokens, whose padding is cut off first."""

_WHOLE_BYTES = 32 << 10
"""Bytes of a tensor up to which all of them are digested: 40 us; of a larger one, `SPREAD` values and a sum."""

_SUMMED_BYTES = 4 << 20
"""Bytes of a tensor up to which all are summed, so that one changed value shows: 1 ms."""

SPREAD = 4096
"""Values that stand for a large tensor."""

_ROWS, _WORD = 1024, 8
"""Rows of a batch that `of_rows` takes, and bytes of the whole numbers it reckons with."""

_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""Constants of the generator splitmix64 (Steele, Lea and Flood, 2014), which spreads bits over a word."""


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


def of_values(tensors: Sequence[torch.Tensor], summed: int = _SUMMED_BYTES) -> str | None:
    """A stable digest (16 hexadecimal digits) of tensors on the CPU: shape, dtype, values; None when there are none.

    Of a large tensor some values are taken, and up to `summed` bytes the sum of all.
    """
    hasher = hashlib.blake2b(digest_size=8)
    seen = [tensor for tensor in tensors if tensor.is_cpu]
    for tensor in seen:
        hasher.update(f"{tuple(tensor.shape)}|{tensor.dtype}|".encode())
        if tensor.numel():
            _add(hasher, tensor.detach(), summed)
    return hasher.hexdigest() if seen else None


def of_array(array: Any, summed: int = _SUMMED_BYTES) -> str | None:
    """The same of a numpy array of numbers; None of another one."""
    if array.dtype.kind not in "biufc":
        return None
    numpy: Any = sys.modules["numpy"]
    hasher = hashlib.blake2b(f"{array.shape}|{array.dtype}|".encode(), digest_size=8)
    if array.size:
        is_small = array.nbytes <= summed
        flat = numpy.ascontiguousarray(array if is_small or array.flags.c_contiguous else array[:8]).reshape(-1)
        _add_flat(hasher, flat, is_small)
    return hasher.hexdigest()


def of_rows(tensor: torch.Tensor) -> str | None:
    """A stable digest of the first rows of a tensor (N, ...), whatever their order; None on a device or without rows.

    The sum modulo 2^64 of a digest of each row, from at most `ELEMENTS` values spread over it.
    """
    if not tensor.is_cpu or tensor.dim() == 0 or not tensor.numel():
        return None
    numpy: Any = sys.modules.get("numpy")
    if numpy is None:
        return None
    rows = tensor.detach()[:_ROWS].reshape(min(_ROWS, len(tensor)), -1)
    if rows.shape[1] > ELEMENTS:
        rows = rows[:, :: _stride(rows.shape[1], ELEMENTS)]
    rows = rows.resolve_conj().clone(memory_format=torch.contiguous_format)
    data = rows.reshape(-1).view(torch.uint8).numpy().reshape(len(rows), -1)
    words = numpy.zeros((len(rows), -(-data.shape[1] // _WORD)), numpy.uint64)
    words.view(numpy.uint8).reshape(len(rows), -1)[:, : data.shape[1]] = data
    factors = _mixed(numpy, numpy.arange(1, words.shape[1] + 1, dtype=numpy.uint64)) | numpy.uint64(1)
    told = _mixed(numpy, (_mixed(numpy, words) * factors).sum(axis=1, dtype=numpy.uint64))
    return f"{int(told.sum(dtype=numpy.uint64)):016x}"


def of_whole_numbers(values: Sequence[int]) -> str | None:
    """A stable digest of whole numbers, whatever their order; None when numpy is not there."""
    numpy: Any = sys.modules.get("numpy")
    if numpy is None:
        return None
    told = _mixed(numpy, numpy.asarray(values, dtype=numpy.int64).reshape(-1).view(numpy.uint64))
    return f"{len(told)}:{int(told.sum(dtype=numpy.uint64)):016x}"


def _mixed(numpy: Any, words: Any) -> Any:
    """Each word with its bits spread over all of it, as splitmix64 does."""
    words = words * numpy.uint64(_GOLDEN) + numpy.uint64(_GOLDEN)
    words = (words ^ (words >> numpy.uint64(30))) * numpy.uint64(_FIRST)
    words = (words ^ (words >> numpy.uint64(27))) * numpy.uint64(_SECOND)
    return words ^ (words >> numpy.uint64(31))


def _add(hasher: Any, tensor: torch.Tensor, summed: int) -> None:
    is_small = tensor.numel() * tensor.element_size() <= summed
    if not is_small and not tensor.is_contiguous():
        tensor = tensor[:8]  # a copy of all of it may be large
    flat = tensor.resolve_conj().resolve_neg().contiguous().reshape(-1)
    size = flat.element_size()
    _add_flat(
        hasher,
        flat.view(torch.uint8).numpy().reshape(-1, size) if size > 1 else flat.view(torch.uint8).numpy(),
        is_small,
    )


def _add_flat(hasher: Any, flat: Any, is_small: bool) -> None:
    """Adds a contiguous array (n,) of values, or (n, bytes of a value)."""
    if flat.nbytes <= _WHOLE_BYTES:
        hasher.update(flat.data)
        return
    numpy: Any = sys.modules["numpy"]
    hasher.update(flat[:: _stride(len(flat), SPREAD)].tobytes())
    if is_small:
        data = flat.reshape(-1).view(numpy.uint8)
        whole = len(data) - len(data) % _WORD
        words = data[:whole].view(numpy.uint64)
        hasher.update(f"{int(words.sum(dtype=numpy.uint64))}|".encode() + data[whole:].tobytes())
