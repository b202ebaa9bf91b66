"""Histograms of tensors: what lies in each of some equal bins between the smallest value and the largest."""

from __future__ import annotations

import math

import torch

BINS = 32

MOST_VALUES = 4096
"""Values of a tensor up to which all are looked at; of a larger one it is half as many or less.

A bin that holds a tenth of 2,000 values is off by 7 % or so.
"""

_NEARLY = 16
"""Times `MOST_VALUES` that are copied at most, of a tensor whose values do not lie side by side."""


def sampled(tensor: torch.Tensor, most: int = MOST_VALUES) -> torch.Tensor:
    """A copy of at most `most` values as a vector in float32 at least, spread evenly over the tensor, on its device.

    Every n-th is taken, where n has no divisor in common with the size: one that the units of a layer divide would come
    upon the same unit again and again.
    """
    tensor = tensor.detach()
    wide = torch.float64 if tensor.dtype is torch.float64 else torch.float32
    size = tensor.numel()
    if size <= most:
        return tensor.reshape(-1).to(wide, copy=True)
    if not _lies_side_by_side(tensor):
        tensor = _thinned(tensor, _NEARLY * most).reshape(-1).contiguous()
        size = tensor.numel()
    n = -(-2 * size // most)
    while math.gcd(n, size) != 1:
        n += 1
    # In the order of the memory, which is not that of the dimensions in every layout: a histogram has no order.
    return tensor.as_strided((-(-size // n),), (n,)).to(wide, copy=True)


def binned(values: torch.Tensor) -> list[float] | None:
    """The lowest value, the highest, and the count of each bin, of a vector on the CPU; None when nothing is finite.

    A bin holds its lower bound, the last one its upper bound as well. Values that are all the same are in the last bin.
    """
    if not values.numel():
        return None
    low, high = (bound.item() for bound in values.aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        values = values[values.isfinite()]
        if not values.numel():
            return None
        low, high = (bound.item() for bound in values.aminmax())
    if low == high:
        return [low, high, *[0.0] * (BINS - 1), float(values.numel())]
    # In float64 the width of what was float32 has neither an overflow nor an underflow.
    values = values.double()
    scale = _fitting(low, high)
    if scale != 1.0:
        values = values * scale
    return [low, high, *torch.histc(values, BINS, low * scale, high * scale).tolist()]


def binned_there(values: torch.Tensor) -> torch.Tensor:
    """The same as a vector (2 + BINS,) on the device of the values, which nobody waits for; NaN if nothing is finite.

    (`histc` on a device is not deterministic, and its bounds would have to come home first.)
    """
    finite = values.isfinite()
    low = torch.where(finite, values, math.inf).amin()
    high = torch.where(finite, values, -math.inf).amax()
    ordered = torch.where(finite, values, math.inf).sort().values
    places = torch.linspace(0.0, 1.0, BINS + 1, device=values.device, dtype=values.dtype)
    edges = low * (1 - places) + high * places
    starts = torch.searchsorted(ordered, edges[:-1])
    starts[0] = 0
    counts = torch.cat([starts, finite.sum().reshape(1)]).diff()
    bounds = torch.where(low <= high, torch.stack([low, high]), math.nan)
    return torch.cat([bounds, counts.to(values.dtype)])


def _fitting(low: float, high: float) -> float:
    """A factor with which neither the width from `low` to `high` nor what is made of it is too large or small."""
    width = high - low
    return 2.0**-100 if width > 1e280 else 2.0**200 if width < 1e-280 else 1.0


def _lies_side_by_side(tensor: torch.Tensor) -> bool:
    """Whether the values fill a stretch of memory, each once."""
    if tensor.is_contiguous():
        return True
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    return tensor.dim() in formats and tensor.is_contiguous(memory_format=formats[tensor.dim()])


def _thinned(tensor: torch.Tensor, most: int) -> torch.Tensor:
    """Some slices of a tensor, along its longest dimension, with about `most` values."""
    dim = max(range(tensor.dim()), key=lambda at: tensor.shape[at])
    step = max(1, min(tensor.numel() // most, tensor.shape[dim]))
    return tensor[(slice(None),) * dim + (slice(None, None, step),)]
