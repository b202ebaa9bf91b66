"""Digests the weights: at the first step, at epochs where the model is small enough, and at the end.

At the ends of epochs it is looked for bounds in them, too: numbers that were cut off at both sides are alike.
"""

from __future__ import annotations

from typing import Any

import torch

from ..rules.engine.records import Json
from .parameters import DIGEST_BYTES, digest, is_real
from .probe import Probe

MOST_BOUNDED = 200
"""Weights of two dimensions or more that are asked for bounds."""

MOST_IN_VAIN = 3
"""Epochs without bounds after which none are looked for any more."""

LEAST_AT_A_BOUND = 0.02
"""Share of a weight's numbers that are at each of its two bounds."""


class Weights(Probe):
    """The fact `weights`: digest at the start, the latest digest, and after how many steps it was taken.

    Fact `bounds`, at the ends of epochs and of the run, where there are some: `[{"name", "bound": the largest number of
    the weight, which is that of its smallest with another sign, "share": of the numbers that are one of the two}]`. On
    the CPU only, and no more where the first epochs have none.
    """

    name = "weights"

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._start: str | None = None
        self._latest: tuple[str, int] | None = None
        self._has_bounds, self._looks = False, 0

    def adopted(self) -> None:
        held = self.training.owned
        if self.training.step == 0 and all(o.is_real() for o in held) and sum(o.size() for o in held) <= DIGEST_BYTES:
            self._start = digest(item for owned in held for item in owned.items())

    def end_epoch(self) -> None:
        if self.training.session.clock.source != "steps":  # those are too many, and end nothing
            self._take(DIGEST_BYTES)
        if sum(owned.size() for owned in self.training.owned) <= DIGEST_BYTES:
            self._look()

    def begin_another(self) -> None:
        self._looks = 0

    def finish(self) -> None:
        self._take(None)
        if self._latest is not None:
            digest_now, steps = self._latest
            self.journal.fact("weights", self.training.done, {"start": self._start, "end": digest_now, "step": steps})
        self._look()

    def _look(self) -> None:
        """Tells the bounds of the weights that still live, where there are some, or were."""
        if self._looks >= MOST_IN_VAIN and not self._has_bounds:
            return
        weights = self._matrices()
        self._looks += bool(weights)
        bounded: list[Json] = [
            {"name": name, "bound": found[0], "share": found[1]}
            for name, weight in weights
            if (found := bounds_of(weight)) is not None
        ]
        if weights and (bounded or self._has_bounds):
            self._has_bounds = bool(bounded)
            self.training.fact("bounds", bounded)

    def _matrices(self) -> list[tuple[str, torch.Tensor]]:
        found = [
            (name, weight)
            for owned in self.training.owned
            for name, weight in owned.items()
            if type(weight) in (torch.Tensor, torch.nn.Parameter) and is_real(weight) and weight.is_cpu
            if weight.layout is torch.strided and weight.is_floating_point() and weight.dim() > 1 and weight.numel() > 1
        ]
        return found[:MOST_BOUNDED]

    def _take(self, most: int | None) -> None:
        held, steps = self.training.owned, self.training.done
        if not held or (self._latest is not None and self._latest[1] == steps):
            return
        if all(owned.is_whole() and owned.is_real() for owned in held) and (
            most is None or sum(owned.size() for owned in held) <= most
        ):
            self._latest = (digest(item for owned in held for item in owned.items()), steps)


def bounds_of(weight: torch.Tensor) -> tuple[float, float] | None:
    """The bound at which the numbers of a weight were cut off at both sides, and the share of those that were."""
    with torch.no_grad(), torch._C.DisableTorchFunction():
        values = weight.detach()
        low, high = values.aminmax()
        if not bool(low == -high) or not bool(high > 0):
            return None
        shares = [float((values == bound).float().mean()) for bound in (low, high)]
        return (float(high), sum(shares)) if min(shares) >= LEAST_AT_A_BOUND else None
