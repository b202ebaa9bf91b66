"""A learning rate at which nothing happens in the time of a training."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table


class LearningRateFarBelowRange(Rule):
    """The learning rate is far below the one at which the loss falls, and so slow that one batch takes ages.

    ## Why it matters
    A training at such a rate looks like one that cannot learn: the loss is flat, whatever else is changed.

    ## What to try
    - Take the rate at which the loss falls fastest, or a third of it.
    - Look for a rate that is divided by something twice: by the size of the batch, by the number of devices.

    ## When it is wrong
    Fine-tuning takes small steps on purpose, and is not judged. Neither is a warm-up that begins low: of a schedule,
    the highest rate that it notes in the optimizer counts. Where the loss of the first steps does not fall at any
    rate, nothing is said about rates.

    ## References
    - Smith 2017, Cyclical Learning Rates for Training Neural Networks, section 3.3, "LR range test".
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.WARNING
    level = Level.SETTING
    needs_facts = ("drill/learning-rate-range",)
    waits_for_warmup = False
    profiles = Rule.profiles - {"fine-tune"}

    times: float = Field(1000.0, gt=1)
    """Times that the rate at which the loss falls fastest is higher: three decades, as Adam on all data is commonly
    run one or two below what one batch can bear."""
    share: float = Field(0.1, gt=0, lt=1)
    """Share of the loss of one batch whose loss is counted in steps."""
    most: float = Field(20_000.0, ge=1)
    """Steps for that share, as fast as the first ones went, up to which a rate is slow and no more: one batch is
    learnt by heart in hundreds."""
    fewest: int = Field(5, ge=1)
    """Steps at the user's own rate without which nothing is said."""
    noise: float = Field(2.0, ge=0)
    """Times the noise of the losses of these steps by which they may have fallen without it being seen."""

    healthy = {
        "facts": {
            "drill/learning-rate-range": {
                "steepest": 0.01, "own": 0.001, "peak": 0.001, "own_steps": 20, "own_first": 2.3, "own_last": 1.9,
            }
        }
    }  # fmt: skip
    faulty = {
        "facts": {
            "drill/learning-rate-range": {
                "steepest": 0.01, "own": 1e-8, "peak": 1e-8, "own_steps": 20, "own_first": 2.3, "own_last": 2.299999,
            }
        }
    }  # fmt: skip

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/learning-rate-range"))
        steepest, peak = number(told.get("steepest")), number(told.get("peak"))
        if steepest is None or peak is None or peak <= 0:
            raise NotApplicable("there is no learning rate at which the loss falls to compare with")
        if steepest < self.times * peak:
            return
        first, last, steps = (number(told.get(key)) for key in ("own_first", "own_last", "own_steps"))
        if first is None or last is None or steps is None or steps < self.fewest:
            raise NotApplicable("there are too few steps at the learning rate itself")
        fallen = (first - last + self.noise * (number(told.get("own_noise")) or 0.0)) / steps
        needed = self.share * abs(first) / fallen if fallen > 0 else math.inf
        if needed <= self.most:
            return
        takes = f"{needed:,.0f} steps" if needed < 1e9 else "more than a thousand million steps"
        yield Finding(
            message=(
                f"the learning rate is {peak:.3g}; the loss falls fastest at {steepest:.2g}, {steepest / peak:.2g} "
                f"times that. As the first {steps:.0f} steps went, {self.share:.0%} of one batch's loss takes {takes}"
            ),
            advice=(
                f"Try a learning rate of {steepest / 3:.1g}.",
                "Look for a factor that the rate is divided by more often than you mean.",
            ),
            evidence={"learning_rate": peak, "steepest": steepest},
        )
