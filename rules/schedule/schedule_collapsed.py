"""A schedule that is over long before the training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import ONE_OBJECTIVE
from ..engine.progress import lost_share
from ..engine.rates import rate_at
from ..engine.signals import LOSS, LR, SCORE, TRAIN_ACCURACY, VAL_ACCURACY
from ..engine.tables import number, table, tables, text

LATEST = 5
"""Accuracies whose median is the one that was reached."""


class ScheduleCollapsed(Rule):
    """The learning rate falls below a hundredth of its peak before half of the steps are made, or a thousandth before
    seven tenths, and learning stops there; or a plateau is looked for the wrong way round, and each improvement lowers
    the rate.

    ## Why it matters
    The rest of the run changes nothing any more: epochs are paid for and nothing is learned in them.

    ## What to try
    - Check whether the schedule is stepped as often as it was planned for: per epoch or per batch.
    - Decay by less, or plan the schedule over all steps.
    - Check the patience of a schedule that waits for the loss: it may be counted in batches.
    - Give `ReduceLROnPlateau` mode="min" for a loss, and mode="max" for an accuracy.

    ## When it is wrong
    A rate that is lowered once the loss has come to rest is what schedules are for: the loss must have been falling,
    and be far from zero. Cycles that rise again are not meant, nor is a decay to zero towards the end. A held-out loss
    that only rises looks like an accuracy: with mode="min" the number must be one that is known to be an accuracy.

    ## References
    - Karpathy 2019, A Recipe for Training Neural Networks: a decay tied to the epochs of another data set drives the
      rate to zero too early.
    - PyTorch documentation, ReduceLROnPlateau: `min` waits for a number that has stopped falling, `max` for one that
      has stopped rising.
    """

    phases = (Phase.RUN,)
    severity = Severity.WARNING
    level = Level.SETTING
    needs = (LR, LOSS)
    bars = {"peak": LR, "loss": LOSS, "initial": LOSS}
    history = 1
    waits_for_warmup = False
    profiles = ONE_OBJECTIVE
    explains = (Level.DYNAMICS, Level.OUTCOME, "learning-rate-too-low")

    ratio: float = Field(0.01, gt=0, lt=1)
    """Share of the peak below which a rate has collapsed."""

    quantile: float = Field(0.5, gt=0, lt=1)
    """Share of the steps after which it may."""

    dead_ratio: float = Field(0.001, gt=0, lt=1)
    """Share of the peak below which a rate moves nothing any more, whatever the loss has come to."""

    dead_quantile: float = Field(0.7, gt=0, lt=1)
    """Share of the steps after which it may: a schedule that ends near 0 is there for the last few per cent."""

    dead_level: float = Field(0.02, gt=0, lt=1)
    """Share of its first level that the loss must still have then."""

    min_steps: PositiveInt = 50
    """Steps before anything is said."""

    min_level: float = Field(0.2, gt=0, lt=1)
    """Share of its first level that the loss must still have: below it, most was learned."""

    max_accuracy: float = Field(0.95, gt=0, le=1)
    """Accuracy above which the task is learned."""

    min_bests: PositiveInt = 3
    """Times that a watched number was better than ever in the other direction, for its mode to be the wrong one."""

    factor: float = Field(3.0, gt=1)
    """How many times as often that must have been as in the direction of its mode."""

    least_fall: float = Field(0.1, gt=0, lt=1)
    """Share by which a number that ought to rise, and the training loss, must have fallen in all."""

    tolerance: float = Field(0.01, gt=0, lt=1)
    """Share by which a watched number may differ from an accuracy that is the same."""

    healthy = {"lr": {"0": [0.1 * (1 - i / 100) for i in range(100)]}, "loss": [2.0 * 0.97**i for i in range(100)]}
    faulty = {"lr": {"0": [0.1 * 0.8**i for i in range(100)]}, "loss": [2.0 - 0.05 * min(i, 12) for i in range(100)]}

    def check(self, trace: Trace) -> Iterator[Finding]:
        points, total = rate_at(trace), trace.step + 1
        if len(points) < 2 or total < self.min_steps:
            raise NotApplicable(f"{len(points)} changes of the learning rate in {total} steps")
        peak = max(rate for _, rate in points)
        if (wrong := self._wrong_way(trace, points)) is not None:
            yield wrong
            return
        at = _last_stretch(points, self.ratio * peak)
        if peak > 0 and at is not None and at < self.quantile * total and self._has_stopped(trace, at, total):
            yield self._finding(trace, points, peak, at, total, self.ratio)
            return
        at = _last_stretch(points, self.dead_ratio * peak)
        if peak > 0 and at is not None and at < self.dead_quantile * total and self._was_cut_off(trace, points, peak):
            yield self._finding(trace, points, peak, at, total, self.dead_ratio)

    def _has_stopped(self, trace: Trace, at: int, total: int) -> bool:
        """Whether the loss came to rest far above zero, when the rate fell at `at`."""
        start, end = self._ends(trace)
        if start <= 0 or end < self.min_level * start or _reached(trace) > self.max_accuracy:
            return False
        # Where the rate falls at once, there was no time to come to rest.
        return (at < self.quantile / 2 * total and end > 0.5 * start) or _was_falling(_losses_until(trace, at))

    def _was_cut_off(self, trace: Trace, points: list[tuple[int, float]], peak: float) -> bool:
        """Whether the loss was still falling when a rate that is as good as 0 now began to fall: no plateau led it."""
        if any("plateau" in text(one.get("class")).lower() for one in tables(trace.facts.get("schedulers"))):
            return False
        start, end = self._ends(trace)
        if start <= 0 or end < self.dead_level * start or _reached(trace) > self.max_accuracy:
            return False
        high = max(index for index, (_, rate) in enumerate(points) if rate >= 0.5 * peak)
        if high + 1 >= len(points):
            return False
        return _was_falling(_losses_until(trace, points[high + 1][0]))

    def _ends(self, trace: Trace) -> tuple[float, float]:
        losses = [loss for loss in trace.series(LOSS) if math.isfinite(loss)]
        n = max(5, len(losses) // 10)
        return (median(losses[:n]), median(losses[-n:])) if losses else (0.0, 0.0)

    def _finding(
        self, trace: Trace, points: list[tuple[int, float]], peak: float, at: int, total: int, ratio: float
    ) -> Finding:
        start, end = self._ends(trace)
        return Finding(
            message=f"the learning rate is below {ratio:.1%} of its peak {peak:.3g} from step {at} of {total} on "
            f"(now {points[-1][1]:.2g}), when the loss was still falling; it rests at {end:.4g}, {start:.4g} at "
            "the start",
            advice=(
                "Check whether the schedule is stepped as often as it was planned for: per epoch or per batch.",
                "Compute a rate that is set by hand from the first one, not from the one before.",
                "Decay by less, or plan the schedule over all steps.",
            ),
            evidence={"peak": peak, "step": at, "n_steps": total, "loss": end, "initial": start},
            step=at,
        )

    def _wrong_way(self, trace: Trace, points: list[tuple[int, float]]) -> Finding | None:
        """A finding where a scheduler lowers the rate because the number that it watches gets better."""
        at = next((step for (_, before), (step, rate) in pairwise(points) if rate < 0.999 * before), None)
        if at is None:
            return None
        for one in tables(trace.facts.get("schedulers")):
            watched, mode = table(one.get("watched")), text(table(one.get("settings")).get("mode"))
            first, last, lows, highs = (number(watched.get(key)) for key in ("first", "last", "lows", "highs"))
            if mode not in ("min", "max") or first is None or last is None or lows is None or highs is None:
                continue
            own, other = (lows, highs) if mode == "min" else (highs, lows)
            if other < self.min_bests or other <= self.factor * own:
                continue
            if self._is_accuracy(trace, first, last) if mode == "min" else self._is_loss(trace, first, last):
                went, right = ("rises", "max") if mode == "min" else ("falls", "min")
                return Finding(
                    subject=text(one.get("class")),
                    message=f"{text(one.get('class'))} has mode='{mode}' and watches a number that {went} from "
                    f"{first:.4g} to {last:.4g}, {other:.0f} times to its best so far: it lowered the rate from "
                    f"{points[0][1]:.3g} to {points[-1][1]:.3g} meanwhile; mode='{right}' is expected",
                    advice=(
                        f"Give the scheduler mode='{right}', or the number that its mode is meant for.",
                        "mode='min' is for a loss or an error, mode='max' for an accuracy.",
                    ),
                    evidence={"first": first, "last": last, "bests": other},
                    step=at,
                )
        return None

    def _is_loss(self, trace: Trace, first: float, last: float) -> bool:
        """Whether a number falls as the training loss does."""
        lost = lost_share(trace.series(LOSS))
        return first > 0 and last < (1 - self.least_fall) * first and lost is not None and lost > self.least_fall

    def _is_accuracy(self, trace: Trace, first: float, last: float) -> bool:
        """Whether a number is one that is known to be an accuracy, be it in per cent."""
        known = [trace.series(VAL_ACCURACY), trace.series(TRAIN_ACCURACY), *trace.by_subject(SCORE).values()]
        ends = [(series[0], series[-1]) for series in known if len(series) > 1]
        return last > first and any(
            abs(scale * start - first) <= self.tolerance * abs(first) + 1e-9
            and abs(scale * end - last) <= self.tolerance * abs(last)
            for start, end in ends
            for scale in (1.0, 100.0)
        )


def _last_stretch(points: list[tuple[int, float]], bar: float) -> int | None:
    """The step from which on the rate is below `bar` to the end; None where it is not."""
    first = len(points)
    while first and points[first - 1][1] < bar:
        first -= 1
    return points[first][0] if first < len(points) else None


def _losses_until(trace: Trace, at: int) -> list[float]:
    series = trace.series(LOSS)
    return [loss for step, loss in zip(series.steps, series, strict=True) if step < at and math.isfinite(loss)]


def _reached(trace: Trace) -> float:
    """The accuracy that was reached: the median of the last ones, as few batches have a high one by chance."""
    known = [trace.series(VAL_ACCURACY), trace.series(TRAIN_ACCURACY)]
    return max((median(series.values[-LATEST:]) for series in known if series), default=0.0)


def _was_falling(losses: list[float]) -> bool:
    """Whether the second half of the losses is lower than the first, by more than its scatter explains."""
    if len(losses) < 6:
        return True  # too short to come to rest
    half = len(losses) // 2
    first, second = losses[half // 2 : half], losses[-max(3, half // 2) :]
    scatter = 1.4826 * median(abs(loss - median(second)) for loss in second)
    return median(first) - median(second) > scatter / math.sqrt(len(second))
