"""What the drill `overfit-one-batch` measured, read from its fact."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..engine.finding import NotApplicable
from ..engine.records import Json
from ..engine.tables import number, table, tables, text


@dataclass(frozen=True)
class Trial:
    """The same with another learning rate."""

    rate: float
    """Times the rate as it is."""
    last: float
    lowest: float
    falls: float = 0.0
    """From the third quarter to the last."""


@dataclass(frozen=True)
class OneBatch:
    """The numbers of the fact; the loss at the end is a median of the last ones."""

    told: Mapping[str, Json]
    first: float
    last: float
    lowest: float
    iterations: int
    floor: float | None
    trials: tuple[Trial, ...]

    @classmethod
    def read(cls, fact: object) -> OneBatch | None:
        """None where not even the losses are known."""
        told = table(fact)
        first, last, lowest = (number(told.get(key)) for key in ("first", "last", "lowest"))
        iterations = number(told.get("iterations"))
        if first is None or last is None or lowest is None or iterations is None:
            return None
        trials = []
        for one in tables(told.get("trials")):
            rate, end, low = number(one.get("rate")), number(one.get("last")), number(one.get("lowest"))
            if rate and end is not None and low is not None and number(one.get("nonfinite_at")) is None:
                trials.append(Trial(rate, end, low, number(one.get("falls")) or 0.0))
        return cls(told, first, last, lowest, int(iterations), number(told.get("floor")), tuple(trials))

    def get(self, key: str) -> float | None:
        """A number of the fact."""
        return number(self.told.get(key))

    @property
    def top(self) -> float:
        """The loss of knowing nothing: that of one answer for all, else the first one."""
        guess = self.get("guess")
        return self.first if guess is None else guess

    def left(self, loss: float) -> float:
        """Share of the way from knowing nothing to the floor that is left at a loss; 0 where there is no way."""
        floor = self.floor or 0.0
        way = self.top - floor
        return (loss - floor) / way if way > 0 and math.isfinite(way) else 0.0

    def best(self, slower: bool) -> Trial | None:
        """The trial that came lowest, of those with a smaller rate, or a larger one."""
        fitting = [one for one in self.trials if (one.rate < 1) is slower]
        return min(fitting, key=lambda one: one.last, default=None)

    @property
    def n_classes(self) -> int:
        """0 where there are none."""
        return int(self.get("n_classes") or 0)

    @property
    def function(self) -> str:
        """The loss function; empty where it is not known."""
        return text(self.told.get("function"))

    @property
    def movement(self) -> str:
        """How far the weights went, in words."""
        moved = self.get("movement")
        return (
            "the weights moved by an unknown share"
            if moved is None
            else f"the weights moved by {moved:.1e} of their size"
        )


def why_still(seen: OneBatch) -> tuple[str, tuple[str, ...]]:
    """Message and advice about weights that do not move; raises `NotApplicable` where none were to be expected to."""
    if seen.get("rate_peak") == 0:
        raise NotApplicable("the learning rate is 0 in the first steps: a schedule warms it up")
    if seen.get("steps_of_others"):
        raise NotApplicable("the steps are made by optimizers that come and go, on other models")
    without, tensors = seen.get("without_gradient"), seen.get("tensors") or 0.0
    message = f"loss {seen.first:.6g} in each of {seen.iterations} iterations"
    if not seen.get("steps"):
        return f"{message}; the optimizer made 0 steps", ("Call optimizer.step() after loss.backward().",)
    if without is not None and without >= tensors:
        return (
            f"{message}; {without:.0f} of {tensors:.0f} parameters have no gradient, or one of 0",
            ("Not connected: look for detach(), .item(), no_grad, or a rounding between the loss and the model.",),
        )
    return (
        f"{message}; 0 of {tensors:.0f} parameters moved, where {tensors - (without or 0):.0f} have a gradient",
        ("Not connected: give the optimizer the parameters of this very model.", "Check the learning rate."),
    )
