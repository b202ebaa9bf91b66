"""How far two tensors are apart, in the numbers that tell a rounding error from a mistake."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Size:
    """The difference of two tensors, or of the same number of tensors taken together."""

    relative: float
    """Root mean square of the difference over that of A; 1 where A is zero and B is not. Infinite where only one of
    them is finite, or where the shapes do not fit."""
    max_abs: float = 0.0
    """Greatest difference of two elements."""
    share: float = 0.0
    """Share of the elements, 0 to 1, that are further apart than the tolerance times the root mean square of A."""
    cosine: float | None = None
    """Cosine of the angle between the two; None where one of them is zero or not finite."""
    scale: float = 0.0
    """Root mean square of A."""
    rms: float = 0.0
    """Root mean square of the difference."""
    kind: str = "values"
    """`values`, `shape`, `dtype`, `nonfinite`, or `missing` where only one of the two has a tensor."""
    a: str = ""
    """Shape or dtype of A, where it is these that differ."""
    b: str = ""

    @property
    def is_zero(self) -> bool:
        """True when no bit matters: the values are equal."""
        return self.relative == 0 and self.max_abs == 0

    def __str__(self) -> str:
        if self.kind == "values":
            cosine = "" if self.cosine is None else f", cosine {self.cosine:.6g}"
            return f"{self.relative:.2g} of the rms, at most {self.max_abs:.2g}, {self.share:.1%} of elements{cosine}"
        words = {"shape": "shapes", "dtype": "dtypes", "nonfinite": "non-finite elements", "missing": "presence"}
        return f"{words[self.kind]} {self.a} and {self.b}"

    def as_json(self) -> dict[str, Any]:
        """The machine form; numbers that are not finite are None."""
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in asdict(self).items()
        }


SAME = Size(0.0)


def eps_of(dtype: torch.dtype) -> float:
    """Distance of 1 to the next number; 0 for integers."""
    return float(torch.finfo(dtype).eps) if dtype.is_floating_point or dtype.is_complex else 0.0


def aligned(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor | None:
    """B in the shape of A: as it is, without axes of length 1, with its first two axes swapped, or flattened.

    None where it is neither: the two then are different things. (T, B, E) and (B, T, E) are the layouts of sequences.
    """
    if a.shape == b.shape:
        return b
    if a.numel() != b.numel() or not a.numel():
        return None
    without = [size for size in a.shape if size != 1]
    if without == [size for size in b.shape if size != 1]:
        return b.reshape(a.shape)
    if b.dim() >= 2 and b.transpose(0, 1).shape == a.shape:
        return b.transpose(0, 1)
    if (
        a.dim()
        and b.dim()
        and a.shape[0] == b.shape[0]
        and (a.flatten(1).shape == b.flatten(1).shape)
        and 2
        in (
            a.dim(),
            b.dim(),
        )
    ):
        return b.reshape(a.shape)
    return None


@dataclass(frozen=True)
class Tolerance:
    """Up to where two elements count as equal: |b - a| <= atol + rtol * |a| + of_rms * rms(a)."""

    of_rms: float = 0.0
    rtol: float = 0.0
    atol: float = 0.0


EXACT = Tolerance()


def size_of(pairs: Iterable[tuple[torch.Tensor, torch.Tensor]], tolerance: Tolerance = EXACT) -> Size:
    """The difference of the pairs, as one: all of A's elements against all of B's. Shapes are brought together."""
    squares = differences = others = products = 0.0
    beyond = elements = 0
    most = 0.0
    for a, b in pairs:
        fitting = aligned(a, b)
        if fitting is None:
            return Size(math.inf, math.inf, 1.0, kind="shape", a=str(list(a.shape)), b=str(list(b.shape)))
        x, y = _wide(a), _wide(fitting.to(a.device))
        finite = torch.isfinite(x) & torch.isfinite(y)
        if not bool(finite.all()):
            odd = ~finite
            if not torch.equal(torch.nan_to_num(x[odd], 7.0), torch.nan_to_num(y[odd], 7.0)):
                counts = [str(int((~torch.isfinite(one)).sum())) for one in (x, y)]
                return Size(math.inf, math.inf, float(odd.double().mean()), kind="nonfinite", a=counts[0], b=counts[1])
            x, y = x[finite], y[finite]
        if not x.numel():
            continue
        apart = (x - y).abs()
        square = float((x * x).sum())
        squares += square
        others += float((y * y).sum())
        products += float((x * y).sum())
        differences += float((apart * apart).sum())
        most = max(most, float(apart.max()))
        within = tolerance.atol + tolerance.of_rms * math.sqrt(square / x.numel()) + tolerance.rtol * x.abs()
        beyond += int((apart > within).sum())
        elements += x.numel()
    if not elements:
        return SAME
    relative = math.sqrt(differences / squares) if squares else float(differences > 0)
    both = math.sqrt(squares) * math.sqrt(others)
    cosine = max(-1.0, min(1.0, products / both)) if both else None
    rms, scale = math.sqrt(differences / elements), math.sqrt(squares / elements)
    return Size(relative, most, beyond / elements, cosine, scale, rms)


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach().cpu() if tensor.device.type == "mps" else tensor.detach()  # which has no float64
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    return tensor.to(torch.float64)
