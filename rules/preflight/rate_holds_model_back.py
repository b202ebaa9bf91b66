"""A model that a linear one leaves behind at its own learning rate, and at no other."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from .simple_models import bar_of, is_still


class RateHoldsModelBack(Rule):
    """After some steps on one batch a linear model is far ahead; with another learning rate the model is not behind.

    ## Why it matters
    The model can learn, and does so slowly: a run takes as many times longer as the rate is too small.

    ## What to try
    - Look at the learning-rate range test, and try the rate that it names.

    ## When it is wrong
    A schedule that warms up, momentum that builds up, and a fine-tuning that is to change little begin slowly by
    intention. Hence this is a remark only.

    ## References
    - Karpathy 2019, A Recipe for Training Neural Networks: simple baselines first.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.INFO
    level = Level.SETTING
    needs_facts = ("drill/simple-start",)
    waits_for_warmup = False
    profiles = frozenset({"supervised", "regression", "language-model", "unknown"})

    near: float = Field(0.9, gt=0)
    """Share of a constant answer's loss above which a model has learned next to nothing."""

    behind: float = Field(1.5, gt=1)
    """Loss over that of the linear model from which on it is far behind."""

    fall: float = Field(0.05, gt=0, lt=1)
    """Share of the loss lost in the second half of the steps that counts as still falling."""

    learned: float = Field(0.6, gt=0, lt=1)
    """Share of a constant answer's loss that the linear model must have come below."""

    healthy = {
        "facts": {
            "drill/simple-start": {
                "constant": 2.25, "linear": 0.2, "steps": 60,
                "tried": [{"factor": 1.0, "rate": 0.001, "half": 0.9, "last": 0.4}],
            }
        }
    }  # fmt: skip
    faulty = {
        "facts": {
            "drill/simple-start": {
                "constant": 2.25, "linear": 0.2, "steps": 60,
                "tried": [
                    {"factor": 1.0, "rate": 0.001, "half": 2.26, "last": 2.25},
                    {"factor": 10.0, "rate": 0.01, "half": 2.2, "last": 1.7},
                ],
            }
        }
    }  # fmt: skip

    def check(self, trace: Trace) -> Iterator[Finding]:
        bar, trials = bar_of(trace, self.near, self.behind, self.learned)
        own = trials[0]
        if own.last is None or own.last <= bar:
            return
        if is_still(trace):
            raise NotApplicable("no weight moved, whatever the learning rate")
        if own.has_learned(bar, self.fall, own.last):
            return  # it falls, if from far above
        better = next((one for one in trials[1:] if one.has_learned(bar, self.fall, own.last)), None)
        if better is None or better.last is None:
            raise NotApplicable("no other learning rate did better")
        yield Finding(
            message=f"the loss is {own.last:.4g} with its own learning rate, and {better.last:.4g} {better.name}, "
            f"after the same steps; {bar:.4g} or less is expected beside a linear model",
            advice="Look at the learning-rate range test, and try the rate that it names.",
            evidence={"own": own.last, "better": better.last},
        )
