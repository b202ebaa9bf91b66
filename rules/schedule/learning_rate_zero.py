"""Steps that are made with a learning rate of zero."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.rates import rate_at
from ..engine.signals import LR


class LearningRateZero(Rule):
    """The learning rate of every group is exactly zero for many steps.

    ## Why it matters
    A step with a rate of zero computes gradients for nothing. A schedule that starts with a whole number division, or
    that was planned for fewer steps than are made, spends a part of the run so.

    ## What to try
    - Check the formula of the warm-up: `step / warmup`, not `step // warmup`, and `(step + 1) / warmup` per epoch.
    - Compute the schedule's length from epochs times steps an epoch, over the accumulated batches, and step it as
      often.

    ## When it is wrong
    A warm-up from zero makes its first step with a rate of zero, and a schedule that decays to zero its last ones: a
    tenth of the run at its end passes. A group that waits while others learn is not meant.

    ## References
    - A check of the schedule ahead of the run is what Karpathy 2019, A Recipe for Training Neural Networks, asks for.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.ERROR
    level = Level.LOGIC
    needs = (LR,)
    waits_for_warmup = False
    profiles = EVERY
    explains = (Level.DYNAMICS, Level.OUTCOME, "learning-rate-too-low", "step-does-nothing", "schedule-collapsed")

    min_steps: PositiveInt = 10
    """Steps before anything is said."""

    min_zeros: PositiveInt = 5
    """Steps with a rate of zero that pass, whatever their share is."""

    share: float = Field(0.02, gt=0, lt=1)
    """Share of the steps with a rate of zero ahead of the first other one that passes."""

    tail: float = Field(0.1, gt=0, lt=1)
    """Share of the steps with a rate of zero behind others that passes: the last epoch of a decay, or of a cycle."""

    healthy = {"lr": {"0": [min(i, 10) * 1e-4 for i in range(100)] + [0.0] * 5}, "loss": [1.0] * 105}
    faulty = {"lr": {"0": [float(i // 50) * 1e-3 for i in range(100)]}, "loss": [1.0] * 100}

    def check(self, trace: Trace) -> Iterator[Finding]:
        points = rate_at(trace)
        if not points:
            raise NotApplicable("no learning rate is known")
        total = trace.step + 1
        if total < self.min_steps:
            raise NotApplicable(f"{total} steps; judged from {self.min_steps} on")
        spans = [
            (step, (points[index + 1][0] if index + 1 < len(points) else total) - step)
            for index, (step, rate) in enumerate(points)
            if rate == 0
        ]
        first = next((step for step, rate in points if rate > 0), total)
        early = sum(length for step, length in spans if step < first)
        late = [(step, length) for step, length in spans if step > first]
        is_early = early > max(self.min_zeros, self.share * total)
        is_late = sum(length for _, length in late) > max(self.min_zeros, self.tail * total)
        if not is_early and not is_late:
            return
        n = (early if is_early else 0) + (sum(length for _, length in late) if is_late else 0)
        began = spans[0][0] if is_early else late[0][0]
        yield Finding(
            message=f"the learning rate is exactly 0 for {n} of {total} steps, from step {began} on; the peak is "
            f"{max(rate for _, rate in points):.3g}, and a rate above 0 was expected",
            advice=(
                "Check the formula of the schedule: step / warmup, not step // warmup, counted from 1.",
                "Compute its length from epochs times steps an epoch, and step it as often.",
            ),
            evidence={"n_zeros": n, "n_steps": total},
            step=began,
        )
