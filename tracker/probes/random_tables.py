"""Tells weights that are frozen as they were drawn at random from those that were learned somewhere."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from .parameters import is_real

LEAST_ROWS, MOST_ROWS, MOST_COLUMNS = 64, 4096, 512
"""Rows and columns of a table that is looked at: about ten milliseconds for the largest, once."""

_KURTOSIS = (1.65, 3.1)
"""Fourth moment over the squared variance: 1.8 of a uniform, 3 of a normal distribution; one-hot rows have far more."""

_SLACK = 1.25
"""How far beyond their bounds eigenvalues of small tables scatter."""

LEAST_DRAWN, MOST_DRAWN = 64, 4096
"""Numbers of a weight from which on its distribution is looked at, and that are looked at."""

_FURTHEST = 1.63
"""Distance of Kolmogorov, times the root of n, that one in a hundred samples of the same distribution goes beyond."""

_SHORT = 7.0
"""How far short of its bound, times n, the largest of n even numbers falls in one of a thousand samples: ln(1000)."""

_DRAWN_SO = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def is_as_constructed(module: Any) -> bool:
    """Whether the weight of a frozen layer has the distribution that torch draws it from; False for one on a device.

    A `Linear` or a convolution is given even numbers between -1 and 1 over the root of its fan-in (`reset_parameters`).
    A training pushes some of those near the bounds across, and weight decay takes all away from there.
    """
    weight = getattr(module, "weight", None)
    if type(module) not in _DRAWN_SO or type(weight) is not nn.Parameter or weight.requires_grad:
        return False
    if not is_real(weight) or not weight.is_cpu or not weight.is_floating_point() or weight.numel() < LEAST_DRAWN:
        return False
    with torch.no_grad(), torch._C.DisableTorchFunction():
        bound = (weight.numel() // weight.shape[0]) ** -0.5
        every = weight.detach().reshape(-1)[:: -(-weight.numel() // MOST_DRAWN)].double() / bound
        n = every.numel()
        if not 1 - _SHORT / n < float(every.abs().max()) < 1 + 1e-6:
            return False
        even = torch.arange(1, n + 1, dtype=torch.float64) / n
        return float(((every.sort().values + 1) / 2 - even).abs().max()) * math.sqrt(n) < _FURTHEST


def was_trained_before(module: Any) -> bool:
    """Whether the scales of a frozen norm layer differ from one another; False for one on a device.

    torch makes them all 1, and who initialises them by hand gives them one value: only a training makes them differ.
    Model libraries have norm layers of their own, hence the name is asked for and not the class.
    """
    weight = getattr(module, "weight", None)
    if "norm" not in type(module).__name__.lower() or type(weight) is not nn.Parameter or weight.requires_grad:
        return False
    if not is_real(weight) or not weight.is_cpu or not weight.is_floating_point() or weight.dim() != 1:
        return False
    with torch.no_grad(), torch._C.DisableTorchFunction():
        return bool((weight != weight[:1]).any())


def is_random(weight: Any) -> bool:
    """Whether the rows of a table look as if each number was drawn by itself; False for one on a device.

    Of independent numbers, the eigenvalues of the correlations of d columns over n rows lie between (1 - r)^2 and
    (1 + r)^2, with r = sqrt(d / n) (Marchenko & Pastur 1967). What was learned has directions that stand out.
    """
    if not isinstance(weight, torch.Tensor) or weight.dim() != 2 or not is_real(weight) or not weight.is_cpu:
        return False
    if not weight.is_floating_point() or not 2 <= weight.shape[1] <= MOST_COLUMNS or weight.shape[0] < LEAST_ROWS:
        return False
    with torch.no_grad(), torch._C.DisableTorchFunction():
        rows = weight.detach()[:: -(-weight.shape[0] // MOST_ROWS)].double()
        rows = rows[rows.abs().amax(1) > 0]  # of padding
        n, d = rows.shape
        if n < max(LEAST_ROWS, 4 * d):
            return False
        rows = rows - rows.mean(0)
        variance = rows.square().mean(0)
        if not bool((variance > 0).all()):
            return False
        rows = rows / variance.sqrt()
        low, high = _KURTOSIS
        # Of N numbers that are normally distributed it has the standard error sqrt(24 / N).
        if not low <= float(rows.pow(4).mean()) <= high + 4 * math.sqrt(24 / (n * d)):
            return False
        values = torch.linalg.eigvalsh(rows.T @ rows / n)
        ratio = math.sqrt(d / n)
        return float(values[-1]) < _SLACK * (1 + ratio) ** 2 and float(values[0]) > (1 - ratio) ** 2 / _SLACK
