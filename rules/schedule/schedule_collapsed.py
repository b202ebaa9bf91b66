"""A schedule that is over long before the training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.rates import rate_at
from ..engine.signals import LOSS, LR, TRAIN_ACCURACY, VAL_ACCURACY


class ScheduleCollapsed(Rule):
    """The learning rate falls below a hundredth of its peak before half of the steps are made, and learning stops
    there.

    ## Why it matters
    The rest of the run changes nothing any more: epochs are paid for and nothing is learned in them.

    ## What to try
    - Check whether the schedule is stepped as often as it was planned for: per epoch or per batch.
    - Decay by less, or plan the schedule over all steps.
    - Check the patience of a schedule that waits for the loss: it may be counted in batches.

    ## When it is wrong
    A rate that is lowered once the loss has come to rest is what schedules are for: the loss must have been falling,
    and be far from zero. Cycles that rise again are not meant, nor is a decay to zero towards the end.

    ## References
    - Karpathy 2019, A Recipe for Training Neural Networks: a decay tied to the epochs of another data set drives the
      rate to zero too early.
    """

    phases = (Phase.RUN,)
    severity = Severity.WARNING
    level = Level.SETTING
    needs = (LR, LOSS)
    history = 1
    waits_for_warmup = False
    explains = (Level.DYNAMICS, Level.OUTCOME, "learning-rate-too-low")

    ratio: float = Field(0.01, gt=0, lt=1)
    """Share of the peak below which a rate has collapsed."""

    quantile: float = Field(0.5, gt=0, lt=1)
    """Share of the steps after which it may."""

    min_steps: PositiveInt = 50
    """Steps before anything is said."""

    min_level: float = Field(0.2, gt=0, lt=1)
    """Share of its first level that the loss must still have: below it, most was learned."""

    max_accuracy: float = Field(0.95, gt=0, le=1)
    """Accuracy above which the task is learned."""

    healthy = {"lr": {"0": [0.1 * (1 - i / 100) for i in range(100)]}, "loss": [2.0 * 0.97**i for i in range(100)]}
    faulty = {"lr": {"0": [0.1 * 0.8**i for i in range(100)]}, "loss": [2.0 - 0.05 * min(i, 12) for i in range(100)]}

    def check(self, trace: Trace) -> Iterator[Finding]:
        points, total = rate_at(trace), trace.step + 1
        if len(points) < 2 or total < self.min_steps:
            raise NotApplicable(f"{len(points)} changes of the learning rate in {total} steps")
        peak = max(rate for _, rate in points)
        below = [index for index, (_, rate) in enumerate(points) if rate < self.ratio * peak]
        # The last stretch below the bar, without a rate above it behind.
        first = len(points)
        while first - 1 in below:
            first -= 1
        if not peak > 0 or first >= len(points):
            return
        at = points[first][0]
        if at >= self.quantile * total:
            return
        losses = [loss for loss in trace.series(LOSS) if math.isfinite(loss)]
        before = [loss for step, loss in zip(trace.series(LOSS).steps, trace.series(LOSS), strict=True) if step < at]
        n = max(5, len(losses) // 10)
        start, end = median(losses[:n]), median(losses[-n:])
        best = max([*trace.series(VAL_ACCURACY), *trace.series(TRAIN_ACCURACY)], default=0.0)
        if start <= 0 or end < self.min_level * start or best > self.max_accuracy:
            return
        is_at_once = at < self.quantile / 2 * total and end > 0.5 * start  # there was no time to come to rest
        if not is_at_once and not _was_falling(before):
            return
        yield Finding(
            message=f"the learning rate is below {self.ratio:.0%} of its peak {peak:.3g} from step {at} of {total} on "
            f"(now {points[-1][1]:.2g}), when the loss was still falling; it rests at {end:.4g}, {start:.4g} at "
            "the start",
            advice=(
                "Check whether the schedule is stepped as often as it was planned for: per epoch or per batch.",
                "Decay by less, or plan the schedule over all steps.",
            ),
            evidence={"peak": peak, "step": at, "n_steps": total, "loss": end, "initial": start},
            step=at,
        )


def _was_falling(losses: list[float]) -> bool:
    """Whether the second half of the losses is lower than the first, by more than its scatter explains."""
    if len(losses) < 6:
        return True  # too short to come to rest
    half = len(losses) // 2
    first, second = losses[half // 2 : half], losses[-max(3, half // 2) :]
    scatter = 1.4826 * median(abs(loss - median(second)) for loss in second)
    return median(first) - median(second) > scatter / math.sqrt(len(second))
