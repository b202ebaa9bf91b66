"""A short row of numbers for each sample, which stays nearly the same where the sample does: noise, brightness, coding.

numpy alone computes them, from a generator of its own: neither the user's generators nor their modes of torch matter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

WIDTH = 64
"""Numbers of a sketch, at most: distances in a projection to 64 directions are right within about 9 %."""

SIGNAL, TABLE = "signal", "table"
"""Values of one kind, such as pixels, of which only the pattern counts; and columns that have a scale each."""

_SIDE = 32
"""Rows and columns of an image that are taken, before the mean of each two by two."""
_VALUES = 4096
"""Values of a sample that are taken where it is no image."""
_FEATURES = 1024
"""Values that are left of them, each the mean of some in a row."""
_LEAST_SIGNAL = 32
"""Values from which on a row may be a signal: of fewer, the pattern is hardly more than their order."""
_ONE_SCALE = 10.0
"""How far the spread of single columns may go from the usual one for all to be of one kind."""
_MOST_SWITCHES = 0.5
"""Share of the columns with two values, as those of one-hot codes, from which on they are columns of a table."""
_LEAST_ROWS = 8
"""Samples needed in the first batch, to learn the scale of columns from it."""
_FLAT = 1e-6
"""Spread of a sample, relative to its largest value, below which it has no pattern."""


class Sketcher:
    """Makes sketches that can be compared: all by what was learned from the first batch."""

    def __init__(self) -> None:
        self.kind: str | None = None
        """`SIGNAL` or `TABLE`, once a batch could be used."""
        self.why = "no samples were looked at; those of batches that are on a device are not"
        """Why there are no sketches so far."""
        self._shape: tuple[int, ...] = ()
        self._scale: Any = None
        self._directions: Any = None

    def of_samples(self, rows: torch.Tensor) -> Any:
        """Sketches (n, at most `WIDTH`) of samples (n, ...) as float64; None where these are not covered.

        A sample that cannot be compared, as it is blank or not finite, has a row of NaNs.
        """
        values = _features(rows)
        if values is None:
            self.why = "samples of whole numbers, such as token ids, are not covered"
            return None
        with np.errstate(all="ignore"):
            if self.kind is None and not self._learn(rows.dim(), values):
                return None
            if values.shape[1:] != self._shape:
                return None
            if self.kind == SIGNAL:
                values = values - values.mean(1, keepdims=True)
                size = np.sqrt((values**2).sum(1, keepdims=True))
                largest = np.abs(values).max(1, keepdims=True, initial=0.0)
                values = np.where(size > _FLAT * np.maximum(largest, 1e-30), values / size, np.nan)
            else:
                values = values * self._scale
            if self._directions is not None:
                values = values @ self._directions
        return np.where(np.isfinite(values).all(1, keepdims=True), values, np.nan)

    def _learn(self, dim: int, values: Any) -> bool:
        spread = np.nan_to_num(values).std(0)
        varied = spread[spread > 0]
        if len(values) < _LEAST_ROWS or not len(varied):
            self.why = f"the first batch has fewer than {_LEAST_ROWS} samples, or they are all the same"
            return False
        width = values.shape[1]
        self.kind = SIGNAL if width >= _LEAST_SIGNAL and (dim > 2 or _is_of_one_kind(values, varied)) else TABLE
        self._shape = (width,)
        self._scale = 1 / np.where(spread > 0, spread, np.median(varied))  # what is constant here may vary later
        if width > WIDTH:
            self._directions = np.random.default_rng(20).standard_normal((width, WIDTH)) / WIDTH**0.5
        return True


def _is_of_one_kind(values: Any, spread: Any) -> bool:
    """Whether the columns of a table are all like each other, and no switches: pixels in a row, say."""
    ordered = np.sort(values, axis=0)
    levels = (ordered[1:] > ordered[:-1]).sum(0) + 1
    is_switched = (levels == 2).sum() > _MOST_SWITCHES * (levels > 1).sum()
    return bool(np.percentile(spread, 90) <= _ONE_SCALE * np.median(spread) and not is_switched)


def _features(tensor: torch.Tensor) -> Any:
    """The values of each sample (n, features) in float64: of large samples the means of neighbours; None for tokens."""
    if not tensor.is_cpu or tensor.is_complex() or not (tensor.is_floating_point() or tensor.dim() > 2):
        return None
    rows = tensor.detach()
    if rows.dim() > 2 and min(rows.shape[-2:]) >= _SIDE:
        rows = rows[..., :: rows.shape[-2] // _SIDE, :: rows.shape[-1] // _SIDE][..., :_SIDE, :_SIDE]
        values = rows.double().numpy()
        *first, high, wide = values.shape
        values = values.reshape(*first, high // 2, 2, wide // 2, 2).mean((-3, -1))
        flat = values.reshape(len(values), -1)
    else:
        rows = rows.reshape(len(rows), -1)
        rows = rows[:, :: -(-rows.shape[1] // _VALUES)]
        flat = rows.double().numpy()
    count = -(-flat.shape[1] // _FEATURES)
    if count > 1:
        flat = flat[:, : flat.shape[1] // count * count].reshape(len(flat), -1, count).mean(2)
    return flat
