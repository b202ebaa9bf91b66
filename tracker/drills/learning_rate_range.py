"""The learning rate from far too small to far too large, in one sweep: where the loss falls, and where it breaks."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Sequence
from statistics import median

from ..drilling.drill import Drill, Drive, Notes, Skip
from ..drilling.preserved import preserved
from ..drilling.subject import Subject
from ..rules.engine.signals import DRILL_LOSS, DRILL_LR
from .rates import Rates, begins_at, given, held_rates, peak, swept_groups

LOW, HIGH = 1e-7, 10.0
"""Ends of the sweep, after fast.ai's finder; further apart where the user's own rate asks for it."""
ITERATIONS, FEWEST = 100, 40
"""Of a sweep; of one with fewer the steepest place cannot be told."""
OWN_STEPS = 20
"""Steps at the user's own rate."""
SMOOTHING = 0.7
"""Weight of the past in the running mean of the loss: the batch never changes, so there is little noise in it."""
BROKEN = 4.0
"""Times the best loss at which a sweep ends, as fast.ai's does; the loss must also be above where it began, as that of
a batch that is known by heart may be next to nothing."""
FALLEN = 0.02
"""Share of the first loss that it must have fallen by before a place is called the steepest."""


class LearningRateRange(Drill):
    """Raises the learning rate of all groups from step to step, on one batch (Smith 2017, "LR range test").

    Before that, a few steps from the same state at the user's own rate. One batch flatters: the rates that all batches
    together can bear lie somewhat lower.
    """

    name = "learning-rate-range"
    title = "learning-rate range"
    seconds = 20.0
    in_loop = True

    def drive(self, subject: Subject, notes: Notes) -> Drive:
        groups = swept_groups(subject.optimizers)
        known = [given(group) for group in groups]
        own, highest = max(map(begins_at, groups)), max(map(peak, groups))
        began = time.monotonic()
        with held_rates(subject.optimizers, groups, [rate / max(known) for rate in known]) as rates:
            with preserved(subject.modules, subject.optimizers, subject.others):
                losses, moved, each = yield from _own(rates, own or highest, OWN_STEPS if own else 1, self.budget)
            low, high = min(LOW, highest / 100), max(HIGH, 30 * highest)
            total = min(ITERATIONS, int((self.budget - (time.monotonic() - began)) / max(each, 1e-9)))
            if total < FEWEST:
                raise Skip(f"an iteration takes {each:.2g} s: {FEWEST} of them take more than {self.budget:.0f} s")
            ramp = [low * (high / low) ** (place / (total - 1)) for place in range(total)]
            sweep = Sweep()
            with preserved(subject.modules, subject.optimizers, subject.others):
                rates.begin(low)
                while len(sweep.losses) < total and not sweep.is_over and time.monotonic() - began < self.budget:
                    rates.set(ramp[len(sweep.losses)])
                    try:
                        sweep.add((yield))
                    except Exception:  # code of the user's that looks for NaN, or a distribution that does
                        if len(sweep.losses) < FEWEST:
                            raise
                        sweep.add(math.nan)
                    if len(sweep.losses) == 1 and own > 100 * low and rates.moved() > moved / 2 > 0:
                        raise Skip("the steps do not follow the learning rate of the optimizer's groups")
            if rates.is_counted and not rates.steps:
                raise Skip(f"no optimizer made a step in {len(sweep.losses)} iterations")
        self._curve(notes, self.name, sweep.losses, ramp)
        if own:
            self._curve(notes, f"{self.name}/own", losses, [own] * len(losses))
        notes.fact(**_told(sweep, ramp, own, highest, losses if own else []))

    def _curve(self, notes: Notes, subject: str, losses: Sequence[float], rates: Sequence[float]) -> None:
        for place, (loss, rate) in enumerate(zip(losses, rates, strict=False)):
            notes.reading(DRILL_LR, subject, place, rate)
            notes.reading(DRILL_LOSS, subject, place, loss)


def _own(
    rates: Rates, rate: float, steps: int, budget: float
) -> Generator[None, float, tuple[list[float], float, float]]:
    """The losses at one rate, before each step and behind the last; how far the first step went; seconds of one.

    It ends at once where what follows would take more seconds than `budget`.
    """
    rates.begin(rate)
    losses: list[float] = []
    seconds: list[float] = []
    moved = 0.0
    for place in range(steps + 1):
        began = time.monotonic()
        try:
            losses.append((yield))
        except Exception:
            if not losses:
                raise
            losses.append(math.nan)
        seconds.append(time.monotonic() - began)
        if place == 0:
            moved = rates.moved()
            if not math.isfinite(losses[0]):
                raise Skip(f"the loss is {losses[0]} before the first step")
        if not math.isfinite(losses[-1]) or (place == 1 and seconds[1] * (steps + FEWEST) > budget):
            break
    return losses, moved, median(seconds[1:])


