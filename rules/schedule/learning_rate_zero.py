"""Steps that are made with a learning rate of zero."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.layers import in_order, matrices
from ..engine.profiles import EVERY, infer
from ..engine.progress import is_over
from ..engine.rates import rate_at
from ..engine.signals import GRAD_NORM, LR, UPDATE_RATIO

LEAST_READINGS = 5
"""Readings of its change from which on a weight is known to rest."""


class LearningRateZero(Rule):
    """The learning rate of every group is exactly zero for many steps, or that of one group all along, whose weights
    get a gradient and were never trained or loaded.

    ## Why it matters
    A step with a rate of zero computes gradients for nothing. A schedule that starts with a whole number division, or
    that was planned for fewer steps than are made, spends a part of the run so.

    ## What to try
    - A schedule that is set by hand sets every group: `for group in optimizer.param_groups: group["lr"] = ...`.
    - Check the formula of the warm-up: `step / warmup`, not `step // warmup`, and `(step + 1) / warmup` per epoch.
    - Compute the schedule's length from epochs times steps an epoch, over the accumulated batches, and step it as
      often.

    ## When it is wrong
    A warm-up from zero makes its first step with a rate of zero, and a schedule that decays to zero its last ones: a
    tenth of the run at its end passes. A group that waits while others learn is not meant: its
    rate must be zero from the first step to the last. Nor is one that keeps weights that came from elsewhere, or a
    table of vectors.

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
        resting = self._resting(trace, total)
        is_early = early > max(self.min_zeros, self.share * total)
        is_late = sum(length for _, length in late) > max(self.min_zeros, self.tail * total)
        if not is_early and not is_late:
            if resting is not None:
                yield resting
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

    def _resting(self, trace: Trace, total: int) -> Finding | None:
        """A finding where one group has a rate of zero from the first step to the last, though its weights are new."""
        rates = {group: series for group, series in trace.by_subject(LR).items() if series}
        zero = sorted(group for group, series in rates.items() if series.steps[0] == 0 and not any(series))
        came_from_elsewhere = trace.training > 0 or infer(trace).name == "fine-tune"
        if not is_over(trace) or not zero or len(zero) == len(rates) or came_from_elsewhere:
            return None
        still = in_order(trace, [name for name in matrices(trace) if _is_still(trace, name)])
        if not still:
            return None
        others = max(max(series) for group, series in rates.items() if group not in zero)
        return Finding(
            subject=still[0],
            message=f"the learning rate of group {zero[0]} is exactly 0 in all of {total} steps, that of another one "
            f"{others:.3g} at its peak; {len(still)} weight matrices get a gradient and never change, {still[0]} first",
            advice=(
                "Set the rate of every group: for group in optimizer.param_groups.",
                "Give each group the rate that it starts with, or requires_grad=False where it is meant to rest.",
            ),
            evidence={"n_steps": total, "n_still": len(still)},
            step=0,
        )


def _is_still(trace: Trace, name: str) -> bool:
    """Whether a weight gets a gradient and never changes."""
    changes, norms = trace.series(UPDATE_RATIO, name), trace.series(GRAD_NORM, name)
    return len(changes) >= LEAST_READINGS and not any(changes) and len(norms) > 0 and norms.median > 0
