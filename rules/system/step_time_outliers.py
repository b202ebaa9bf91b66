"""Single steps that take as long as many."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from pydantic import Field, PositiveFloat, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.signals import STEP_SECONDS, STEP_SECONDS_LONGEST


class StepTimeOutliers(Rule):
    """In most epochs a single step takes as long as dozens of others.

    ## Why it matters
    Something stops the training now and then: a slow disk, a checkpoint, garbage collection, a batch far longer than
    the rest. It costs time, and on several machines the time of all.

    ## What to try
    - Look what is done every so many steps: checkpoints, plots, logging to the network.
    - Sort or bucket sequences by length, when single batches are far longer.
    - Give the loader workers and a larger prefetch_factor.

    ## When it is wrong
    Other programs on the same machine stop a training as well. It is for information only.

    ## References
    - The bar of 20 times the mean is ours: SageMaker Debugger's StepOutlier counts what lies 3 standard deviations out,
      which on the skewed times of steps is a usual event.
    """

    phases = (Phase.RUN,)
    severity = Severity.INFO
    level = Level.SETTING
    needs = (STEP_SECONDS, STEP_SECONDS_LONGEST)
    bars = {"min_seconds": STEP_SECONDS_LONGEST, "longest": STEP_SECONDS_LONGEST, "mean": STEP_SECONDS}
    waits_for_warmup = False
    profiles = Rule.profiles | {"gan", "rl", "contrastive", "autoencoder", "diffusion"}

    factor: float = Field(20.0, gt=1)
    """Longest step of an epoch over its mean step, from which on it counts."""

    min_seconds: PositiveFloat = 0.5
    """Seconds the longest step must take: below, the operating system alone may be the reason."""

    min_epochs: PositiveInt = 3
    """Epochs needed."""

    healthy = {"step_seconds": [0.05] * 4, "step_seconds_longest": {"": [0.2, 0.9, 0.1, 0.12]}}
    faulty = {"step_seconds": [0.05] * 4, "step_seconds_longest": {"": [2.1, 1.9, 2.4, 2.0]}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        longest, mean = trace.series(STEP_SECONDS_LONGEST), trace.series(STEP_SECONDS)
        if len(longest) < self.min_epochs:
            raise NotApplicable(f"{len(longest)} epochs with a longest step; {self.min_epochs} are needed")
        most, usual = median(longest), mean.median
        if not (most > self.min_seconds and most > self.factor * usual > 0):
            return
        yield Finding(
            message=f"one step of an epoch takes {most:.3g} s; the mean step takes {usual:.3g} s",
            advice=(
                "Look what the loop does every so many steps: checkpoints, plots, logging to the network.",
                "Bucket sequences by length, when single batches are far longer than the rest.",
                "Give the data loader workers and a larger prefetch_factor.",
            ),
            evidence={"longest": most, "mean": usual},
        )
