"""Central differences of one entry against its gradient: how far apart they are, and whether the two can be compared.

At a kink (ReLU at 0, a tie of a maximum) there is no derivative to compare with: the differences to the left and to the
right are not the same there. Where no two steps give the same difference, what is computed is too coarse for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import torch

from ..rules.engine.records import Json

AGREES, WRONG, SMALL, KINK, UNSTEADY, FLAT = "agrees", "wrong", "small", "kink", "unsteady", "flat"
"""Of an entry: gradient and difference agree; do not; are lost in rounding; a kink is near; no steady difference is to
be had; the function does not change at all, and the gradient says that it does."""


@dataclass(frozen=True)
class Precision:
    """What can be told in a floating-point type."""

    dtype: torch.dtype
    rounding: float
    """Relative error of a value: a few units in the last place."""
    steps: tuple[float, ...]
    """Relative to the size of an entry; the first is tried alone. 1e-5: CS231n, "Gradient checks"."""
    margin: float
    """Times the noise of a difference that a derivative must have."""
    close: float
    """Relative error below which nothing further is tried. 1e-4 in float64: CS231n."""


DOUBLE = Precision(torch.float64, 4 * 2.2e-16, (1e-5, 1e-6, 1e-7, 1e-4, 1e-3), 1e3, 1e-4)
SINGLE = Precision(torch.float32, 4 * 1.2e-7, (1e-2, 3e-3, 1e-3, 3e-2), 30.0, 2e-2)

STEADY = 0.2
"""Two steps give the same difference when they are this share of the error apart."""
ONE_SIDED = 0.1
"""Left and right differ when they are this share of the larger apart."""


@dataclass(frozen=True)
class Entry:
    """One entry of a tensor."""

    kind: str
    error: float = 0.0
    """|a - n| / max(|a|, |n|); 0 where the two were not compared."""
    analytic: float = 0.0
    numeric: float = 0.0


def compare(
    change: Callable[[float], float], analytic: float, size: float, rounding: float, precision: Precision
) -> Entry:
    """Compares a gradient with differences of `change(delta)`: how far the function is from its value without a change.

    `size` is that of the entry, and `rounding` the absolute error of the function.
    """
    if not math.isfinite(analytic):
        return Entry(UNSTEADY)
    steps = [size * step for step in precision.steps]
    sides = [_sides(change, steps[0])]
    first = _central(sides[0], steps[0])
    if first is None:
        return Entry(UNSTEADY)
    if max(abs(first), abs(analytic)) <= precision.margin * rounding / steps[0]:
        return Entry(SMALL, 0.0, analytic, first)
    if relative(analytic, first) < precision.close:
        return Entry(AGREES, relative(analytic, first), analytic, first)
    sides += [_sides(change, step) for step in steps[1:]]
    found = sorted(
        (step, numeric, side)
        for step, side in zip(steps, sides, strict=True)
        if (numeric := _central(side, step)) is not None
    )
    if len(found) < len(steps):
        return Entry(UNSTEADY)
    best = min((numeric for _, numeric, _ in found), key=lambda numeric: relative(analytic, numeric))
    error = relative(analytic, best)
    if error < precision.close:
        return Entry(AGREES, error, analytic, best)
    if all(numeric == 0.0 for _, numeric, _ in found[:3]):
        return Entry(FLAT, 1.0, analytic, 0.0)
    if any(_is_kink(step, side) for step, _, side in found[:2]):
        return Entry(KINK)
    spread, steady = min((relative(a[1], b[1]), b[1]) for a, b in pairwise(found))
    if spread > STEADY * error:
        return Entry(UNSTEADY)
    return Entry(WRONG, error, analytic, best if precision is DOUBLE else steady)


def relative(a: float, b: float) -> float:
    """|a - b| / max(|a|, |b|), as CS231n has it; 0 for two zeros."""
    larger = max(abs(a), abs(b))
    return abs(a - b) / larger if larger else 0.0


def _sides(change: Callable[[float], float], step: float) -> tuple[float, float]:
    return change(step), change(-step)


def _central(sides: tuple[float, float], step: float) -> float | None:
    found = (sides[0] - sides[1]) / (2 * step)
    return found if math.isfinite(found) else None


def _is_kink(step: float, sides: tuple[float, float]) -> bool:
    right, left = sides[0] / step, -sides[1] / step
    return abs(right - left) > ONE_SIDED * max(abs(right), abs(left))


@dataclass
class Entries:
    """What the entries of one tensor came to."""

    entries: list[Entry] = field(default_factory=list)

    def count(self, *kinds: str) -> int:
        """Entries of these kinds."""
        return sum(one.kind in kinds for one in self.entries)

    @property
    def worst(self) -> Entry | None:
        """The compared entry with the largest error."""
        return max((one for one in self.entries if one.kind in (AGREES, WRONG, FLAT)), key=_error, default=None)

    def facts(self) -> dict[str, Json]:
        """The counts, the errors from the largest down, and the worst entry."""
        worst = self.worst
        errors = sorted((one.error for one in self.entries if one.kind in (AGREES, WRONG, FLAT)), reverse=True)
        return {
            "error": worst.error if worst else None,
            "analytic": worst.analytic if worst else None,
            "numeric": worst.numeric if worst else None,
            "entries": len(errors),
            "errors": [float(f"{error:.3g}") for error in errors[:32]],
            "flat": self.count(FLAT),
            "moving": sum(one.kind == AGREES and one.numeric != 0.0 for one in self.entries),
            "sloped": sum(one.kind == WRONG and one.numeric != 0.0 for one in self.entries),
            "kinks": self.count(KINK),
            "small": self.count(SMALL),
            "unsteady": self.count(UNSTEADY),
        }


def _error(entry: Entry) -> float:
    return entry.error


def chosen(gradient: torch.Tensor | None, numel: int, most: int, generator: torch.Generator) -> list[int]:
    """Flat places of entries to check: half with the largest gradient, half by chance.

    By chance alone, an embedding would show nothing: most of its rows have no gradient.
    """
    if numel <= most:
        return list(range(numel))
    found: dict[int, None] = {}
    if gradient is not None:
        found.update(dict.fromkeys(gradient.reshape(-1).abs().topk(most // 2).indices.tolist()))
    for place in torch.randint(numel, (4 * most,), generator=generator).tolist():
        if len(found) >= most:
            break
        found[place] = None
    return list(found)


def entry_size(tensor: torch.Tensor, place: int) -> float:
    """The size that a step is relative to: of the entry or of a usual one, and at least 0.1."""
    usual = float(tensor.detach().double().square().mean().sqrt())
    size = max(abs(float(tensor.detach().reshape(-1)[place])), usual, 0.1)
    return size if math.isfinite(size) else 1.0
