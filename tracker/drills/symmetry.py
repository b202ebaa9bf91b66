"""Units of a layer that are copies of each other, in their weights and in their gradients."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from ..rules.engine.records import Json

MOST = 50
TOLERANCE = 1e-4
"""Share of the way that weights have moved by which copies may differ: sums of the same numbers in another order."""


def same_units(
    before: Mapping[str, torch.Tensor],
    parameters: Mapping[str, torch.Tensor],
    gradients: Mapping[str, torch.Tensor],
) -> list[Json]:
    """Weight matrices that began with all rows alike, and what becomes of them.

    `before` are the weights of the first step, `parameters` those of some steps later, `gradients` those of the first.
    A matrix of a single row or column is left out. Each::

        {"name", "units": rows, "constant": all weights are the same number, "zero": that number is 0,
         "apart": norm of what the rows of the gradient differ by from their mean, over its norm; None where it is 0,
         "size": norm of the gradient over the largest of all matrices,
         "stays": whether the rows are alike later; None where nothing has moved}
    """
    found: list[Json] = []
    with torch.no_grad():
        norms = {name: float(torch.linalg.vector_norm(gradients[name].float())) for name in before if name in gradients}
        largest = max(norms.values(), default=0.0)
        for name, start in before.items():
            rows = start.reshape(start.shape[0], -1)
            if rows.shape[0] < 2 or rows.shape[1] < 2 or not bool((rows == rows[:1]).all()):
                continue
            norm = norms.get(name, 0.0)
            found.append(
                {
                    "name": name,
                    "units": rows.shape[0],
                    "constant": bool((rows == rows[:1, :1]).all()),
                    "zero": not bool(rows.any()),
                    "apart": _apart(gradients[name], norm) if norm > 0 and math.isfinite(norm) else None,
                    "size": norm / largest if largest > 0 and math.isfinite(norm / largest) else None,
                    "stays": _stays(start, parameters[name].detach()),
                }
            )
            if len(found) >= MOST:
                break
    return found


def _apart(gradient: torch.Tensor, norm: float) -> float:
    rows = gradient.reshape(gradient.shape[0], -1).float()
    return float(torch.linalg.vector_norm(rows - rows.mean(0))) / norm


def _stays(start: torch.Tensor, now: torch.Tensor) -> bool | None:
    moved = (now - start).float().abs().max()
    if not bool(moved > 0):
        return None
    rows = now.reshape(now.shape[0], -1).float()
    return bool((rows - rows[:1]).abs().max() <= TOLERANCE * moved)
