"""A learning rate at which the loss was seen to break."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table


class LearningRateBeyondDivergence(Rule):
    """The learning rate is far above the one at which the loss breaks on one batch.

    ## Why it matters
    Beyond twice the inverse of the curvature every step goes further away than it came from. The loss grows until it
    is not finite, or until units are driven where no gradient is left.

    ## What to try
    - Take the rate at which the loss falls fastest, or a tenth of the one at which it breaks.
    - Where the rate has to be that high, raise it slowly over the first steps, and clip the gradient's norm.

    ## When it is wrong
    It is one batch and a few steps. Nothing is said of a rate that lowers the loss of that batch, whatever the sweep
    showed; and a warm-up is judged by the rate it begins with.

    ## References
    - Smith 2017, Cyclical Learning Rates for Training Neural Networks, section 3.3, "LR range test".
    - Howard and Gugger 2020, fastai, `lr_find`: the sweep ends where the loss is four times its best.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.WARNING
    level = Level.SETTING
    needs_facts = ("drill/learning-rate-range",)
    waits_for_warmup = False

    times: float = Field(1.0, gt=0)
    """Times the rate at which the sweep broke, from which on a rate is beyond it."""
    above: float = Field(5.0, gt=1)
    """Times the rate at which the loss falls fastest that it must also be."""
    gain: float = Field(0.05, ge=0, lt=1)
    """Share of the loss by which some steps at the user's own rate must have lowered it, to be left alone."""
    fewest: int = Field(5, ge=1)
    """Steps at the user's own rate without which nothing is said, unless the loss was not finite before."""
    worse: float = Field(10.0, gt=1)
    """Times the first loss that it is behind some steps at the user's own rate, for these to say enough alone: with so
    few steps a sweep may pass by the rate at which it would have broken later."""
    near: float = Field(0.5, gt=0, le=1)
    """Share of the rate at which the sweep broke from which on a loss that has doubled says enough: of 157 healthy
    programs none had one that was half as high again."""

    healthy = {
        "facts": {
            "drill/learning-rate-range": {
                "breaks_at": 0.5, "steepest": 0.05, "own": 0.1, "own_steps": 20, "own_first": 2.3, "own_later": 0.7,
                "own_finite": True,
            }
        }
    }  # fmt: skip
    faulty = {
        "facts": {
            "drill/learning-rate-range": {
                "breaks_at": 0.5, "steepest": 0.05, "own": 10.0, "own_steps": 20, "own_first": 2.3, "own_later": 240.0,
                "own_finite": True,
            }
        }
    }  # fmt: skip

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/learning-rate-range"))
        own, breaks_at, steepest = (number(told.get(key)) for key in ("own", "breaks_at", "steepest"))
        if own is None:
            raise NotApplicable("the learning rate begins at 0: a warm-up")
        first, later, steps = (number(told.get(key)) for key in ("own_first", "own_later", "own_steps"))
        is_broken = told.get("own_finite") is False
        if not is_broken and (first is None or later is None or steps is None or steps < self.fewest):
            raise NotApplicable("there are too few steps at the learning rate itself")
        risen = 0.0 if first is None or later is None else later - first
        size = abs(first or 0.0)
        is_beyond = breaks_at is not None and own >= self.times * breaks_at
        is_far = is_beyond and (steepest is None or own >= self.above * steepest) and risen > -self.gain * size
        is_near = breaks_at is not None and own >= self.near * breaks_at and 0 < size < risen
        is_near = is_near and (steepest is None or own >= self.above * steepest)
        is_worse = (steepest is None or own > steepest) and 0 < (self.worse - 1) * size < risen
        if not (is_far or is_near or is_worse or is_broken):
            return
        lower = steepest if steepest is not None and steepest < own else own / 10
        came = "to no finite number" if is_broken else f"from {first or 0.0:.4g} to {later or 0.0:.4g}"
        breaks = f"the sweep breaks at {breaks_at:.2g}, and " if breaks_at is not None and breaks_at < own else ""
        yield Finding(
            message=(
                f"the learning rate is {own:.3g}; on one batch {breaks}{steps or 0:.0f} steps at {own:.3g} take the "
                f"loss {came}"
            ),
            advice=(
                f"Try a learning rate of {lower:.1g}.",
                "Where it has to be that high, warm it up over some hundred steps and clip the gradient's norm.",
            ),
            evidence={"learning_rate": own} | ({} if breaks_at is None else {"breaks_at": breaks_at}),
        )
