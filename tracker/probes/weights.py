"""Digests the weights that optimizers own: at the first step, and at the end.

At the ends of epochs it is looked for bounds in them: numbers that were cut off at both sides are alike.
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

STEPS_LATER = 100
"""Steps up to which the weights are digested at the ends of epochs, for models that are gone when the run ends."""

LEAST_AT_A_BOUND = 0.02
"""Share of a weight's numbers that are at each of its two bounds."""


class Weights(Probe):
    """The fact `weights`: `{"start": digest, "end": digest at the end, "step": steps made by then}`.

    Where they are gone by the end there is `later` in place of `end`, of one of the first epochs. The whole state of
    models, also of those that are gone, is told by the fact `fingerprint`.

    Fact `bounds`, at the ends of epochs and of the run, where there are some: `[{"name", "bound": the largest number of
    the weight, which is that of its smallest with another sign, "share": of the numbers that are one of the two}]`. On
    the CPU only, and no more where the first epochs have none.
    """

    name = "weights"

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._start: str | None = None
        self._later: tuple[str, int] | None = None
        self._has_bounds, self._looks = False, 0

    def adopted(self) -> None:
        held = self.training.owned
        if self.training.step == 0 and all(o.is_real() for o in held) and sum(o.size() for o in held) <= DIGEST_BYTES:
            self._start = digest(item for owned in held for item in owned.items())

    def end_epoch(self) -> None:
        if self.training.done and (self._later is None or self._later[1] < STEPS_LATER):
            found = self._digest(DIGEST_BYTES)
            self._later = self._later if found is None else (found, self.training.done)
        if sum(owned.size() for owned in self.training.owned) <= DIGEST_BYTES:
            self._look()

    def begin_another(self) -> None:
        self._looks = 0

    def finish(self) -> None:
        if self.training.owned:
            end, steps = self._digest(None), self.training.done
            told: dict[str, Json] = {"start": self._start, "end": end, "step": steps}
            if end is None and self._later is not None:
                told = {"start": self._start, "later": self._later[0], "step": self._later[1]}
            if end is not None or self._later is not None:
                self.journal.fact("weights", steps, told)
        self._look()

    def _digest(self, most: int | None) -> str | None:
        """Of all that optimizers own; None when one is gone, or they have more than `most` bytes."""
        held = self.training.owned
        if not all(owned.is_whole() and owned.is_real() for owned in held):
            return None
        if most is not None and sum(owned.size() for owned in held) > most:
            return None
        return digest(item for owned in held for item in owned.items())

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


def bounds_of(weight: torch.Tensor) -> tuple[float, float] | None:
    """The bound at which the numbers of a weight were cut off at both sides, and the share of those that were."""
    with torch.no_grad(), torch._C.DisableTorchFunction():
        values = weight.detach()
        low, high = values.aminmax()
        if not bool(low == -high) or not bool(high > 0):
            return None
        shares = [float((values == bound).float().mean()) for bound in (low, high)]
        return (float(high), sum(shares)) if min(shares) >= LEAST_AT_A_BOUND else None
