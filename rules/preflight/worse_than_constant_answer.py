"""A model that does not come down to what a constant answer costs."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, Phase, Rule, Severity, Trace
from .simple_models import stand_of


class WorseThanConstantAnswer(Rule):
    """After the same steps on the same batch the model is worse than one constant answer, whatever its rate.

    ## Why it matters
    The last layer's bias alone can give the best constant answer. A model that does not even find that is not trained,
    or not on this loss.

    ## What to try
    - Check that the optimizer has the parameters of this very model, and that its step is made.
    - Look for an output that cannot reach the targets: a ReLU or a softmax at the end, another scale.
    - Check the sign of the loss.

    ## When it is wrong
    Targets far from 0 take many steps to reach, at any rate: scale them. While the loss falls, nothing is reported.

    ## References
    - Karpathy 2019, A Recipe for Training Neural Networks: input-independent baseline, init well.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.ERROR
    level = Level.OUTCOME
    needs_facts = ("drill/simple-start",)
    waits_for_warmup = False

    near: float = Field(0.9, gt=0)
    """Share of a constant answer's loss above which a model has learned next to nothing."""

    above: float = Field(1.02, gt=1)
    """Loss over that of a constant answer, with the best of the learning rates that were tried."""

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
                "tried": [{"factor": 1.0, "rate": 0.001, "half": 0.9, "last": 0.4, "moved": 0.1}],
            }
        }
    }  # fmt: skip
    faulty = {
        "facts": {
            "drill/simple-start": {
                "constant": 2.25, "linear": 0.2, "steps": 60,
                "tried": [
                    {"factor": 1.0, "rate": 0.001, "half": 4.1, "last": 4.1, "moved": 0.1},
                    {"factor": 10.0, "rate": 0.01, "half": 4.1, "last": 4.1, "moved": 0.1},
                    {"factor": 100.0, "rate": 0.1, "half": 4.1, "last": 4.1, "moved": 0.1},
                ],
                "adam": [{"factor": 1.0, "rate": 0.001, "half": 4.1, "last": 4.1, "moved": 0.1}],
            }
        }
    }  # fmt: skip

    def check(self, trace: Trace) -> Iterator[Finding]:
        found = stand_of(trace, self.near, self.behind, self.fall, self.learned)
        if found is None or found.best <= self.above * found.constant:
            return
        yield Finding(
            message=f"after {found.steps:.0f} steps the loss is {found.own:.4g}, with other learning rates "
            f"{found.best:.4g} at best; a constant answer has {found.constant:.4g}, a linear model {found.linear:.4g}",
            advice=(
                "Check that the optimizer has the parameters of this very model, and that its step is made.",
                "Look for an output that cannot reach the targets: a ReLU or a softmax at the end, another scale.",
                "Check the sign of the loss.",
            ),
            evidence={"own": found.own, "best": found.best, "linear": found.linear, "constant": found.constant},
        )
