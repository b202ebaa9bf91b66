"""What the values of a tensor are like, in numbers that a fact can hold."""

from __future__ import annotations

import math

import torch

from ..rules.engine.records import Json

_MOST_VALUES = 4_000_000
"""Values that are looked at, rows first: 16 MB, and some milliseconds."""


def described(tensor: torch.Tensor) -> dict[str, Json]:
    """`dtype`, `shape`, and of its values `low`, `high`, `mean`, `std`, `nonfinite` (how many); of rows (N, ...) of
    numbers also `features` and `constant`, how many of these have one value in all rows, and `channels`, the mean of
    each, of pictures (N, C, H, W) with up to 4 of them."""
    found: dict[str, Json] = {"dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape)}
    rows = _some_rows(tensor.detach())
    if not rows.numel() or rows.is_complex():
        return found
    values = rows.to(torch.float64 if rows.device.type != "mps" else torch.float32)
    finite = torch.isfinite(values)
    found["nonfinite"] = int((~finite).sum())
    kept = values[finite]
    if not kept.numel():
        return found
    found |= {
        "low": _number(kept.min()),
        "high": _number(kept.max()),
        "mean": _number(kept.mean()),
        "std": _number(kept.std(correction=0)),
    }
    if values.dim() > 1 and len(values) > 1:
        # Compared as they are: a standard deviation of large equal numbers is rounding.
        is_constant = (values == values[:1]).all(0)
        found["features"], found["constant"] = is_constant.numel(), int(is_constant.sum())
        found["rows"] = len(values)
    if values.dim() == 4 and values.shape[1] <= 4 and found["nonfinite"] == 0:
        found["channels"] = [_number(one) for one in values.mean((0, 2, 3))]
    return found


def scale_of(tensor: torch.Tensor) -> dict[str, Json]:
    """Mean, root mean square and extremes of the finite values of a tensor."""
    values = _some_rows(tensor.detach()).float()
    values = values[torch.isfinite(values)]
    if not values.numel():
        return {}
    return {
        "mean": _number(values.mean()),
        "std": _number(values.std(correction=0)),
        "rms": _number(values.double().square().mean().sqrt()),
        "low": _number(values.min()),
        "high": _number(values.max()),
    }


def _some_rows(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.dim() == 0:
        return tensor.reshape(1)
    width = max(1, tensor.numel() // max(1, len(tensor)))
    return tensor[: max(2, _MOST_VALUES // width)]


def _number(value: torch.Tensor) -> float | None:
    number = float(value)
    return float(f"{number:.6g}") if math.isfinite(number) else None
