"""A model that a linear one leaves behind."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, Phase, Rule, Severity, Trace
from .simple_models import stand_of


class WorseThanLinearModel(Rule):
    """After the same steps on the same batch a linear model is far ahead, at any learning rate, and with Adam too.

    ## Why it matters
    What a linear model finds in a batch at once, a network has to find as well: where it stays at what a constant
    answer costs, it does not use its inputs, or nothing that it learns reaches its output.

    ## What to try
    - Follow the input through forward: a result that is not used, a `detach`, layers that are dead or saturated.
    - Check that all parts of the model are in the optimizer, and not frozen.
    - Compare what the loss is given with what it takes: scores, probabilities, or their logarithms.

    ## When it is wrong
    Models that are slow by nature at their start are not reported while the loss falls, nor are those that learn with
    another learning rate. A batch that only a model with the wrong inductive bias can memorise may be an exception.

    ## References
    - Karpathy 2019, A Recipe for Training Neural Networks: simple baselines first, input-independent baseline.
    - Google, Rules of Machine Learning: compare with a simple model. The factors are proposals, on the generous side.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.WARNING
    level = Level.OUTCOME
    needs_facts = ("drill/simple-start",)
    waits_for_warmup = False

    near: float = Field(0.9, gt=0)
    """Share of a constant answer's loss above which a model has learned next to nothing."""

    behind: float = Field(1.5, gt=1)
    """Loss over that of the linear model from which on it is far behind."""

    fall: float = Field(0.05, gt=0, lt=1)
    """Share of the loss lost in the second half of the steps that counts as still falling."""

    learned: float = Field(0.6, gt=0, lt=1)
    """Share of a constant answer's loss that the linear model must have come below."""

    above: float = Field(1.02, gt=1)
    """Loss over that of a constant answer beyond which `worse-than-constant-answer` says it."""

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
                    {"factor": 1.0, "rate": 0.001, "half": 2.26, "last": 2.26, "moved": 0.1},
                    {"factor": 10.0, "rate": 0.01, "half": 2.26, "last": 2.25, "moved": 0.1},
                    {"factor": 100.0, "rate": 0.1, "half": 2.28, "last": 2.27, "moved": 0.1},
                ],
                "adam": [{"factor": 1.0, "rate": 0.001, "half": 2.26, "last": 2.26, "moved": 0.1}],
            }
        }
    }  # fmt: skip

    def check(self, trace: Trace) -> Iterator[Finding]:
        found = stand_of(trace, self.near, self.behind, self.fall, self.learned)
        if found is None or found.best > self.above * found.constant:
            return
        yield Finding(
            message=f"after {found.steps:.0f} steps the loss is {found.own:.4g}, with other learning rates "
            f"{found.best:.4g} at best; a linear model has {found.linear:.4g}, a constant answer {found.constant:.4g}",
            advice=(
                "Follow the input through forward: a result that is not used, a detach, dead or saturated layers.",
                "Check that all parts of the model are in the optimizer, and not frozen.",
                "Compare what the loss is given with what it takes: scores, probabilities or their logarithms.",
            ),
            evidence={"own": found.own, "best": found.best, "linear": found.linear, "constant": found.constant},
        )
