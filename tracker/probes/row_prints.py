"""Numbers by which the samples of a batch are known again, computed where the batch is: nobody waits for a device."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch

_ELEMENTS = 128
"""Values that stand for a sample, spread evenly over it."""

_TOKENS = 2048
"""Whole numbers of a sample that are all taken: tokens, whose padding is left out first."""

_FEW = 8
"""Values of a sample below which it is told apart together with what else the model is given of it, and whole numbers
below which none is padding."""

_MOST_TENSORS = 4

_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""Constants of the generator splitmix64 (Steele, Lea and Flood, 2014), which spreads bits over a word."""

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def row_prints(main: torch.Tensor, others: Sequence[torch.Tensor] = ()) -> torch.Tensor:
    """A whole number of 64 bits (N,) for each row of `main` (N, ...), on its device: equal for equal rows.

    Rows that have few values are told apart by those of `others` (N, ...) too (see `beside`). How much padding there is
    makes no difference: it is what a row of whole numbers ends with at least twice, or zeros.
    Two different samples have the same number with a probability of about 2^-40 and less.
    """
    found = _of_tensor(main, 0)
    for number, other in enumerate(others, 1):
        found = found + _of_tensor(other, number)
    return found


def beside(main: torch.Tensor, given: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """What else of the inputs `given` is needed to tell the rows of `main` apart: nothing, unless it has few values."""
    if main.numel() >= _FEW * len(main):
        return []
    found = [one for one in given if one is not main and one.dim() and one.numel() and len(one) == len(main)]
    return [one for one in found if one.device == main.device][:_MOST_TENSORS]


def _of_tensor(tensor: torch.Tensor, number: int) -> torch.Tensor:
    tensor = tensor.detach()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    if tensor.dim() == 4 and not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last):
        tensor = tensor.permute(0, 2, 3, 1)  # as it lies in memory: nothing is copied
    rows = tensor.reshape(len(tensor), -1)
    is_floating = rows.is_floating_point()
    most = _ELEMENTS if is_floating else _TOKENS
    if rows.shape[1] > most:
        rows = rows[:, :: _stride(rows.shape[1], most)]
    words = (rows.view(_INTEGERS[rows.element_size()]) if is_floating else rows).to(torch.int64)
    words = words * _signed(_FIRST)
    words = words ^ (words >> 32)
    if not is_floating and rows.shape[1] >= _FEW:
        ends = rows == rows[:, -1:]
        padding = ends.flip(1).cumprod(1).flip(1)
        words = words * (1 - padding * (padding.sum(1, keepdim=True) > 1))
    return (words * _factors(rows.shape[1], number, rows.device)).sum(1)


@functools.lru_cache(maxsize=64)
def _factors(n: int, number: int, device: torch.device) -> torch.Tensor:
    """`n` odd words (n,), others for each number of a tensor."""
    return moved(torch.tensor([_mixed(number * _TOKENS + at) for at in range(n)], dtype=torch.int64), device)


def moved(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor of the CPU on another device, which is not waited for."""
    pinned = tensor.pin_memory() if device.type == "cuda" else tensor
    return pinned.to(device, non_blocking=True)


def _mixed(value: int) -> int:
    word = (value + 1) * _GOLDEN & _WORD
    word = (word ^ (word >> 30)) * _FIRST & _WORD
    word = (word ^ (word >> 27)) * _SECOND & _WORD
    return _signed((word ^ (word >> 31)) | 1)


_WORD = (1 << 64) - 1


def _signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word


def _stride(n: int, most: int) -> int:
    """The least step that takes at most `most` of `n` values and has no factor in common with `n`."""
    step = -(-n // most)
    while step > 1 and math.gcd(step, n) > 1:
        step += 1
    return step