def _told(
    sweep: Sweep, ramp: Sequence[float], own: float, peak: float, losses: Sequence[float]
) -> dict[str, float | str | bool | None]:
    """The fact: rates, losses, and what they come to in a sentence."""
    last = ramp[len(sweep.losses) - 1]
    steepest = ramp[sweep.steepest] if sweep.steepest is not None else None
    breaks_at = ramp[sweep.broken] if sweep.broken is not None else None
    later = losses[len(losses) // 2 :]
    is_finite = all(map(math.isfinite, losses))
    said = [
        f"the loss falls fastest at {steepest:.2g}" if steepest is not None else "the loss fell at no rate",
        f"breaks at {breaks_at:.2g}" if breaks_at is not None else f"does not break up to {last:.2g}",
    ]
    if losses:
        steps = len(losses) - 1
        said.append(f"at yours, {own:.3g}, it goes from {losses[0]:.4g} to {losses[-1]:.4g} in {steps} steps")
    return {
        "low": ramp[0],
        "high": last,
        "iterations": len(sweep.losses),
        "first": sweep.losses[0],
        "best": sweep.smoothed[sweep.best],
        "best_at": ramp[sweep.best],
        "steepest": steepest,
        "tenth": ramp[sweep.best] / 10 if steepest is not None else None,
        "breaks_at": breaks_at,
        "own": own or None,
        "peak": peak,
        "own_steps": max(0, len(losses) - 1),
        "own_first": losses[0] if losses else None,
        "own_last": losses[-1] if losses and is_finite else None,
        "own_later": median(later) if losses and is_finite else None,
        "own_finite": is_finite if losses else None,
        "own_noise": _noise(losses) if losses and is_finite else None,
        "summary": "; ".join(said) + " (one batch flatters)",
    }


def _noise(losses: Sequence[float]) -> float | None:
    """How far a loss lies beside the line through its neighbours, in the median: dropout, not learning."""
    beside = [abs(a - 2 * b + c) / 2 for a, b, c in zip(losses, losses[1:], losses[2:], strict=False)]
    return median(beside) if beside else None


# -- the sweep -----------------------------------------------------------------------------------------------------


class Sweep:
    """The losses of a sweep, each before the step at its rate."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.smoothed: list[float] = []
        """Running means, without the pull towards zero that they have at first (Kingma and Ba 2015, section 3)."""
        self.broken: int | None = None
        """Place of the step that broke the loss."""
        self._mean = 0.0

    @property
    def is_over(self) -> bool:
        """Whether the loss is broken: nothing beyond that tells anything."""
        return self.broken is not None

    def add(self, loss: float) -> None:
        """Takes the next loss; the first one must be finite."""
        self.losses.append(loss)
        place = len(self.losses) - 1
        if not math.isfinite(loss):
            self.broken = max(0, place - 1)  # a loss is that before its step: the one before has done it
            return
        self._mean = SMOOTHING * self._mean + (1 - SMOOTHING) * loss
        self.smoothed.append(self._mean / (1 - SMOOTHING ** (place + 1)))
        low, now, first = min(self.smoothed), self.smoothed[-1], self.losses[0]
        if now > max(first, self.smoothed[0]) and now - low > (BROKEN - 1) * max(abs(low), 1e-12):
            # The running mean tells it a few steps late: it began behind the last loss no higher than the first.
            self.broken = max(at for at, one in enumerate(self.losses) if one <= first)

    @property
    def best(self) -> int:
        """Place of the least smoothed loss."""
        return min(range(len(self.smoothed)), key=self.smoothed.__getitem__)

    @property
    def steepest(self) -> int | None:
        """Place where the smoothed loss falls most from one rate to the next; None where it hardly fell."""
        end, values = self.best, self.smoothed
        if self.losses[0] - values[end] < FALLEN * abs(self.losses[0]):
            return None
        reach = 2
        return max(range(1, end + 1), key=lambda at: values[max(0, at - reach)] - values[min(end, at + reach)])
